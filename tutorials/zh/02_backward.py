# %% [markdown]
# # 2. 手写反向传播
#
# **你将学到**
#
# - 反向传播（backward）计算的是什么：把一个小卷积的每个数都写在纸上。
# - 为什么 `col2im` 要做*加法*：一个像素落在好几个窗口里，每个窗口都会传回一份梯度。
# - 怎样在不轻信推导的情况下检验推导：有限差分（finite differences），以及步长该取多大。
# - 为什么尖点（ReLU 在 0 处）会干扰这种检验，检验程序又怎样应对。
# - 怎样用本项目的检验程序找出反向传播中的错误。
#
# **预备知识**：笔记本 1（卷积、`im2col`），链式法则。
#
# **用时**：45 分钟。

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
# ## 问题
#
# 网络算出一个数，即损失 $L$。训练时，对每个权重都要知道：如果把它移动一点点，$L$ 会怎样变化？这就是 $\partial L / \partial w$。
# 在本项目中，由所有这些导数组成的数组叫作 `dw`，它的形状与 `w` 相同。同样，`dx` 是 $\partial L / \partial x$，
# `dout` 是 $\partial L / \partial \mathrm{out}$。
#
# 反向传播是一个函数：给它 `dout`，它返回 `dx` 和 `dw`。它不知道后面接的是什么；不论后面是什么，其影响都已经汇总在 `dout` 里了。
#
# 我们的例子是尽可能小的卷积：一张 3x3 像素的图片，一个有 2x2 个权重的卷积核，因而有 2x2 个输出。

# %%
x = np.array([[1.0, 2, 0], [0, 1, 3], [2, 1, 1]])  # (H, W)
w = np.array([[1.0, -1], [2, 1]])  # (KH, KW)
out, cache = F.conv2d_forward(x[None, None], w[None, None])  # N = C = F = 1
print("x\n", x, "\nw\n", w, "\nout = conv(x, w)\n", out[0, 0], sep="")

# %% [markdown]
# 每个输出是四个乘积之和。我们逐个窗口地把它们全部写出来。

# %%
for p in range(2):
    for q in range(2):
        terms = " + ".join(f"({w[i, j]:g})({x[p + i, q + j]:g})" for i in range(2) for j in range(2))
        print(f"out[{p}, {q}] = {terms} = {out[0, 0, p, q]:g}")

# %% [markdown]
# ## 权重的链式法则
#
# 假设网络的其余部分传回了这样的 `dout`。它的意思是，比如说：`out[0, 1]` 增大一点点，$L$ 就减小这一点点的 3 倍。

# %%
dout = np.array([[1.0, -3], [2, 1]])  # (OH, OW)

# %% [markdown]
# 权重 `w[0, 0]` 在四个输出中都出现，在 `out[p, q]` 中与它相乘的是 `x[p, q]`。从这个权重到 $L$ 有四条路径，链式法则把它们加起来：
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
# 这个公式与卷积本身的形式相同：`dw` 就是 `x` 与 `dout` 的互相关。
#
# ### 练习 2.1
#
# 对一张图片、一个卷积核（大小任意）写出 `dw`。`dout` 的形状是 (OH, OW)，`x` 的形状是 (H, W)。
# 于是卷积核有 KH = H - OH + 1 行、KW = W - OW + 1 列。

# %%
def weight_gradient(dout, x):
    ...  # your code


tutor.check("2.1", weight_gradient)

# %% [markdown]
# ## 像素的链式法则
#
# 现在对像素做同样的事。角上的像素只落在一个窗口里，所以只有一项。中间的像素 `x[1, 1]` 落在全部四个窗口里，
# 在每个窗口中与它相乘的权重都不同，所以它的梯度有四项。

# %%
for r in range(3):
    for s in range(3):
        ways = [(p, q) for p in range(2) for q in range(2) if 0 <= r - p < 2 and 0 <= s - q < 2]
        terms = " + ".join(f"({dout[p, q]:g})({w[r - p, s - q]:g})" for p, q in ways)
        total = sum(dout[p, q] * w[r - p, s - q] for p, q in ways)
        print(f"dx[{r}, {s}] = {terms:43} = {total:3g}   the library: {dx[0, 0, r, s]:3g}")

