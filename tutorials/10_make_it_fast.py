# %% [markdown]
# # 10. Make it fast
#
# **What you will learn**
#
# - The two speeds of a machine: how fast it multiplies, and how fast it moves memory.
# - The roofline: one picture that says which of the two holds an operation back.
# - The ladder of our convolution: the same result on five rungs, each faster for a reason.
# - bf16, numbers of half the bytes: what they buy, what they cost, and which convolution can bear them.
# - Where the time of a training step goes, and what it is worth to make one part faster.
# - What fusion and reused memory change.
#
# **You need**: notebook 1 (convolution four ways); it helps to have read notebook 5 (build ResNet-20).
#
# **Time**: 55 minutes.
#
# Every speed below is measured while you run the cell. It depends on the machine, and on what else the machine does at that
# moment. So the text names no speeds: read them off your own outputs, and run a cell twice before you believe a small
# difference.

# %%
# %matplotlib inline
import os
import time

import numba
import numpy as np

from resnet_np import backend, tutor
from resnet_np import functional as F
from resnet_np.bench import ceiling, operations, roofline
from resnet_np.bench.task import Task, random_batch
from resnet_np.kernels import conv, micro
from resnet_np.kernels.conv import direct, jit, winograd
from resnet_np.kernels.conv.finish import nothing
from resnet_np.models import resnet_cifar
from resnet_np.optim import SGD
from resnet_np.precision import BF16, rounded
from resnet_np.training.step import training_step
from resnet_np.viz.bars import rates
from resnet_np.viz.speed import shares, turns
from resnet_np.workspace import Workspace

THREADS = numba.get_num_threads()
print(f"{THREADS} threads")
if hasattr(os, "getloadavg"):  # Windows does not tell
    print(f"load of this machine: {os.getloadavg()[0]:.1f}; above about 0.5, others are at work, and disturb what follows")

# %% [markdown]
# ## Two speeds
#
# A processor does two things: it computes, and it fetches and stores numbers.
#
# - **Computing** is counted in FLOP, floating-point operations: an addition is one, a multiplication is one. The speed is
#   GFLOP/s, a thousand million of them a second. The best that we know how to get is the product of two large matrices, which
#   NumPy gives to a library (BLAS) that experts have tuned for decades.
# - **Moving memory** is counted in bytes, read plus written. The speed is GB/s. We measure it by copying an array that is too
#   large for any cache.

# %%
peak = max(ceiling.sgemm(1.5))  # float32, 2048 x 2048; the fastest: a neighbour can only make it slower
bandwidth = max(ceiling.copy(0.7, THREADS))  # 128 MiB
print(f"matrix product  {peak:7.1f} GFLOP/s")
print(f"copying         {bandwidth:7.1f} GB/s")
print(f"ratio           {peak / bandwidth:7.1f} FLOP a byte")

# %% [markdown]
# The ratio says how much there is to do with a byte, before fetching it stops being the slower part. A float32 number has
# four bytes. So this machine could do four times that many operations with every number in the time that fetching the number
# takes.
#
# ## The roofline
#
# Count for an operation what it must compute and what it must move, each argument once and each result once:
#
# $$ \text{intensity} = \frac{\text{FLOP}}{\text{bytes}}, \qquad
# \text{speed} \le \min(\text{peak},\; \text{intensity} \times \text{bandwidth}) $$
#
# This is the roofline (Williams, Waterman and Patterson 2009). Over the intensity it is a slope that ends in a flat roof.
# Under the slope an operation waits for memory. Under the flat roof it waits for the arithmetic.
#
# Let us count two operations of a ResNet with 64 pictures: a 3x3 convolution of the first stage, and a ReLU on its output.
# The function `describe` is what `resnet-np bench --ops` counts with.

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((64, 16, 32, 32), np.float32)  # (N, C, H, W)
w = rng.standard_normal((16, 16, 3, 3), np.float32)  # (F, C, KH, KW)
out = conv.forward(x, w, stride=1, pad=1)  # (N, F, OH, OW)

convolution = operations.describe("conv forward", {"x": x, "w": w, "stride": 1, "pad": 1}, out)
relu = operations.describe("relu", {"x": out}, np.maximum(out, 0))
for operation in (convolution, relu):
    intensity = operation.flops / operation.bytes
    bound = "memory" if intensity * bandwidth < peak else "arithmetic"
    print(f"{operation.name:13} {operation.flops / 1e6:8.1f} MFLOP  {operation.bytes / 1e6:6.1f} MB  {intensity:6.2f} FLOP a byte: "
          f"at most {min(peak, intensity * bandwidth):6.1f} GFLOP/s, bound by {bound}")

