# %% [markdown]
# # 1. Convolution four ways
#
# **What you will learn**
#
# - What a convolution computes: one window, one filter, one number.
# - How large the output is, with stride and padding.
# - `im2col`: how windows become columns, and a convolution becomes one matrix product.
# - Why the columns are never written out in the code that trains, and what replaces them: tiles, SIMD, distances, Winograd's sums.
# - What each rung of this ladder gains on your machine.
#
# **You need**: notebook 0, and matrix products.
#
# **Time**: 45 minutes.

# %%
import os

# One thread for NumPy's matrix product: at the end we compare code, not cores. It must be said before anything imports NumPy.
os.environ.update(OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", VECLIB_MAXIMUM_THREADS="1")

# %matplotlib inline
import inspect
import time

import numba
import numpy as np

import data_tools
from resnet_np import backend, tutor
from resnet_np import functional as F
from resnet_np.kernels import conv
from resnet_np.kernels.conv import array, direct, jit, loops, tiles, winograd
from resnet_np.kernels.conv.finish import nothing
from resnet_np.kernels.simd import VECTOR_BYTES
from resnet_np.viz.bars import rates
from resnet_np.viz.pictures import signed_maps
from resnet_np.viz.windows import windows

np.set_printoptions(precision=3, suppress=True, linewidth=120)

DATA = "shapes10"  # "cifar10" where you have it

# %% [markdown]
# ## One window, one number
#
# Lay a small *filter* `w` on the picture `x`. Multiply each pixel by the weight that lies on it. Add up the products. That is one
# number of the output. Then move the filter by one pixel, and do it again.
#
# Our picture has 5 x 5 pixels, numbered so that you can follow each of them. The filter has 3 x 3 weights. It adds up a pixel and
# its four neighbours.

# %%
x = np.arange(1.0, 26.0).reshape(1, 1, 5, 5)  # (N, C, H, W): one picture, one channel
w = np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]).reshape(1, 1, 3, 3)  # (F, C, KH, KW): one filter
print("x =", x[0, 0], sep="\n")
print("w =", w[0, 0], sep="\n")

window = x[0, 0, 0:3, 0:3]
print("the first window =", window, sep="\n")
print("window * w =", window * w[0, 0], sep="\n")
print("its sum:", (window * w[0, 0]).sum())

# %% [markdown]
# Above and below, left and right balance each other in this picture. So the sum must be five times the pixel in the middle, 7.
#
# (In mathematics a convolution turns the filter upside down first. Deep learning does not. Since the weights are learned, nobody
# misses the turn. The exact name of what we do is *cross-correlation*.)
#
# ## First way: loops
#
# The library has a file that says it in plain Python. `products` names every product that the convolution consists of: which entry
# of the output it belongs to, which pixel and which weight are multiplied.

# %%
print(inspect.getsource(loops.products))

# %%
print(inspect.getsource(loops.forward))

# %% [markdown]
# The first nine of them are the window that we did by hand.

# %%
for in_out, in_x, in_w in list(loops.products(x.shape, w.shape, 1, 0))[:9]:
    print(f"out{list(in_out)} += x{list(in_x)} * w{list(in_w)}  =  {x[in_x]:2.0f} * {w[in_w]:2.0f}")

# %% [markdown]
# `F.conv2d_forward` is the function that all layers call. It checks its arguments and hands them to the *backend* in use. We ask
# for the backend `loops`.

# %%
with backend.using("loops"):
    out, cache = F.conv2d_forward(x, w)
print("out", out.shape)
print(out[0, 0])

# %% [markdown]
# ### Exercise 1.1
#
# Real filters see all channels at once. Write the window's number for one picture `x` of shape `(C, H, W)` and one filter `w` of
# shape `(C, KH, KW)`: `out[oh, ow]`, with stride 1 and no padding.


# %%
def one_number(x, w, oh, ow):
    ...  # your code


tutor.check("1.1", one_number)