# %% [markdown]
# ## 用列再做一遍
#
# 在笔记本 1 中，卷积写成了 `im2col` 加一次矩阵乘法。矩阵乘法的梯度是已知的：对 $out = W \cdot columns$，有
#
# $$ dW = dout \cdot columns^T, \qquad dcolumns = W^T \cdot dout . $$
#
# `columns` 的每一列是 `x` 的一个窗口；`dcolumns` 的每一列是那个窗口的梯度。

# %%
columns = array.im2col(x[None, None], 2, 2, stride=1, pad=0)[0]  # (KH*KW, OH*OW)
dcolumns = w.reshape(1, 4).T @ dout.reshape(1, 4)
print("columns: window p stands in column p\n", columns, sep="")
print("dcolumns = w^T dout\n", dcolumns, sep="")
print("dw = dout columns^T:", (dout.reshape(1, 4) @ columns.T)[0], "  the library:", dw.ravel())

# %% [markdown]
# 剩下的工作，是把 `dcolumns` 中的 16 个数送回到 9 个像素。像素 `x[1, 1]` 被复制了四次：它是窗口 0 的最后一个数、
# 窗口 1 的第三个数、窗口 2 的第二个数、窗口 3 的第一个数。
# 所以 `dcolumns` 中有四个数属于它。按照链式法则，把这四个数相加。

# %%
print("the four copies of x[1, 1] in columns:   ", columns[3, 0], columns[2, 1], columns[1, 2], columns[0, 3])
print("their gradients in dcolumns:             ", dcolumns[3, 0], dcolumns[2, 1], dcolumns[1, 2], dcolumns[0, 3])
print("added up:", dcolumns[3, 0] + dcolumns[2, 1] + dcolumns[1, 2] + dcolumns[0, 3], "  dx[1, 1]:", dx[0, 0, 1, 1])

# %% [markdown]
# `col2im` 一次为所有像素完成这件事。注意其中的 `+=`。

# %%
print(inspect.getsource(array.col2im))

# %%
back = array.col2im(dcolumns[None], x_shape=(1, 1, 3, 3), kh=2, kw=2, stride=1, pad=0)[0, 0]
print("col2im(dcolumns)\n", back, "\ndx of the library\n", dx[0, 0], sep="")

# %% [markdown]
# ## 把重叠画出来
#
# 一个像素被多少个窗口看到？直接问 `col2im`：给它全是 1 的列，每个像素就会数出自己有几份副本。
# 下面是四种窗口下的 5x5 个像素，每幅图中勾出了其中两个窗口。

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
# 窗口为 2x2、步幅为 2 时没有重叠：用 `=` 代替 `+=` 也无妨，只是最后一行和最后一列没有任何窗口看到，必须保持为 0。
# 而对 ResNet 的窗口（3x3、步幅 1、填充 1），中间的像素要收集九项。谁要是写成 `=`，就只留下九项中的最后一项，丢掉另外八项。
#
# ### 练习 2.2
#
# 自己数一数每个像素上有多少个窗口，不考虑填充：返回一个 (H, W) 的数组。窗口有 k x k 个像素，
# 每隔 `stride` 行、每隔 `stride` 列开始一个，只要放得下。

# %%
def windows(H, W, k, stride):
    ...  # your code


tutor.check("2.2", windows)

# %% [markdown]
# ## 反过来的复制就是相加：伴随
#
# 有一种检验 `col2im` 的方法，完全不需要导数。`im2col` 是线性的：它只做复制。写成矩阵的话，它是一个由 0 和 1 组成的大矩阵 $A$。
# 那么 `col2im` 就必须是乘以 $A^T$，即它的*伴随*（adjoint）。于是，对任意的 $x$ 和任意的 $c$，
#
# $$ \langle \mathrm{im2col}(x), c \rangle = \langle Ax, c \rangle = \langle x, A^T c \rangle
#    = \langle x, \mathrm{col2im}(c) \rangle , $$
#
# 其中 $\langle a, b \rangle$ 表示对应元素乘积之和。我们用随机的 $x$ 和 $c$ 试一试。

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
# 两边直到打印出来的最后一位都一致。请注意 `col2im` *不是*什么：它不是 `im2col` 的逆。把图片复制成列，再把各份副本加起来，
# 每个像素被几个窗口看到，就会得到它自己的几倍。

