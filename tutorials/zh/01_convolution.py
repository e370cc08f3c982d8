# %% [markdown]
# # 1. 卷积的四种写法
#
# **你将学到**
#
# - 卷积（convolution）计算的是什么：一个窗口、一个卷积核、一个数。
# - 有步幅（stride）和填充（padding）时，输出有多大。
# - `im2col`：怎样把窗口变成列，把卷积变成一次矩阵乘法。
# - 为什么真正用于训练的代码从不把这些列完整写出来，而是用什么代替：分块、SIMD、距离、Winograd 的和式。
# - 这架“梯子”上的每一级，在你的机器上能带来多少提速。
#
# **预备知识**：笔记本 0，矩阵乘法。
#
# **用时**：45 分钟。

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
# ## 一个窗口，一个数
#
# 把一个小小的*卷积核*（filter，也叫滤波器）`w` 盖在图片 `x` 上。每个像素乘以盖在它上面的权重，再把所有乘积加起来，
# 就得到输出中的一个数。
# 然后把卷积核移动一个像素，再做一遍。
#
# 我们的图片有 5 x 5 个像素，编了号，方便你逐个跟踪。卷积核有 3 x 3 个权重，作用是把一个像素和它的四个邻居加起来。

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
# 在这张图片里，上与下、左与右正好互相抵消，所以总和必定是中间那个像素 7 的五倍。
#
# （数学中的卷积要先把卷积核旋转 180 度，深度学习不这么做。反正权重是学出来的，转不转都一样。我们做的运算，
# 准确的名称是*互相关*（cross-correlation）。）
#
# ## 第一种写法：循环
#
# 库里有一个文件，用朴素的 Python 把卷积写了出来。`products` 列出卷积所包含的每一个乘积：它属于输出的哪个元素，
# 由哪个像素和哪个权重相乘。

# %%
print(inspect.getsource(loops.products))

# %%
print(inspect.getsource(loops.forward))

# %% [markdown]
# 其中前九个，就是我们刚才手算的那个窗口。

# %%
for in_out, in_x, in_w in list(loops.products(x.shape, w.shape, 1, 0))[:9]:
    print(f"out{list(in_out)} += x{list(in_x)} * w{list(in_w)}  =  {x[in_x]:2.0f} * {w[in_w]:2.0f}")

# %% [markdown]
# `F.conv2d_forward` 是所有层都会调用的函数。它检查参数，然后交给当前使用的*后端*（backend）。我们指定用后端 `loops`。

# %%
with backend.using("loops"):
    out, cache = F.conv2d_forward(x, w)
print("out", out.shape)
print(out[0, 0])

# %% [markdown]
# ### 练习 1.1
#
# 真正的卷积核会同时看所有通道。一张图片 `x` 的形状为 `(C, H, W)`，一个卷积核 `w` 的形状为 `(C, KH, KW)`：请写出窗口对应的那个数，
# 即 `out[oh, ow]`，步幅为 1，无填充。


# %%
def one_number(x, w, oh, ow):
    ...  # your code


tutor.check("1.1", one_number)

# %% [markdown]
# ## 卷积核有什么用
#
# 卷积核回答的问题是：“这个地方有多像我？”下面把四个简单的卷积核用在一张真正的图片上。每个卷积核对应输出的一个通道，
# 所以输出的形状是 `(N, F, OH, OW)`；这样的输出叫作*特征图*（feature map）。红色表示较大的正数，蓝色表示绝对值较大的负数。
#
# （四周的彩色边框来自图片周围补的零，即 `pad=1`；在卷积核看来，这就像一条边缘。后面还会讲到补零。）
#
# 在网络中，没有人去挑选卷积核。它们是参数，和线性分类器的权重一样，是学出来的。

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
# ## 输出有多大？
#
# KH x KW 像素的窗口，能放的位置比图片的像素少。有两个设置会改变位置的数目：
#
# - `pad`（填充）：在图片四周补上这么多行、这么多列的零。取 `pad=1` 时，3 x 3 的卷积核不改变大小。
# - `stride`（步幅）：窗口每次移动这么多像素。取 `stride=2` 时，输出的高和宽都减半。
#
# $$OH = \left\lfloor \frac{H + 2\,\mathrm{pad} - KH}{\mathrm{stride}} \right\rfloor + 1$$
#
# OW 同理。下面是库返回的结果：

# %%
print(" H  KH  stride  pad    OH")
for H, KH, stride, pad in ((5, 3, 1, 0), (5, 3, 1, 1), (5, 3, 2, 1), (6, 3, 2, 1), (32, 3, 1, 1), (32, 3, 2, 1), (224, 7, 2, 3)):
    shape = F.conv2d_forward(np.zeros((1, 1, H, H)), np.zeros((1, 1, KH, KH)), stride=stride, pad=pad)[0].shape
    print(f"{H:3} {KH:3} {stride:7} {pad:4} {shape[2]:5}")

# %% [markdown]
# ### 练习 1.2
#
# 把这个公式写成函数。步幅不能整除时，也必须正确。