# %% [markdown]
# ## What filters are good for
#
# A filter answers the question "how much does this place look like me?" Here are four simple ones on a real picture. The output has
# one channel a filter, so it has the shape `(N, F, OH, OW)`. Red is a large positive number, blue a large negative one.
#
# (The coloured frame comes from the zeros around the picture, `pad=1`, which look like an edge to a filter. More about them below.)
#
# In a net nobody chooses the filters. They are parameters, learned like those of the linear classifier.

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
picture = pictures.train_images[4]
grey = (picture.mean(axis=0) / 255).reshape(1, 1, 32, 32)
left_right = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]) / 4
filters = np.array([left_right, left_right.T, np.full((3, 3), 1 / 9), [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]]).reshape(4, 1, 3, 3)
maps, _ = F.conv2d_forward(grey, filters, pad=1)
print("x", grey.shape, " w", filters.shape, " out", maps.shape)
signed_maps(maps[0], ["left minus right", "top minus bottom", "mean of 3 x 3", "middle minus around"], picture=picture)

# %% [markdown]
# ## How large is the output?
#
# A window of KH x KW pixels has fewer places than the picture has pixels. Two settings change the number:
#
# - `pad`: that many rows and columns of zeros are laid around the picture. With `pad=1` a 3 x 3 filter keeps the size.
# - `stride`: the window moves by that many pixels at a time. With `stride=2` the output is half as high and half as wide.
#
# $$OH = \left\lfloor \frac{H + 2\,\mathrm{pad} - KH}{\mathrm{stride}} \right\rfloor + 1$$
#
# The same for OW. Here is what the library returns:

# %%
print(" H  KH  stride  pad    OH")
for H, KH, stride, pad in ((5, 3, 1, 0), (5, 3, 1, 1), (5, 3, 2, 1), (6, 3, 2, 1), (32, 3, 1, 1), (32, 3, 2, 1), (224, 7, 2, 3)):
    shape = F.conv2d_forward(np.zeros((1, 1, H, H)), np.zeros((1, 1, KH, KH)), stride=stride, pad=pad)[0].shape
    print(f"{H:3} {KH:3} {stride:7} {pad:4} {shape[2]:5}")

# %% [markdown]
# ### Exercise 1.2
#
# Write the formula as a function. It must work where the stride does not divide evenly.


# %%
def output_size(size, kernel, stride, pad):
    ...  # your code


tutor.check("1.2", output_size)

# %% [markdown]
# ## Second way: windows become columns
#
# Python loops are slow. NumPy is fast, if the work is one large operation. The largest one that it has is the matrix product.
#
# The trick is called `im2col`: cut out every window, write its numbers one below the other, and put these columns side by side.
# Each small picture below is our picture `x` with one window. On the right stand the columns, in the colours of the windows.

# %%
windows(x[0, 0], kernel=3)

# %% [markdown]
# And printed, column by column:

# %%
columns = array.im2col(x, 3, 3, stride=1, pad=0)
print("columns", columns.shape, " (N, C*KH*KW, OH*OW)")
for p in range(columns.shape[2]):
    oh, ow = divmod(p, 3)
    print(f"column {p} = window at row {oh}, column {ow}:", columns[0, :, p])

# %% [markdown]
# The pixel 13 in the middle lies in all nine windows, so it occurs in all nine columns. That is the price: the columns are up to
# nine times as large as the picture. (And it is why going *back* must add up nine terms for it: notebook 2.)
#
# With padding and stride the zeros (darker) are copied like pixels, and windows overlap less:

# %%
windows(x[0, 0], kernel=3, stride=2, pad=1)

# %% [markdown]
# Look at the code. It does not go through the windows. It goes through the KH x KW places in a window and copies one row of the
# matrix at a time, which is the whole picture, shifted.

# %%
print(inspect.getsource(array.im2col))

