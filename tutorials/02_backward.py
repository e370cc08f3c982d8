# %% [markdown]
# # 2. Backward by hand
#
# **What you will learn**
#
# - What a backward pass computes, with every number of one small convolution on paper.
# - Why `col2im` *adds*: a pixel lies in several windows, and each of them sends a gradient back.
# - How to test a derivation without trusting it: finite differences, and how large their step should be.
# - Why a corner (a ReLU at 0) disturbs such a test, and what the checker does about it.
# - How to find a bug in a backward pass with the checker of this project.
#
# **You need**: notebook 1 (convolution, `im2col`), the chain rule.
#
# **Time**: 45 minutes.

# %%
# %matplotlib inline
import inspect

import numpy as np

from resnet_np import backend, tutor
from resnet_np import functional as F
from resnet_np.gradcheck import Evaluation, assigned, check_entries, check_pair, require
from resnet_np.kernels.conv import array
from resnet_np.viz.overlap import overlaps
from resnet_np.viz.spread import spread

np.set_printoptions(precision=4, suppress=True, linewidth=110)

# %% [markdown]
# ## The question
#
# A net computes a number, the loss $L$. Training must know for every weight: if I move it a little, how does $L$ move? That is
# $\partial L / \partial w$. In this project the array of all these derivatives is called `dw`. It has the shape of `w`. In the
# same way `dx` is $\partial L / \partial x$ and `dout` is $\partial L / \partial \mathrm{out}$.
#
# A backward pass is a function that is given `dout` and returns `dx` and `dw`. It does not know what comes after: whatever it is,
# it is summed up in `dout`.
#
# Our example is as small as a convolution can be: one picture of 3x3 pixels, one filter of 2x2 weights, hence 2x2 outputs.

# %%
x = np.array([[1.0, 2, 0], [0, 1, 3], [2, 1, 1]])  # (H, W)
w = np.array([[1.0, -1], [2, 1]])  # (KH, KW)
out, cache = F.conv2d_forward(x[None, None], w[None, None])  # N = C = F = 1
print("x\n", x, "\nw\n", w, "\nout = conv(x, w)\n", out[0, 0], sep="")

# %% [markdown]
# Every output is a sum of four products. We write them all down, window by window.

# %%
for p in range(2):
    for q in range(2):
        terms = " + ".join(f"({w[i, j]:g})({x[p + i, q + j]:g})" for i in range(2) for j in range(2))
        print(f"out[{p}, {q}] = {terms} = {out[0, 0, p, q]:g}")

# %% [markdown]
# ## The chain rule for a weight
#
# Let the rest of the net send back this `dout`. It says, for example: if `out[0, 1]` grows by a little, $L$ falls by 3 times as
# much.

# %%
dout = np.array([[1.0, -3], [2, 1]])  # (OH, OW)

# %% [markdown]
# The weight `w[0, 0]` occurs in all four outputs. In `out[p, q]` it is multiplied by `x[p, q]`. The chain rule adds the four ways
# on which the weight reaches $L$:
#
# $$ dw_{ij} = \sum_{p,q} dout_{pq} \; \frac{\partial out_{pq}}{\partial w_{ij}} = \sum_{p,q} dout_{pq} \; x_{p+i,\,q+j} $$

# %%
dx, dw = F.conv2d_backward(dout[None, None], cache)
for i in range(2):
    for j in range(2):
        terms = " + ".join(f"({dout[p, q]:g})({x[p + i, q + j]:g})" for p in range(2) for q in range(2))
        total = sum(dout[p, q] * x[p + i, q + j] for p in range(2) for q in range(2))
        print(f"dw[{i}, {j}] = {terms} = {total:g}   the library: {dw[0, 0, i, j]:g}")

# %% [markdown]
# The formula has the same form as the convolution itself: `dw` is `x` correlated with `dout`.
#
# ### Exercise 2.1
#
# Write `dw` for one picture and one filter, of any size. `dout` is (OH, OW), `x` is (H, W). The filter then has KH = H - OH + 1
# rows and KW = W - OW + 1 columns.

# %%
def weight_gradient(dout, x):
    ...  # your code


tutor.check("2.1", weight_gradient)

# %% [markdown]
# ## The chain rule for a pixel
#
# Now the same for a pixel. Corner pixels lie in one window, so they have one term. The pixel in the middle, `x[1, 1]`, lies in
# all four windows. It is met by another weight in each, so its gradient has four terms.