# %% [markdown]
# The two are of different kinds. The convolution does many operations with each number: every pixel takes part in $9 F$
# products. The ReLU does one, and no clever code can make it faster than the memory. The only way to speed up a ReLU is not
# to fetch its input: to do it while the convolution still has the number at hand. Keep that in mind for the section on
# fusion.
#
# ### Exercise 10.1
#
# Write the roofline as a function: the speed in GFLOP/s that a machine allows at most.

# %%
def roof(intensity, peak, bandwidth):
    ...  # your code


tutor.check("10.1", roof)

# %% [markdown]
# ### Exercise 10.2
#
# How many FLOP does a convolution take? Count a multiplication and an addition for every product of the definition, those
# with the zeros of the padding too.

# %%
def conv_flops(N, C, F, OH, OW, KH, KW):
    ...  # your code


tutor.check("10.2", conv_flops)

# %% [markdown]
# ### Exercise 10.3
#
# Now the intensity of a convolution. You are given the three arrays: `x` and `w` are read once, `out` is written once. (An
# array knows its bytes: `x.nbytes`.)

# %%
def conv_intensity(x, w, out):
    ...  # your code


tutor.check("10.3", conv_intensity)

# %% [markdown]
# ## The ladder
#
# The library holds this convolution several times over. Each rung computes the same sums, and each is the test of the next
# one:
#
# | rung | what it does |
# |---|---|
# | loops | the definition, product by product, in Python |
# | array | `im2col`, then a matrix product by BLAS |
# | tiles | the columns of `im2col` exist a few at a time, in the cache, and are multiplied at once with SIMD instructions |
# | direct | no columns at all: a tap of the filter is a distance in the padded picture |
# | Winograd | sums of pixels and of weights first, then 36 multiplications where the definition has 144 |
#
# First we see that all of them give the same answer. They add in another order, so the last digits may differ.

# %%
finish = nothing(x.dtype)  # what is done with each finished picture: here nothing


def by_backend(name):
    def run(x):
        with backend.using(name):
            return conv.forward(x, w, stride=1, pad=1)
    return run


rungs = {
    "loops": by_backend("loops"),
    "array": by_backend("numpy"),
    "tiles": lambda x: jit._correlate(x, w, 1, 1, 1, finish),  # the library itself chooses among these three
    "direct": lambda x: direct.correlate(x, w, 1, 1, 1, finish),
    "Winograd": lambda x: winograd.correlate(x, w, 1, 1, finish),
}
small = np.ascontiguousarray(x[:1, :, :8, :8])  # one picture of 8x8 pixels: the loops take their time
reference = rungs["loops"](small)
for name, run in rungs.items():
    difference = np.abs(run(small) - reference).max()
    print(f"{name:9} largest difference from the loops {difference:.1e}, largest value {np.abs(reference).max():.1f}")

# %% [markdown]
# Then we time them: the loops on the small picture, the others on all 64 pictures. The count is always that of the definition
# (exercise 10.2). It is the fastest of several calls that counts: a neighbour on the machine can only make a call slower.

# %%
def gflops(run, x):
    """GFLOP/s of the fastest of at least three calls."""
    flops = 2 * x.shape[0] * x.shape[2] * x.shape[3] * w.size
    return flops / min(ceiling.bursts(lambda: run(x), 0.3)) / 1e9


speeds = {name: gflops(run, small if name == "loops" else x) for name, run in rungs.items()}
rates(speeds, unit="GFLOP/s, multiplications and additions of the definition", ceiling=("NumPy's matrix product", peak))

# %% [markdown]
# One warning first. The array rung hands many small products to BLAS. Where other programs are at work, the threads of BLAS
# wait for each other at every one of them. Then this rung falls to a small part of what it reaches on a quiet machine. (Start
# Python with `OPENBLAS_NUM_THREADS=1` and run the cell again, to see.)
#
# Look at two distances in your figure.
#
# - From *loops* to *array*: nothing about the arithmetic changed. What went away is the interpreter, which spends far more
#   time on each product than the product takes.
# - The right end against the line: Winograd's rung may stand to the right of it. That is no wonder. The line is a speed of
#   multiplying, and Winograd multiplies less: we count four for every one that it does.