# %% [markdown]
# ### Exercise 1.3
#
# Write `im2col` for one channel, stride 1, no padding: from `x` of shape `(H, W)` to an array of shape `(KH*KW, OH*OW)`. Loops
# are fine.


# %%
def my_im2col(x, KH, KW):
    ...  # your code


tutor.check("1.3", my_im2col)

# %% [markdown]
# ## Third way: one matrix product
#
# Write the weights of a filter in a row, in the same order as the numbers in a column. Row times column is the sum of the products:
# exactly the number of that window. With a row for each of F filters and a column for each of P = OH OW windows,
#
# $$\mathrm{out}\;(F, P) = w\;(F, R)\; @\; \mathrm{columns}\;(R, P), \qquad R = C \cdot KH \cdot KW .$$

# %%
w_row = w.reshape(1, -1)
print("w as a row:     ", w_row[0])
print("row @ columns:  ", (w_row @ columns[0])[0])
print("as a picture:", (w_row @ columns[0]).reshape(3, 3), sep="\n")
print("the same as the loops:", np.array_equal((w_row @ columns[0]).reshape(3, 3), out[0, 0]))

# %%
print(inspect.getsource(array.forward))

# %% [markdown]
# A bigger test, with random numbers, several pictures, channels and filters, stride and padding. Both ways must agree.

# %%
rng = np.random.default_rng(0)
x2, w2 = rng.standard_normal((2, 3, 7, 6)), rng.standard_normal((4, 3, 3, 3))
for stride, pad in ((1, 0), (1, 1), (2, 1)):
    by_loops = loops.forward(x2, w2, stride=stride, pad=pad)
    by_product = array.forward(x2, w2, stride=stride, pad=pad)
    print(f"stride {stride}, pad {pad}: out {by_product.shape}, largest difference {np.abs(by_loops - by_product).max():.0e}")

# %% [markdown]
# ### Exercise 1.4
#
# How many bytes do the columns of a batch take? One number is a float32, 4 bytes. Use the names of the shapes; `OH` and `OW` are
# given.


# %%
def bytes_of_columns(N, C, KH, KW, OH, OW):
    ...  # your code


tutor.check("1.4", bytes_of_columns)

# %% [markdown]
# A layer of ResNet-20's first stage has 16 channels, 32 x 32 pixels and 3 x 3 filters. With 128 pictures in a batch:

# %%
x3 = np.zeros((128, 16, 32, 32), np.float32)
columns3 = array.im2col(x3, 3, 3, stride=1, pad=1)
print(f"pictures {x3.nbytes / 1e6:6.1f} MB")
print(f"columns  {columns3.nbytes / 1e6:6.1f} MB, {columns3.nbytes / x3.nbytes:.0f} times as much, to be written and read again")

# %% [markdown]
# ## Fourth way: tiles and SIMD
#
# A processor computes faster than its main memory delivers numbers. Close to it are small, fast memories, the *caches* (L1: about
# 32 kB; L2: about 1 MB). 75 MB of columns fit in none of them. So the library makes the columns a *tile* at a time: as many
# windows as fit in two vectors. It multiplies the tile at once, while it is still in the cache, and then forgets it.
#
# A *vector* is several numbers in one register. One instruction multiplies and adds them all. That is called SIMD: single
# instruction, multiple data.

# %%
lanes = VECTOR_BYTES // 4
print(f"a vector of this machine: {VECTOR_BYTES} bytes, {lanes} float32")
print(f"a tile of the layer above: {16 * 9} rows x {2 * lanes} windows = {16 * 9 * 2 * lanes * 4 / 1000:.1f} kB")
print(inspect.getsource(tiles.multiply_tile))