# %%
for r in range(3):
    for s in range(3):
        ways = [(p, q) for p in range(2) for q in range(2) if 0 <= r - p < 2 and 0 <= s - q < 2]
        terms = " + ".join(f"({dout[p, q]:g})({w[r - p, s - q]:g})" for p, q in ways)
        total = sum(dout[p, q] * w[r - p, s - q] for p, q in ways)
        print(f"dx[{r}, {s}] = {terms:43} = {total:3g}   the library: {dx[0, 0, r, s]:3g}")

# %% [markdown]
# ## The same with columns
#
# Notebook 1 wrote a convolution as `im2col` and a matrix product. The gradient of a product is known: for $out = W \cdot columns$
#
# $$ dW = dout \cdot columns^T, \qquad dcolumns = W^T \cdot dout . $$
#
# Each column of `columns` is a window of `x`; each column of `dcolumns` is the gradient of that window.

# %%
columns = array.im2col(x[None, None], 2, 2, stride=1, pad=0)[0]  # (KH*KW, OH*OW)
dcolumns = w.reshape(1, 4).T @ dout.reshape(1, 4)
print("columns: window p stands in column p\n", columns, sep="")
print("dcolumns = w^T dout\n", dcolumns, sep="")
print("dw = dout columns^T:", (dout.reshape(1, 4) @ columns.T)[0], "  the library:", dw.ravel())

# %% [markdown]
# What is left is to bring the 16 numbers of `dcolumns` back to the 9 pixels. Pixel `x[1, 1]` was copied four times: it is the
# last number of window 0, the third of window 1, the second of window 2 and the first of window 3. So four numbers of `dcolumns`
# belong to it. By the chain rule they are added.

# %%
print("the four copies of x[1, 1] in columns:   ", columns[3, 0], columns[2, 1], columns[1, 2], columns[0, 3])
print("their gradients in dcolumns:             ", dcolumns[3, 0], dcolumns[2, 1], dcolumns[1, 2], dcolumns[0, 3])
print("added up:", dcolumns[3, 0] + dcolumns[2, 1] + dcolumns[1, 2] + dcolumns[0, 3], "  dx[1, 1]:", dx[0, 0, 1, 1])

# %% [markdown]
# `col2im` does it for all pixels at once. Look for the `+=`.

# %%
print(inspect.getsource(array.col2im))

# %%
back = array.col2im(dcolumns[None], x_shape=(1, 1, 3, 3), kh=2, kw=2, stride=1, pad=0)[0, 0]
print("col2im(dcolumns)\n", back, "\ndx of the library\n", dx[0, 0], sep="")

# %% [markdown]
# ## A picture of the overlaps
#
# How many windows see a pixel? Ask `col2im` itself: give it columns full of ones, and every pixel counts its copies. Below are
# 5x5 pixels under four kinds of windows. Two of the windows are outlined.

# %%
def counted(k, stride, pad):
    ones = np.ones_like(array.im2col(np.ones((1, 1, 5, 5)), k, k, stride=stride, pad=pad))
    return array.col2im(ones, x_shape=(1, 1, 5, 5), kh=k, kw=k, stride=stride, pad=pad)[0, 0]


overlaps(
    {"3x3, stride 1": counted(3, 1, 0), "3x3, stride 1, padding 1": counted(3, 1, 1), "3x3, stride 2, padding 1": counted(3, 2, 1),
     "2x2, stride 2": counted(2, 2, 0)},
    {"3x3, stride 1": ((0, 0, 3), (1, 1, 3)), "3x3, stride 1, padding 1": ((-1, -1, 3), (1, 1, 3)),
     "3x3, stride 2, padding 1": ((-1, -1, 3), (1, 1, 3)), "2x2, stride 2": ((0, 0, 2), (2, 2, 2))})

# %% [markdown]
# With 2x2 windows and stride 2 nothing overlaps: `=` instead of `+=` would do no harm, except that the last row and column, which
# no window sees, must stay 0. With the windows of a ResNet (3x3, stride 1, padding 1) a pixel in the middle collects nine terms.
# Somebody who writes `=` keeps the last of the nine and loses eight.
#
# ### Exercise 2.2
#
# Count the windows over every pixel yourself, without padding: return an array (H, W). Windows have k x k pixels and begin in
# every `stride`-th row and column, as long as they fit.

# %%
def windows(H, W, k, stride):
    ...  # your code


tutor.check("2.2", windows)