# %%
image = np.arange(1.0, 26).reshape(5, 5)
image_columns = array.im2col(image[None, None], 3, 3, stride=1, pad=0)
again = array.col2im(image_columns, x_shape=(1, 1, 5, 5), kh=3, kw=3, stride=1, pad=0)[0, 0]
print("col2im(im2col(x)) / x\n", again / image, sep="")

# %% [markdown]
# ## 有限差分
#
# 推导可能出错，而照着推导写的代码会错得一模一样。所以我们需要一种不靠推导的检验。把某个元素向左、向右各移动一个小量 $h$，
# 看损失怎样变化：
#
# $$ \frac{\partial L}{\partial w_{ij}} \approx \frac{L(w_{ij} + h) - L(w_{ij} - h)}{2h}, \qquad L = \sum dout \cdot out . $$
#
# 这个 $L$ 对 `out` 的梯度恰好是 `dout`；因此，拿到 `dout` 的反向传播函数必须返回它的导数。

# %%
def L(w):
    return np.sum(dout * F.conv2d_forward(x[None, None], w[None, None])[0])


h = 1e-5
for i, j in np.ndindex(2, 2):
    e = np.zeros((2, 2))
    e[i, j] = h
    print(f"w[{i}, {j}]: finite difference {(L(w + e) - L(w - e)) / (2 * h):.10f}   backward {dw[0, 0, i, j]:.10f}")

# %% [markdown]
# 库中的 `check_pair` 可以对任何一对函数、每个参数的每个元素做这件事。它自己随机生成 `dout`，所有计算都用 float64。

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
# ### 练习 2.3
#
# 对一元函数写出中心差分。

# %%
def slope(f, x, h):
    ...  # your code


tutor.check("2.3", slope)

# %% [markdown]
# ## 步长该取多大？
#
# 有两种误差，此消彼长。
#
# - 曲线不是直线。单侧差分 $(L(w+h) - L(w))/h$ 的误差像 $h$ 一样缩小，双侧差分的误差则像 $h^2$ 一样缩小。
# - 计算机要舍入。$L(w+h)$ 与 $L(w-h)$ 的各位数字几乎全都相同，它们的差只剩下最后几位，而这几位正是舍入误差。
#   这种误差约为 $\varepsilon / h$，在 float64 中 $\varepsilon \approx 10^{-16}$，在 float32 中为 $10^{-7}$：$h$ 缩小时，
# 它反而*增大*。
#
# 两者之和呈 U 形。我们在一个不是直线的函数上测量：卷积、全局平均池化和交叉熵，对 20 个权重求导。
# 阴影区域从 20 个权重中最好的延伸到最差的。

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
# 请从右往左看。步长大时，起决定作用的是弯曲程度：两条 float64 的线都在下降，双侧的那条陡一倍。步长小时，起决定作用的是舍入误差，
# 两条线又上升。
# 双侧差分在 float64 下可以达到十位左右的有效数字，步长从 $10^{-3}$ 到 $10^{-6}$ 都行。
# float32 则需要将近 0.1 的步长才能得到五位（就居中的那个权重而言），步长小于 $10^{-5}$ 时一位也不剩：太粗糙了，
# 分不清是小错误还是舍入误差。
# 因此 `check_pair` 拒绝使用 float32。它从 $h = 10^{-5}$ 开始：在 U 形谷底偏左一点，有效数字还有富余；
# 选得小一些，是因为小步长遇到的尖点也更少。下面就来看尖点。
#
# ## 尖点
#
# ReLU 即 $\max(x, 0)$，它在 0 处有一个尖点：左边斜率为 0，右边斜率为 1。如果差分的一步跨过了尖点，测到的就是两者的混合，
# 尽管反向传播是对的。

# %%
place = np.linspace(-0.03, 0.03, 121)
value, relu = F.relu_forward(place)
lines = {"relu_backward": (place, F.relu_backward(np.ones_like(place), relu))}
for h in (0.02, 0.005):
    centred = (F.relu_forward(place + h)[0] - F.relu_forward(place - h)[0]) / (2 * h)
    lines[f"h = {h:g}, both sides"] = (place, centred)
spread({"Slope of a ReLU near its corner": lines}, xlabel="x", ylabel="slope")