# %% [markdown]
# Four filters and two vectors of windows: eight sums, `s00` to `s31`, which stay in registers all the time. Each turn of the loop
# loads two vectors of pixels and four weights, and does eight multiply-adds. Few loads for much arithmetic: that is the whole
# secret of a fast matrix product. The file is compiled by Numba to machine code; without that, Python would take it word by word.
#
# ## Above tiles: no columns at all
#
# Look at the rows of the matrix, not at its columns. The row for the place (i, j) in the window is the padded picture itself, i
# rows and j columns further. In memory a picture is one long line of numbers, so that is a fixed *distance*, i PW + j. Nothing
# needs to be copied: it is enough to read from another place.

# %%
padded = np.pad(x[0, 0], 1)
PW = padded.shape[1]
line = padded.ravel()
columns = array.im2col(x, 3, 3, stride=1, pad=1)[0]
print("the padded picture as a line:", line.astype(int), sep="\n")
for i, j in ((0, 0), (0, 1), (1, 1), (2, 2)):
    distance = i * PW + j
    print(f"row for ({i}, {j}): {columns[i * 3 + j, :5]} ...   the line from {distance:2} on: {line[distance:distance + 5]} ...")

# %% [markdown]
# That is `direct.py`. It reads vectors of neighbouring pixels straight from the padded picture.
#
# ## And fewer multiplications: Winograd
#
# Two neighbouring outputs of a filter $(g_0, g_1, g_2)$ see four pixels $(d_0, d_1, d_2, d_3)$. The definition needs six products:
#
# $$y_0 = d_0 g_0 + d_1 g_1 + d_2 g_2, \qquad y_1 = d_1 g_0 + d_2 g_1 + d_3 g_2 .$$
#
# The two share pixels and weights. Shmuel Winograd found that four products are enough, if one adds first:
#
# $$m_0 = (d_0 - d_2)\, g_0, \quad m_1 = (d_1 + d_2)\, \tfrac{g_0 + g_1 + g_2}{2}, \quad
# m_2 = (d_2 - d_1)\, \tfrac{g_0 - g_1 + g_2}{2}, \quad m_3 = (d_3 - d_1)\, g_2$$
#
# $$y_0 = m_0 + m_1 + m_2, \qquad y_1 = m_1 - m_2 + m_3 .$$