# %% [markdown]
# ## Adding is copying backwards: the adjoint
#
# There is a test of `col2im` that needs no derivative. `im2col` is linear: it only copies. Written as a matrix, it is a large
# matrix $A$ of zeros and ones. `col2im` must be multiplication by $A^T$, the *adjoint*. For every $x$ and every $c$ then
#
# $$ \langle \mathrm{im2col}(x), c \rangle = \langle Ax, c \rangle = \langle x, A^T c \rangle
#    = \langle x, \mathrm{col2im}(c) \rangle , $$
#
# where $\langle a, b \rangle$ is the sum of all products of entries. We try random $x$ and $c$.

# %%
rng = np.random.default_rng(0)
for k, stride, pad in ((3, 1, 0), (3, 1, 1), (3, 2, 1), (2, 2, 0)):
    image = rng.standard_normal((2, 3, 5, 5))
    cols = array.im2col(image, k, k, stride=stride, pad=pad)
    c = rng.standard_normal(cols.shape)
    image_of_c = array.col2im(c, x_shape=image.shape, kh=k, kw=k, stride=stride, pad=pad)
    print(f"{k}x{k}, stride {stride}, padding {pad}:  <im2col(x), c> = {np.vdot(cols, c):+.12f}"
          f"   <x, col2im(c)> = {np.vdot(image, image_of_c):+.12f}")

# %% [markdown]
# Both sides agree to the last digits shown. Note what `col2im` is *not*: it is not the inverse of `im2col`. To copy a picture
# into columns and add the copies up gives every pixel as often as there are windows over it.

# %%
image = np.arange(1.0, 26).reshape(5, 5)
image_columns = array.im2col(image[None, None], 3, 3, stride=1, pad=0)
again = array.col2im(image_columns, x_shape=(1, 1, 5, 5), kh=3, kw=3, stride=1, pad=0)[0, 0]
print("col2im(im2col(x)) / x\n", again / image, sep="")

# %% [markdown]
# ## Finite differences
#
# A derivation can be wrong in the same way as the code that was written from it. So we need a test that derives nothing. Move one
# entry by a small $h$, to the left and to the right, and look at the loss:
#
# $$ \frac{\partial L}{\partial w_{ij}} \approx \frac{L(w_{ij} + h) - L(w_{ij} - h)}{2h}, \qquad L = \sum dout \cdot out . $$
#
# This $L$ has exactly the gradient `dout` with respect to `out`, so a backward pass that was given `dout` must return its
# derivatives.

# %%
def L(w):
    return np.sum(dout * F.conv2d_forward(x[None, None], w[None, None])[0])


h = 1e-5
for i, j in np.ndindex(2, 2):
    e = np.zeros((2, 2))
    e[i, j] = h
    print(f"w[{i}, {j}]: finite difference {(L(w + e) - L(w - e)) / (2 * h):.10f}   backward {dw[0, 0, i, j]:.10f}")

# %% [markdown]
# The library does this for any pair of functions, for every entry of every argument: `check_pair`. It draws a random `dout` by
# itself. Everything is float64.

# %%
def backward(dout, cache):
    dx, dw = F.conv2d_backward(dout, cache)
    return {"x": dx, "w": dw}


rng = np.random.default_rng(1)
reports = check_pair(lambda x, w: F.conv2d_forward(x, w, stride=2, pad=1), backward,
                     {"x": rng.standard_normal((2, 2, 5, 5)), "w": rng.standard_normal((3, 2, 3, 3))}, rng=rng)
for report in reports:
    print(report.describe(1e-6))

# %% [markdown]
# ### Exercise 2.3
#
# Write the centred difference for a function of one number.

# %%
def slope(f, x, h):
    ...  # your code


tutor.check("2.3", slope)

# %% [markdown]
# ## How large should the step be?
#
# Two errors work against each other.
#
# - A curve is not a straight line. To one side, $(L(w+h) - L(w))/h$, the error shrinks like $h$; to both sides like $h^2$.
# - A computer rounds. $L(w+h)$ and $L(w-h)$ agree in nearly all digits; their difference keeps only the last ones, and these are
#   rounding. That error is about $\varepsilon / h$, with $\varepsilon \approx 10^{-16}$ in float64 and $10^{-7}$ in float32: it
#   *grows* as $h$ shrinks.
#
# The sum has the form of a U. We measure it on a function that is not straight: a convolution, global average pooling and the
# cross-entropy, with respect to 20 weights. The shaded area goes from the best of the 20 to the worst.

# %%
rng = np.random.default_rng(2)
pictures, filters, labels = rng.standard_normal((4, 3, 6, 6)), rng.standard_normal((10, 3, 3, 3)), np.array([0, 3, 3, 7])


