# %% [markdown]
# # 10. Make it fast
#
# **What you will learn**
#
# - The two speeds of a machine: how fast it multiplies, and how fast it moves memory.
# - The roofline: one picture that says which of the two holds an operation back.
# - The ladder of our convolution: the same result on five rungs, each faster for a reason.
# - Where the time of a training step goes, and what it is worth to make one part faster.
# - What fusion and reused memory change.
#
# **You need**: notebook 1 (convolution four ways); it helps to have read notebook 5 (build ResNet-20).
#
# **Time**: 40 minutes.
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
from resnet_np.kernels import conv
from resnet_np.kernels.conv import direct, jit, winograd
from resnet_np.kernels.conv.finish import nothing
from resnet_np.models import resnet_cifar
from resnet_np.optim import SGD
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
# | Winograd | sums of pixels and of weights first, then 16 multiplications where the definition has 36 |
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
#   multiplying, and Winograd multiplies less: we count 36 for every 16 that it does.

# %%
print(f"array / loops      {speeds['array'] / speeds['loops']:9.0f} times")
print(f"tiles / array      {speeds['tiles'] / speeds['array']:9.2f} times")
print(f"direct / tiles     {speeds['direct'] / speeds['tiles']:9.2f} times")
print(f"Winograd / direct  {speeds['Winograd'] / speeds['direct']:9.2f} times")
print(f"Winograd           {speeds['Winograd'] / peak:9.0%} of the matrix product")

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
# ### Exercise 10.4
#
# Suppose that a part takes the `share` of the step (0.25 is a quarter), and you make it `factor` times faster. The rest stays
# as it is. How many times faster is the whole step? (This is Amdahl's law.)

# %%
def whole_step(share, factor):
    ...  # your code


tutor.check("10.4", whole_step)

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
#   of the multiplications.
# - Measure before you optimise: no part can bring more than its share of the step.
# - Fused or not, the net computes the same, up to the last digits.
#
# **Where the code lives**: the ladder in `resnet_np/kernels/conv/` (its `__init__.py` has a table of one machine's speeds),
# fusion in `resnet_np/layers/fused.py`, memory in `resnet_np/workspace.py`, measuring in `resnet_np/bench/`.
#
# **Next**: notebook 11, depth and width: what a larger net costs, and what it brings.