# %%
d, g = np.array([1.0, 2.0, 4.0, 3.0]), np.array([2.0, -1.0, 5.0])
print("six products: ", d[0:3] @ g, d[1:4] @ g)
m = (d[0] - d[2]) * g[0], (d[1] + d[2]) * g.sum() / 2, (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2, (d[3] - d[1]) * g[2]
print("four products:", m[0] + m[1] + m[2], m[1] - m[2] + m[3])

# %% [markdown]
# The sums of weights are formed once for the whole batch. Along rows *and* columns it is 16 products for 2 x 2 outputs in place
# of 36. The additions do not come for free, but there are fewer of them than products saved, as they are shared by all filters
# and channels. The price is paid in rounding: another order of additions, other last digits. `winograd.py` takes the next size of
# the same idea for 3 x 3 filters with stride 1: four outputs of a row from six products, so 36 for 4 x 4 outputs in place of 144.
#
# ### Exercise 1.5
#
# Write the four products and the two outputs as a function: `d` has four numbers, `g` three. Return `y0, y1`. Then try to write it
# without looking.


# %%
def winograd_1d(d, g):
    ...  # your code


tutor.check("1.5", winograd_1d)

# %% [markdown]
# ## The ladder on your machine
#
# Time for a measurement. All rungs but the first do the same layer: 32 pictures, 16 channels, 16 filters, 32 x 32 pixels. The
# loops would take minutes, so they do a small one, and we compare *rates*: floating-point operations a second, of which each
# product of the definition counts two (multiply and add). We check first that all of them compute the same thing. Then each rung
# is repeated on one core. The clock is `time.process_time`, which runs only while the processor works for us: what other programs
# take does not count.
#
# The first call compiles the kernels, if nobody has done it on this machine before. That takes some seconds and is not measured.

# %%
x, w = rng.standard_normal((32, 16, 32, 32)).astype(np.float32), rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
numba.set_num_threads(1)
finish = nothing(x.dtype)  # what could be done to each picture while it is in the cache: nothing
rungs = {
    "array: im2col and one product": lambda: array.forward(x, w, stride=1, pad=1),
    "tiles: columns in the cache, SIMD": lambda: jit._correlate(x, w, 1, 1, 1, finish),
    "direct: no columns": lambda: direct.correlate(x, w, 1, 1, 1, finish),
    "winograd: fewer products": lambda: winograd.correlate(x, w, 1, 1, finish),
}
expected = array.forward(x.astype(np.float64), w.astype(np.float64), stride=1, pad=1)
for name, rung in rungs.items():
    print(f"{name:34} largest error {np.abs(rung() - expected).max() / np.abs(expected).max():.0e} of the largest entry")


# %%
def cpu_seconds(function):
    """Call it for 0.3 s -> what one call takes of the processor's time."""
    calls, start = 0, time.process_time()
    while (used := time.process_time() - start) < 0.3:
        function()
        calls += 1
    return used / calls


def operations(x, w, out):
    return 2 * out.size * w[0].size  # each entry of the output is a sum of C * KH * KW products


small_x, small_w = x[:1, :4, :16, :16], w[:4, :4]
small_out = loops.forward(small_x, small_w, stride=1, pad=1)
seconds = cpu_seconds(lambda: loops.forward(small_x, small_w, stride=1, pad=1))
measured = {"loops: plain Python": operations(small_x, small_w, small_out) / seconds / 1e9}
for name, rung in rungs.items():
    measured[name] = operations(x, w, expected) / cpu_seconds(rung) / 1e9
a = rng.standard_normal((1024, 1024)).astype(np.float32)
product = 2 * 1024**3 / cpu_seconds(lambda: a @ a) / 1e9
for name, rate in measured.items():
    print(f"{name:34} {rate:10.4f} GFLOP/s")
print(f"{'a matrix product, 1024 x 1024':34} {product:10.4f} GFLOP/s")

# %%
rates(measured, unit="GFLOP/s", ceiling=("NumPy's product of two 1024 x 1024 matrices", product))

# %% [markdown]
# Between the first bar and the last lie several orders of magnitude: the axis is logarithmic, each mark is ten times the one
# before. The mathematics is the same in all of them.
#
# - From loops to array code: Python no longer touches single numbers.
# - From array code to tiles: the columns no longer travel through the main memory.
# - Winograd is credited with products that it never does. So it may come near the line of the matrix product, which does them all,
#   or even pass it.
#
# Two runs differ, because other programs also use the caches and the memory. On your machine the numbers will be others. A run on
# two cores at batch 128 is written down where the ladder begins, in `kernels/conv/__init__.py`:

# %%
print(conv.__doc__)

# %% [markdown]
# ## Summary
#
# - A convolution multiplies window by filter and adds up. The same filter is used at every place.
# - $OH = \lfloor (H + 2\,\mathrm{pad} - KH) / \mathrm{stride} \rfloor + 1$.
# - `im2col` copies windows into columns. Then the convolution is one matrix product, at the price of KH KW times the memory.
# - Tiles keep the columns in the cache. `direct` needs none. Winograd needs fewer products.
# - All rungs compute the same numbers, up to rounding. The slow ones check the fast ones.
#
# ## Where the code lives
#
# | what | file |
# |---|---|
# | the checked pair of functions | `resnet_np/functional/conv2d.py` |
# | loops | `resnet_np/kernels/conv/loops.py` |
# | im2col and the matrix product | `resnet_np/kernels/conv/array.py` |
# | tiles | `resnet_np/kernels/conv/tiles.py`, `jit.py` |
# | distances instead of columns | `resnet_np/kernels/conv/direct.py` |
# | Winograd | `resnet_np/kernels/conv/winograd.py` |
# | vectors | `resnet_np/kernels/simd.py` |
#
# **Next**: `02_backward.ipynb`