def forward(w, dtype=np.float64):
    maps, conv = F.conv2d_forward(pictures.astype(dtype), w.astype(dtype))
    logits, pool = F.global_average_pool_forward(maps)
    loss, entropy = F.softmax_cross_entropy_forward(logits, labels)
    return loss, (conv, pool, entropy)


_, (conv, pool, entropy) = forward(filters)
exact = F.conv2d_backward(F.global_average_pool_backward(F.softmax_cross_entropy_backward(entropy), pool), conv).dw
entries = [tuple(rng.integers(0, size) for size in filters.shape) for _ in range(20)]
steps = 10.0 ** -np.arange(0, 13, 0.5)


def errors(dtype, centred):
    table = np.empty((len(entries), len(steps)))
    for n, entry in enumerate(entries):
        e = np.zeros_like(filters)
        e[entry] = 1
        for k, h in enumerate(steps):
            below = filters - h * e if centred else filters
            difference = (float(forward(filters + h * e, dtype)[0]) - float(forward(below, dtype)[0])) / (2 * h if centred else h)
            table[n, k] = max(abs(difference - exact[entry]) / np.abs(exact).max(), 1e-14)  # a logarithm needs more than 0
    return table


with backend.using("numpy"):  # arrays this small do not need compiled kernels
    curves = {"float64, both sides": errors(np.float64, True), "float64, one side": errors(np.float64, False),
              "float32, both sides": errors(np.float32, True)}
for name, table in curves.items():
    middle = np.median(table, axis=0)
    print(f"{name:20}  smallest error {middle.min():.0e}, at h = {steps[middle.argmin()]:.0e}")

# %%
spread({"Error of a finite difference, 20 weights": {name: (steps, table) for name, table in curves.items()}},
       xlabel="step h", ylabel="relative error", logx=True, logy=True)

# %% [markdown]
# Read it from right to left. At large steps the curvature decides: both float64 lines fall, the one to both sides twice as
# steeply. At small steps rounding decides, and they rise again. To both sides float64 comes to about ten digits, for steps from
# $10^{-3}$ down to $10^{-6}$. Float32 needs a step of almost 0.1 to get five digits, for the middle one of the weights, and has
# none left below $10^{-5}$: too coarse to tell a small bug from rounding. That is why `check_pair` refuses float32. It begins
# with $h = 10^{-5}$: a little left of the bottom of the U, with digits to spare, because a small step also meets fewer of the
# corners that come next.
#
# ## Kinks
#
# The ReLU, $\max(x, 0)$, has a corner at 0: the slope is 0 on the left and 1 on the right. A step that reaches across the corner
# measures a mixture of the two, although the backward pass is right.

# %%
place = np.linspace(-0.03, 0.03, 121)
value, relu = F.relu_forward(place)
lines = {"relu_backward": (place, F.relu_backward(np.ones_like(place), relu))}
for h in (0.02, 0.005):
    centred = (F.relu_forward(place + h)[0] - F.relu_forward(place - h)[0]) / (2 * h)
    lines[f"h = {h:g}, both sides"] = (place, centred)
spread({"Slope of a ReLU near its corner": lines}, xlabel="x", ylabel="slope")

# %% [markdown]
# Among thousands of activations some are always close to 0. What should a checker do? To forgive all large errors would forgive
# bugs too. The library looks at the cause instead: a function may return an `Evaluation`, its output together with the *masks* of
# its decisions (here: which $x$ are positive). If a mask changes between $x-h$ and $x+h$, the step crosses a kink. The checker
# shortens it, and if the shortest step crosses too, it skips the entry and says so.

# %%
rng = np.random.default_rng(3)
near = rng.standard_normal(300)
near[7], near[8] = 0.0, 2e-6  # one in the corner, one close to it
upstream = rng.standard_normal(300)
gradient = {"x": F.relu_backward(upstream, F.relu_forward(near)[1])}

blind, = check_entries(lambda x: F.relu_forward(x)[0], {"x": near}, gradient, upstream=upstream)
seeing, = check_entries(lambda x: Evaluation(F.relu_forward(x)[0], (x > 0,)), {"x": near}, gradient, upstream=upstream)
print("without masks:", blind.describe(1e-6))
print("with masks:   ", seeing.describe(1e-6))

# %% [markdown]
# Without masks a correct gradient is called wrong at entry 7. With masks one entry, the one exactly in the corner, is skipped;
# entry 8 is checked with a shorter step. `check_pair` and `check_layer` find the masks of the library's operations by themselves.
#
# ## Find the planted bug
#
# Here is a backward pass of the convolution. It runs, its shapes are right, and it contains one of the classic bugs.