# %%
def output_size(size, kernel, stride, pad):
    ...  # your code


tutor.check("1.2", output_size)

# %% [markdown]
# ## 第二种写法：窗口变成列
#
# Python 的循环很慢。NumPy 很快，前提是把工作合并成一个大的运算。而它最大的运算就是矩阵乘法。
#
# 这个技巧叫作 `im2col`：把每个窗口剪下来，将其中的数从上到下写成一列，再把这些列并排放在一起。
# 下面每幅小图都是我们的图片 `x` 和其中的一个窗口；右边是各列，颜色与窗口对应。

# %%
windows(x[0, 0], kernel=3)

# %% [markdown]
# 再逐列打印出来：

# %%
columns = array.im2col(x, 3, 3, stride=1, pad=0)
print("columns", columns.shape, " (N, C*KH*KW, OH*OW)")
for p in range(columns.shape[2]):
    oh, ow = divmod(p, 3)
    print(f"column {p} = window at row {oh}, column {ow}:", columns[0, :, p])

# %% [markdown]
# 中间的像素 13 落在全部九个窗口里，所以在全部九列中都出现。这就是代价：这些列最多可达图片的九倍大。
# （也正因为如此，*反向*传播时必须为它加上九项，见笔记本 2。）
#
# 有填充和步幅时，补的零（颜色较深）和像素一样被复制，窗口之间的重叠则变少了：

# %%
windows(x[0, 0], kernel=3, stride=2, pad=1)

# %% [markdown]
# 看看代码。它不是逐个窗口地处理，而是逐个处理窗口内的 KH x KW 个位置，每次复制矩阵的一行；这一行就是平移了的整张图片。

# %%
print(inspect.getsource(array.im2col))

# %% [markdown]
# ### 练习 1.3
#
# 为单通道、步幅 1、无填充的情形写出 `im2col`：输入 `x` 的形状为 `(H, W)`，输出数组的形状为 `(KH*KW, OH*OW)`。可以用循环。


# %%
def my_im2col(x, KH, KW):
    ...  # your code


tutor.check("1.3", my_im2col)

# %% [markdown]
# ## 第三种写法：一次矩阵乘法
#
# 把一个卷积核的权重写成一行，顺序与一列中的数相同。行乘以列，就是乘积之和，正好是那个窗口的结果。
# F 个卷积核各占一行，P = OH OW 个窗口各占一列，于是
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
# 再做一个大一些的测试：随机数，多张图片、多个通道、多个卷积核，带步幅和填充。两种写法必须一致。

# %%
rng = np.random.default_rng(0)
x2, w2 = rng.standard_normal((2, 3, 7, 6)), rng.standard_normal((4, 3, 3, 3))
for stride, pad in ((1, 0), (1, 1), (2, 1)):
    by_loops = loops.forward(x2, w2, stride=stride, pad=pad)
    by_product = array.forward(x2, w2, stride=stride, pad=pad)
    print(f"stride {stride}, pad {pad}: out {by_product.shape}, largest difference {np.abs(by_loops - by_product).max():.0e}")

# %% [markdown]
# ### 练习 1.4
#
# 一批图片的列要占多少字节？每个数是一个 float32，4 字节。请使用形状中的各个字母；`OH` 和 `OW` 已经给出。


# %%
def bytes_of_columns(N, C, KH, KW, OH, OW):
    ...  # your code


tutor.check("1.4", bytes_of_columns)

# %% [markdown]
# ResNet-20 第一阶段的一层有 16 个通道、32 x 32 个像素、3 x 3 的卷积核。一批 128 张图片时：

# %%
x3 = np.zeros((128, 16, 32, 32), np.float32)
columns3 = array.im2col(x3, 3, 3, stride=1, pad=1)
print(f"pictures {x3.nbytes / 1e6:6.1f} MB")
print(f"columns  {columns3.nbytes / 1e6:6.1f} MB, {columns3.nbytes / x3.nbytes:.0f} times as much, to be written and read again")

# %% [markdown]
# ## 第四种写法：分块与 SIMD
#
# 处理器计算的速度，比主存送来数据的速度快。紧挨着处理器有一些又小又快的存储器，叫作*缓存*（cache；L1 约 32 kB，L2 约 1 MB）。
# 75 MB 的列，哪一级都装不下。所以，库每次只做出一*块*（tile）列：两个向量能装下多少个窗口，就做多少个。
# 趁这一块还在缓存里，马上拿去相乘，然后丢掉。
#
# *向量*（vector）是放在同一个寄存器中的若干个数。一条指令就能对它们全部做乘法和加法。
# 这叫作 SIMD：单指令多数据（single instruction, multiple data）。

# %%
lanes = VECTOR_BYTES // 4
print(f"a vector of this machine: {VECTOR_BYTES} bytes, {lanes} float32")
print(f"a tile of the layer above: {16 * 9} rows x {2 * lanes} windows = {16 * 9 * 2 * lanes * 4 / 1000:.1f} kB")
print(inspect.getsource(tiles.multiply_tile))