# %%
print(f"array / loops      {speeds['array'] / speeds['loops']:9.0f} times")
print(f"tiles / array      {speeds['tiles'] / speeds['array']:9.2f} times")
print(f"direct / tiles     {speeds['direct'] / speeds['tiles']:9.2f} times")
print(f"Winograd / direct  {speeds['Winograd'] / speeds['direct']:9.2f} times")
print(f"Winograd           {speeds['Winograd'] / peak:9.0%} of the matrix product")

# %% [markdown]
# ## bf16: half the bytes, twice the products
#
# A float32 number has 32 bits: a sign, 8 for the exponent, 23 for the digits. **bf16** is its upper half, with 7 bits for the
# digits. So it reaches as far as float32, from 1e-38 to 3e38, but it knows two to three decimal digits only.

# %%
def pattern(number):
    """Sign, exponent and digits of a float32, as bits."""
    text = f"{np.float32(number).view(np.uint32):032b}"
    return f"{text[0]} {text[1:9]} {text[9:16]} {text[16:]}"


near_pi = BF16.type(np.pi)
print(f"float32  {pattern(np.pi)}  {np.float32(np.pi):.7f}")
print(f"bf16     {pattern(near_pi)}  {float(near_pi):.7f}")

# %% [markdown]
# In precision bf16 the library keeps the **maps** (activations and their gradients) in bf16, and rounds the **factors** of the
# convolutions' products. Sums, weights, momentum and statistics stay float32: a weight of 1 plus a step of 0.001 is 1 again in
# bf16, and nothing would be learned.
#
# Two things are gained. All maps have half as many bytes to be moved. And some processors have an instruction for it. AVX-512's
# `vdpbf16ps` multiplies 32 pairs of bf16 numbers at once, where float32's multiplies 16. Intel's AMX has **tiles**, registers of
# 16 rows with 32 numbers each: one instruction multiplies two of them, which is 8,192 products. These are the next rungs, if
# your processor has them.
#
# Winograd's trick changes, too. In bf16 the library takes the smaller one, with 16 multiplications for 36: you will see why. And
# with AMX's tiles a multiplication costs next to nothing, so that there is nothing to save: it computes the definition again.

# %%
half = rounded(x)  # the same pictures in bf16, and each pixel's channels side by side in memory
if micro.MICRO_KERNEL != "portable":
    rung = "bf16, tiles" if micro.MICRO_KERNEL == "amx" else "bf16, Winograd"
    speeds[rung] = gflops(by_backend("numba"), half)
    print(f"{rung} / float32, Winograd  {speeds[rung] / speeds['Winograd']:.2f} times")
else:
    print("This processor has no instruction for bf16: it would have to compute in float32, and to round besides.")
rates(speeds, unit="GFLOP/s, multiplications and additions of the definition", ceiling=("NumPy's matrix product", peak))

# %% [markdown]
# ### What may be rounded
#
# A product of two rounded factors is off by up to $2^{-8}$ of its size. A direct convolution adds such products, whose errors
# have either sign. Winograd's convolution is another matter: it multiplies *sums* of pixels and *sums* of weights. In a row of
# pixels $d$, with a filter $g$,
#
# $$ y = A^T \, \big[ (G g) \odot (B^T d) \big] $$
#
# Rounded are the factors $G g$ and $B^T d$. If they are large, and $A^T$ takes differences of large products, then the error is
# large, and the result is not. There are several such convolutions: $F(2, 3)$ computes two outputs at once, with four
# multiplications; $F(4, 3)$ four outputs, with six. In a plane, F(2x2, 3x3) needs 16 multiplications for 4 outputs,
# F(4x4, 3x3) 36 for 16: 2.25 and 4 times fewer than the definition. Why does the library take the smaller one in bf16?
# (The matrices are those of Lavin and Gray 2015, sections 4.1 and 4.3. In float32 the library takes F(4x4, 3x3) at other points
# than they do, 3/4 and 3/2 in place of 1 and 2, and errs half as much.)

# %%
F2 = (np.array([[1, 1, 1, 0], [0, 1, -1, -1]], float),  # A^T: outputs of products
      np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2,  # G: of the filter
      np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], float))  # B^T: of the pixels
F4 = (np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], float),
      np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
      np.array([[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
                [0, 4, 0, -5, 0, 1]], float))


def tiles_of(A_T, G, B_T, d, g, keep):
    """Convolutions of tiles d (..., C, T, T) with filters g (C, 3, 3), summed over C; `keep` rounds what is multiplied."""
    products = keep(B_T @ d @ B_T.T) * keep(G @ g @ G.T)
    return A_T @ products.sum(-3) @ A_T.T