# %%
def planted(dout, cache):
    x, w, stride, pad = cache
    N, F, OH, OW = dout.shape
    C, KH, KW = w.shape[1:]
    columns = array.im2col(x, KH, KW, stride=stride, pad=pad)
    dw = np.einsum("nfp,nrp->fr", dout.reshape(N, F, -1), columns).reshape(w.shape)
    dcolumns = (w.reshape(F, -1).T @ dout.reshape(N, F, -1)).reshape(N, C, KH, KW, OH, OW)
    padded = np.zeros((N, C, x.shape[2] + 2 * pad, x.shape[3] + 2 * pad))
    for i in range(KH):
        for j in range(KW):
            padded[:, :, i:i + stride * OH:stride, j:j + stride * OW:stride] = dcolumns[:, :, i, j]
    return {"x": padded[:, :, pad:pad + x.shape[2], pad:pad + x.shape[3]], "w": dw}


def checked(backward, suspects=None):
    rng = np.random.default_rng(4)
    arrays = {"x": rng.standard_normal((1, 1, 5, 5)), "w": rng.standard_normal((1, 1, 3, 3))}
    return check_pair(F.conv2d_forward, backward, arrays, rng=rng, suspects=suspects)


for report in checked(planted):
    print(report.describe(1e-6))

# %% [markdown]
# The gradient of the weights is right, that of the picture is not. The checker names the entry where it is worst, and both
# values. Is it wrong everywhere? We compare with the right one, pixel by pixel.

# %%
rng = np.random.default_rng(4)
image, kernel = rng.standard_normal((1, 1, 5, 5)), rng.standard_normal((1, 1, 3, 3))
result, memory = F.conv2d_forward(image, kernel)
upstream = rng.standard_normal(result.shape)
wrong_dx, right_dx = planted(upstream, memory)["x"], F.conv2d_backward(upstream, memory).dx
overlaps({"windows over the pixel": counted(3, 1, 0), "dx, right (one decimal)": right_dx[0, 0].round(1),
          "dx, planted bug": wrong_dx[0, 0].round(1), "1 where they differ": (np.abs(wrong_dx - right_dx) > 1e-9)[0, 0]})

# %% [markdown]
# It is right in the corners, which one window sees, and wrong wherever windows overlap. That is a fingerprint. The checker knows
# some fingerprints; those that depend on the operation it must be told, as *suspects*.

# %%
try:
    require(checked(planted, suspects=lambda cache, dout: {"x": [assigned(counted(3, 1, 0)[None, None])]}))
except AssertionError as error:
    print(error)

# %% [markdown]
# `require` raises an `AssertionError`, so that a test fails: this is how the tests of this project use it. The same list of
# fingerprints stands behind `resnet-np gradcheck`. The command `resnet-np gradcheck --mutants` plants sixteen such bugs in a copy
# of the library and shows that every one is caught.
#
# ### Exercise 2.4
#
# Mend it. Write the backward pass of the convolution, from `planted` above or from nothing; return `{"x": dx, "w": dw}`.

# %%
def mended(dout, cache):
    ...  # your code


tutor.check("2.4", mended)

# %% [markdown]
# ## Summary
#
# - A backward pass turns `dout` into the gradients of its inputs. Each is a sum over all ways on which an input reaches the
#   output.
# - A weight occurs in every window: `dw` is a sum over windows. A pixel occurs in up to KH x KW windows: `dx` adds that many
#   terms.
# - `col2im` adds because `im2col` copies. It is the adjoint of `im2col`: $\langle \mathrm{im2col}(x), c \rangle = \langle x,
#   \mathrm{col2im}(c) \rangle$; it is not the inverse.
# - Finite differences test a derivation without repeating it: to both sides, in float64, with $h$ near $10^{-5}$.
# - At a kink a finite difference means nothing. The checker recognises kinks by masks, not by the size of an error.
# - Where a gradient is wrong, the pattern of the wrong entries leads to the bug.
#
# ## Where the code lives
#
# - `resnet_np/functional/conv2d.py`: the pair `conv2d_forward`, `conv2d_backward`
# - `resnet_np/kernels/conv/array.py`: `im2col`, `col2im`, the derivation in numbered steps
# - `resnet_np/gradcheck/differences.py`: finite differences, kinks; `causes.py`: the fingerprints; `mutants.py`: the sixteen bugs
#
# ## Next
#
# Notebook 3, batch norm: a backward pass with three ways instead of one.