# %% [markdown]
# 在成千上万个激活值中，总有一些接近 0。检验程序该怎么办？如果放过所有大的误差，也就放过了真正的错误。
# 本库的做法是去看原因：函数可以返回一个 `Evaluation`，即输出连同各次判断的*掩码*（mask；这里就是哪些 $x$ 为正）。
# 如果掩码在 $x-h$ 与 $x+h$ 之间发生了变化，这一步就跨过了尖点。检验程序会缩短步长；如果最短的一步也跨过尖点，就跳过这个元素，
# 并且说明跳过了。

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
# 没有掩码时，正确的梯度在元素 7 处被判为错误。有掩码时，恰好在尖点上的那一个元素被跳过；元素 8 则用更短的步长检验。
# 对库中的运算，`check_pair` 和 `check_layer` 会自己找到掩码。
#
# ## 找出植入的错误
#
# 下面是一个卷积的反向传播。它能运行，形状也都对，但其中有一个经典的错误。

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
# 权重的梯度是对的，图片的梯度不对。检验程序指出了错得最厉害的元素，以及两边的值。是不是处处都错？我们逐个像素地与正确的梯度比较。

# %%
rng = np.random.default_rng(4)
image, kernel = rng.standard_normal((1, 1, 5, 5)), rng.standard_normal((1, 1, 3, 3))
result, memory = F.conv2d_forward(image, kernel)
upstream = rng.standard_normal(result.shape)
wrong_dx, right_dx = planted(upstream, memory)["x"], F.conv2d_backward(upstream, memory).dx
overlaps({"windows over the pixel": counted(3, 1, 0), "dx, right (one decimal)": right_dx[0, 0].round(1),
          "dx, planted bug": wrong_dx[0, 0].round(1), "1 where they differ": (np.abs(wrong_dx - right_dx) > 1e-9)[0, 0]})

# %% [markdown]
# 四个角上是对的，因为只有一个窗口看到它们；凡是窗口重叠的地方都是错的。这就是这种错误的“指纹”。检验程序认得一些指纹；
# 至于与具体运算有关的指纹，则必须告诉它，也就是传入*嫌疑对象*（suspects）。

# %%
try:
    require(checked(planted, suspects=lambda cache, dout: {"x": [assigned(counted(3, 1, 0)[None, None])]}))
except AssertionError as error:
    print(error)

# %% [markdown]
# `require` 会抛出 `AssertionError`，使测试失败：本项目的测试就是这样使用它的。`resnet-np gradcheck` 背后用的也是同一份指纹表。
# 命令 `resnet-np gradcheck --mutants` 在库的副本中植入十六个这样的错误，并证明每一个都被抓住。
#
# ### 练习 2.4
#
# 把它改对。写出卷积的反向传播，可以从上面的 `planted` 改起，也可以从头写；返回 `{"x": dx, "w": dw}`。

# %%
def mended(dout, cache):
    ...  # your code


tutor.check("2.4", mended)

# %% [markdown]
# ## 小结
#
# - 反向传播把 `dout` 变成各个输入的梯度。每个梯度都是对从该输入到输出的所有路径求和。
# - 一个权重在每个窗口中都出现：`dw` 是对窗口求和。一个像素最多出现在 KH x KW 个窗口中：`dx` 就把这么多项相加。
# - `col2im` 做加法，是因为 `im2col` 做复制。它是 `im2col` 的伴随：
#   $\langle \mathrm{im2col}(x), c \rangle = \langle x, \mathrm{col2im}(c) \rangle$；它不是逆。
# - 有限差分不重复推导，就能检验推导：用双侧差分，用 float64，$h$ 取 $10^{-5}$ 左右。
# - 在尖点处，有限差分没有意义。检验程序靠掩码识别尖点，而不是靠误差的大小。
# - 梯度出错时，出错元素的分布规律会引你找到错误所在。
#
# ## 代码在哪里
#
# - `resnet_np/functional/conv2d.py`：一对函数 `conv2d_forward`、`conv2d_backward`
# - `resnet_np/kernels/conv/array.py`：`im2col`、`col2im`，以及分步编号的推导
# - `resnet_np/gradcheck/differences.py`：有限差分、尖点；`causes.py`：指纹；`mutants.py`：那十六个错误
#
# ## 下一步
#
# 笔记本 3，批归一化（batch norm）：这一次，反向传播的路径不是一条，而是三条。