# %% [markdown]
# 四个卷积核乘以两个向量的窗口，得到八个累加和，从 `s00` 到 `s31`，自始至终留在寄存器里。循环每转一圈，
# 读入两个向量的像素和四个权重，
# 做八次向量乘加。读得少、算得多：快速矩阵乘法的全部奥秘就在这里。这个文件由 Numba 编译成机器码；否则，
# Python 就会逐字逐句地解释执行。
#
# ## 比分块更进一步：完全不要列
#
# 不看矩阵的列，来看它的行。窗口内位置 (i, j) 对应的那一行，就是填充后的图片本身，只是往下移了 i 行、往右移了 j 列。
# 图片在内存里是一长串数，所以这就是一段固定的*距离*，即 i PW + j。什么都不必复制：换个地方开始读就行了。

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
# 这就是 `direct.py` 的做法：直接从填充后的图片中读取由相邻像素组成的向量。
#
# ## 再减少乘法：Winograd
#
# 卷积核 $(g_0, g_1, g_2)$ 的两个相邻输出会用到四个像素 $(d_0, d_1, d_2, d_3)$。按定义计算，需要六次乘法：
#
# $$y_0 = d_0 g_0 + d_1 g_1 + d_2 g_2, \qquad y_1 = d_1 g_0 + d_2 g_1 + d_3 g_2 .$$
#
# 两者共用一些像素和权重。Shmuel Winograd 发现，只要先做加法，四次乘法就够了：
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
# 权重的和式对整批图片只算一次。在行*和*列两个方向都这样做，2 x 2 个输出就只要 16 次乘法，而不是 36 次。
# 加法并非没有代价，但比省下的乘法少，因为所有卷积核和通道共用这些加法。真正付出的是舍入误差：加法的次序变了，最后几位数字就不同。
# 对步幅为 1 的 3 x 3 卷积核，`winograd.py` 用同一思路的下一种大小：一行四个输出只要六个乘积，
# 4 x 4 个输出就只要 36 次乘法，而不是 144 次。
#
# ### 练习 1.5
#
# 把四个乘积和两个输出写成函数：`d` 有四个数，`g` 有三个数。返回 `y0, y1`。写完后，试着不看公式再写一遍。


# %%
def winograd_1d(d, g):
    ...  # your code


tutor.check("1.5", winograd_1d)

# %% [markdown]
# ## 在你的机器上量一量这架梯子
#
# 该动手测量了。除第一级外，各级计算的都是同一个层：32 张图片、16 个通道、16 个卷积核、32 x 32 个像素。
# 循环的写法要好几分钟，所以让它算一个小的；我们比较的是*速率*：每秒的浮点运算次数，定义中的每个乘积算两次（一次乘、一次加）。
# 我们先检查它们算出的是同一个结果，再让每一级在单个核心上重复运行。
# 计时用 `time.process_time`，它只在处理器为我们工作时走动：其他程序占用的时间不计入。
#
# 如果这台机器上还没有编译过这些内核，第一次调用时会先编译。这要花几秒钟，不计入测量。

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
# 第一条和最后一条之间相差好几个数量级：坐标轴是对数的，每个刻度是前一个刻度的十倍。而它们背后的数学完全一样。
#
# - 从循环到数组代码：Python 不再逐个处理数字。
# - 从数组代码到分块：各列不再往返于主存。
# - Winograd 的速率把它根本没有做的乘法也算了进去。所以它可能接近矩阵乘法的那条线，甚至超过它；而矩阵乘法是一次不少全都做了的。
#
# 两次运行的结果会有差别，因为其他程序也在使用缓存和内存。在你的机器上，数字会不一样。
# 在两个核心上、批大小为 128 的一次测量结果，记在这架梯子开始的地方，即 `kernels/conv/__init__.py`：

# %%
print(conv.__doc__)

# %% [markdown]
# ## 小结
#
# - 卷积用窗口乘以卷积核，再求和。每个位置用的是同一个卷积核。
# - $OH = \lfloor (H + 2\,\mathrm{pad} - KH) / \mathrm{stride} \rfloor + 1$。
# - `im2col` 把窗口复制成列。这样卷积就是一次矩阵乘法，代价是 KH KW 倍的内存。
# - 分块让列留在缓存中；`direct` 不需要列；Winograd 需要的乘法更少。
# - 各级算出的数相同，只有舍入误差的差别。慢的用来检验快的。
#
# ## 代码在哪里
#
# | 内容 | 文件 |
# |---|---|
# | 带参数检查的一对函数 | `resnet_np/functional/conv2d.py` |
# | 循环 | `resnet_np/kernels/conv/loops.py` |
# | im2col 和矩阵乘法 | `resnet_np/kernels/conv/array.py` |
# | 分块 | `resnet_np/kernels/conv/tiles.py`、`jit.py` |
# | 用距离代替列 | `resnet_np/kernels/conv/direct.py` |
# | Winograd | `resnet_np/kernels/conv/winograd.py` |
# | 向量 | `resnet_np/kernels/simd.py` |
#
# **下一步**：`02_backward.ipynb`