def to_bf16(values):
    return values.astype(BF16).astype(float)


g = rng.standard_normal((64, 3, 3))  # one filter of 64 channels
errors = {}
for name, matrices in {"F(2x2, 3x3)": F2, "F(4x4, 3x3)": F4}.items():
    size = matrices[2].shape[0]
    d = rng.standard_normal((2000, 64, size, size))
    exact = tiles_of(*matrices, d, g, keep=lambda values: values)
    definition = sum(d[..., i : i + size - 2, j : j + size - 2] * g[:, i, j, None, None] for i in range(3) for j in range(3)).sum(1)
    assert np.allclose(exact, definition)
    rounded_first = sum(to_bf16(d)[..., i : i + size - 2, j : j + size - 2] * to_bf16(g)[:, i, j, None, None]
                        for i in range(3) for j in range(3)).sum(1)
    errors["direct"] = (rounded_first - exact).std() / exact.std()
    errors[name] = (tiles_of(*matrices, d, g, keep=to_bf16) - exact).std() / exact.std()
for name in ("direct", "F(2x2, 3x3)", "F(4x4, 3x3)"):
    times = errors[name] / errors["direct"]
    print(f"{name:12} error {errors[name]:.2%} of the result's deviation: {times:5.2f} times the direct one")

# %% [markdown]
# The results are maps, and will be rounded to bf16 in any case, which is an error of up to 0.4 % of each number. The error of
# F(2x2, 3x3) is of that size too. F(4x4, 3x3) loses nearly a decimal digit more, in every layer.
#
# ### Exercise 10.4
#
# Predict these ratios from the matrices alone, in one dimension. Let all pixels and all weights be independent, with mean 0
# and variance 1, and let each factor be rounded with an error that is a fixed share of it. Then
#
# - the factor $(B^T d)_i$ has the variance $\sum_j (B^T_{ij})^2$, and the factor $(G g)_i$ has $\sum_j G_{ij}^2$;
# - the error of product $i$ has a variance that is a fixed share of the product of these two; output $k$ takes
#   the product $A^T_{ki}$ times, so its error's variance takes that of the product $(A^T_{ki})^2$ times;
# - a direct sum of three products, whose factors have variance 1, has 3 where you sum up these numbers.
#
# How many times the variance of the direct sum's error is Winograd's, averaged over the outputs?

# %%
def growth(A_T, G, B_T):
    ...  # your code


tutor.check("10.4", growth)

# %% [markdown]
# In one dimension the *variance* grows so many times. In a plane the transforms are applied twice, along rows and along
# columns, so the variance grows by the square, and the deviation, its root, by this very number: compare it with what you
# measured above. Then look into the last row of $A^T$ for $F(4, 3)$, and find the weights that are to blame.

# %% [markdown]
# ## The roofline of a training step
#
# Now the whole step: forward, loss, backward, update. The library times every kernel inside the step itself, so that the
# caches are as the step leaves them. Each kind of operation gets a colour, each shape of its arrays a point. The area of a
# point is the time it takes. (`resnet-np bench --ops --plot roofline.png` makes the same picture, with more rounds.)

# %%
found = roofline.measure(Task("resnet8", 64, THREADS), rounds=3, say=print)
roofline.draw(found)

# %% [markdown]
# Read it from left to right. On the left are the operations that memory bounds: normalise, ReLU, add, update. On the right
# are the convolutions. A point above the slope is no error: the slope is the speed of the *main memory*, and small arrays
# come from a cache, which is faster. A point above the flat roof is a convolution by Winograd.
#
# ## Where the time of a step goes

# %%
parts = {"outside": found.outside}
for point in found.points:
    parts[point.name] = parts.get(point.name, 0.0) + point.total
shares(parts, title=f"ResNet-8, {found.task.batch} pictures, {found.task.threads} threads")

# %% [markdown]
# "Outside" is Python: calling functions, checking arguments, handing out memory. The convolutions come in three kinds,
# because a backward pass needs two of them: one for `dx` (`input_grad`) and one for `dw` (`weight_grad`). The names that
# begin with `fused` do a convolution *and* what stands behind it.

# %%
multiplying = sum(seconds for name, seconds in parts.items() if name.startswith("conv") or "conv" in name)
print(f"operations with a convolution in them: {multiplying / sum(parts.values()):.0%} of the step")

# %% [markdown]
# ### Exercise 10.5
#
# Suppose that a part takes the `share` of the step (0.25 is a quarter), and you make it `factor` times faster. The rest stays
# as it is. How many times faster is the whole step? (This is Amdahl's law.)

# %%
def whole_step(share, factor):
    ...  # your code


tutor.check("10.5", whole_step)

# %% [markdown]
# Try it on your own step: what would it bring if the largest part were twice as fast? And if it took no time at all (`factor`
# very large)? If that second number is small, leave the part alone.

# %%
longest = max(parts, key=lambda name: parts[name])
share = parts[longest] / sum(parts.values())
print(f"{longest}: {share:.0%} of the step")

# %% [markdown]
# ## Fusion, and reused memory
#
# Behind every convolution come batch norm and ReLU, and at the end of a block the addition. Layer by layer each of them is a
# sweep of its own over all activations: fetch, do one or two operations, store. **Fused**, they are done while a picture is
# still in the cache. The multiplications are the same.
#
# A step also needs memory for its arrays. New memory from the operating system is not free: each page is filled with zeros
# first. A `Workspace` keeps the memory of arrays that have died and hands it out again in the next step.
#
# First: is it the same computation? We compare the answers of two nets with the same weights.

# %%
images, labels = random_batch(64, 10)
nets = {"fused": resnet_cifar(8, seed=0), "layer by layer": resnet_cifar(8, seed=0, fused=False)}
logits, gradients = [], []
for net in nets.values():
    logits.append(net.forward(images, training=True))
    loss, cache = F.softmax_cross_entropy_forward(logits[-1], labels)
    net.backward(F.softmax_cross_entropy_backward(cache))
    gradients.append(net.named_parameters()["conv1.weight"].grad)
for name, (one, other) in {"logits": logits, "gradient of the first filters": gradients}.items():
    print(f"{name}: largest difference {np.abs(one - other).max():.1e}, largest value {np.abs(one).max():.1e}")

# %% [markdown]
# Then the time, in turns: one step of each, and again. So a neighbour on the machine disturbs all of them alike. "New memory"
# is given a fresh `Workspace` for each step, which has nothing to hand out yet.

# %%
def stepper(net, fresh_memory):
    optimiser, kept = SGD(net.named_parameters()), Workspace()

    def step():
        start = time.perf_counter()
        training_step(net, optimiser, images, labels, lr=0.01, workspace=Workspace() if fresh_memory else kept)
        return time.perf_counter() - start

    step()  # compiles what is still to be compiled, and fills the workspace
    return step


steppers = {
    "layer by layer,\nreused memory": stepper(nets["layer by layer"], fresh_memory=False),
    "fused,\nnew memory": stepper(nets["fused"], fresh_memory=True),
    "fused,\nreused memory": stepper(nets["fused"], fresh_memory=False),
}
seconds = {name: [] for name in steppers}
for _ in range(9):
    for name, step in steppers.items():
        seconds[name].append(step())
turns(seconds, title="ResNet-8, 64 pictures: a training step, nine rounds in turns")

# %%
best = {name.replace("\n", " "): min(values) for name, values in seconds.items()}
for name, value in best.items():
    print(f"{name:31} {1000 * value:6.1f} ms in its fastest round, {value / best['fused, reused memory']:.2f} times the last one")

# %% [markdown]
# If the dots of two rows overlap widely, this run shows no difference between them. Close other programs, or take more
# rounds.
#
# ## Summary
#
# - A machine has two speeds. Their ratio decides which operations wait for memory and which for arithmetic.
# - Convolutions have a high intensity: they are worth clever kernels. ReLU, batch norm and addition have a low one: they are
#   worth *not being done apart*.
# - Each rung of the ladder removes one cost: the interpreter, the columns in memory, the columns in the cache, more than half
#   of the multiplications, half of the bytes.
# - Rounding is harmless where nothing large cancels: F(2x2, 3x3) bears bf16, F(4x4, 3x3) does not.
# - Measure before you optimise: no part can bring more than its share of the step.
# - Fused or not, the net computes the same, up to the last digits.
#
# **Where the code lives**: the ladder in `resnet_np/kernels/conv/` (its `__init__.py` has a table of one machine's speeds),
# fusion in `resnet_np/layers/fused.py`, memory in `resnet_np/workspace.py`, measuring in `resnet_np/bench/`.
#
# **Next**: notebook 11, depth and width: what a larger net costs, and what it brings.
