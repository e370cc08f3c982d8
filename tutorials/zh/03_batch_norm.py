# %% [markdown]
# # 3. 批归一化
#
# **你将学到**
#
# - 批归一化（batch normalisation，简称 batch norm）计算什么，统计量是在哪些值上求的。
# - 它的反向传播，分六步推导，边读边把每一步都检验一遍。
# - 为什么训练和评估时的计算不同，滑动统计量（running statistics）又怎样跟上数据。
# - 如果只沿批轴（batch axis）求统计量，会出什么问题。
# - 为什么在这里，上游梯度（upstream gradient）全为 1 的梯度检验什么也检验不出来。
#
# **预备知识**：笔记本 2（有限差分、检验程序）。
#
# **用时**：45 分钟。

# %%
# %matplotlib inline
import inspect

import numpy as np

import data_tools
from resnet_np import functional as F
from resnet_np import tutor
from resnet_np.data import Normaliser, TrainLoader, evaluation_batches
from resnet_np.errors import InputError
from resnet_np.gradcheck import check_entries, check_pair, require
from resnet_np.kernels.batchnorm import array
from resnet_np.layers import BatchNorm2d, Conv2d, GlobalAveragePool, Linear, ReLU, Sequential
from resnet_np.optim import SGD
from resnet_np.training import evaluate, training_step
from resnet_np.viz.spread import spread
from resnet_np.workspace import Workspace

np.set_printoptions(precision=4, suppress=True, linewidth=110)

DATA = "shapes10"  # "cifar10" where you have it

# %% [markdown]
# ## 前向传播：第 (1)、(2) 步
#
# 在 ResNet 中，每个卷积之后都有一个批归一化层。它取同一个卷积核算出的所有值，即全部 N 张图片、全部 H x W 个位置上的值：
# 共 M = N H W 个数。它对这些数做平移和缩放，使均值为 0、方差为 1。然后，再用每个通道两个可学习的数 `gamma` 和 `beta`，
# 把它们变成任意的尺度和均值。
#
# $$ \hat{x} = \frac{x - mean}{\sqrt{var + eps}}, \qquad out = gamma \; \hat{x} + beta $$

# %%
rng = np.random.default_rng(0)
N, C, H, W = 4, 2, 3, 3
M = N * H * W
x = rng.standard_normal((N, C, H, W)) * np.array([3, 0.5])[:, None, None] + np.array([10, -1])[:, None, None]
gamma, beta = np.array([1.5, 0.5]), np.array([0.0, 2.0])
eps = 1e-5


def column(values):
    """(C,) -> (C, 1, 1): one number a channel, against (N, C, H, W)."""
    return values[:, None, None]


out, cache = F.batchnorm_forward(x, gamma, beta, eps=eps)
x_hat = (x - column(cache.mean)) * column(cache.inv_std)
print("channel                0         1")
for name, values in (("mean of x", x.mean((0, 2, 3))), ("cache.mean", cache.mean), ("variance of x", x.var((0, 2, 3))),
                     ("cache.var", cache.var), ("mean of x_hat", x_hat.mean((0, 2, 3))),
                     ("variance of x_hat", x_hat.var((0, 2, 3))), ("mean of out", out.mean((0, 2, 3))),
                     ("deviation of out", out.std((0, 2, 3)))):
    print(f"{name:17} {values[0]:9.5f} {values[1]:9.5f}")

# %% [markdown]
# 不论 `x` 原来的均值和尺度是多少，输出的均值总是 `beta`，标准差总是 `gamma`。`eps` 是一个很小的数，防止取值恒定的通道除以 0；
# 也正因为有它，方差并不恰好等于 1。
#
# ### 练习 3.1
#
# 对任意形状为 (N, C, H, W) 的 `x`，计算 `x_hat`。

# %%
def normalise(x, eps):
    ...  # your code


tutor.check("3.1", normalise)

# %% [markdown]
# ## 反向传播，一步一步来
#
# 下面是完整的推导，它就写在实现它的代码上方。

# %%
print(array.__doc__)

# %% [markdown]
# 每一步我们都检验一遍。`check_entries` 能把任意函数的梯度与有限差分相比较（笔记本 2）。因此，我们可以只让一个量变动，
# 把其余的量全部固定，单独考察推导中的某一行。

# %%
dout = rng.standard_normal(x.shape)


def confirm(step, f, arrays, gradients):
    for report in check_entries(f, arrays, gradients, upstream=dout):
        print(f"{step:5} d{report.name:8} relative error {report.error:.0e}")
        require([report])


# (3) what is learned, and the way to x_hat
dbeta = dout.sum((0, 2, 3))
dgamma = (dout * x_hat).sum((0, 2, 3))
dx_hat = column(gamma) * dout
confirm("(3)", lambda x_hat, gamma, beta: column(gamma) * x_hat + column(beta),
        {"x_hat": x_hat, "gamma": gamma, "beta": beta}, {"x_hat": dx_hat, "gamma": dgamma, "beta": dbeta})

# %% [markdown]
# 第 (4) 步：$\hat{x}$ 通过三条路径依赖于 $x$：直接依赖、通过均值、通过 `inv_std`。先看在其余量固定时，损失怎样依赖于 `inv_std`，
# 再看它怎样依赖于方差，最后看均值。

# %%
centred = x - column(cache.mean)
dinv_std = (dx_hat * centred).sum((0, 2, 3))
confirm("(4)", lambda inv_std: column(gamma) * centred * column(inv_std), {"inv_std": cache.inv_std}, {"inv_std": dinv_std})

dvar = dinv_std * -0.5 * (cache.var + eps) ** -1.5
confirm("(4)", lambda var: column(gamma) * centred / np.sqrt(column(var) + eps), {"var": cache.var}, {"var": dvar})

dmean = -cache.inv_std * dx_hat.sum((0, 2, 3))
confirm("(4)", lambda mean: column(gamma) * (x - column(mean)) * column(cache.inv_std), {"mean": cache.mean}, {"mean": dmean})
print("the way from the mean through the variance: sum of x - mean, a channel:", centred.sum((0, 2, 3)), "so it adds nothing")

# %% [markdown]
# 现在把三条路径加起来。每个 $x$ 的变动，会使均值变动它的 1/M，使方差变动它的 $2(x - mean)/M$ 倍。

# %%
direct = column(cache.inv_std) * dx_hat
through_var = column(dvar) * 2 * centred / M
through_mean = column(dmean) / M
dx = direct + through_var + through_mean
confirm("(4)", lambda x: F.batchnorm_forward(x, gamma, beta, eps=eps)[0], {"x": x}, {"x": dx})

short = column(gamma * cache.inv_std) * (dout - column(dbeta) / M - x_hat * column(dgamma) / M)
print("(5) the short form differs from the three ways by at most", f"{np.abs(short - dx).max():.0e}")
library = F.batchnorm_backward(dout, cache).dx
print("    and from F.batchnorm_backward by at most             ", f"{np.abs(short - library).max():.0e}")

# %% [markdown]
# 第 (6) 步是统计量为常数的情形：评估时，或者冻结（frozen）的层。这时三条路径中有两条被切断了。

# %%
_, frozen = F.batchnorm_frozen_forward(x, gamma, beta, cache.mean, cache.var, eps=eps)
dx_frozen = F.batchnorm_frozen_backward(dout, frozen).dx
confirm("(6)", lambda x: F.batchnorm_frozen_forward(x, gamma, beta, cache.mean, cache.var, eps=eps)[0], {"x": x}, {"x": dx_frozen})
print("    the largest entry of dx:", f"{np.abs(dx_frozen).max():.3f} frozen, {np.abs(dx).max():.3f} in training;",
      f"the largest difference: {np.abs(dx_frozen - dx).max():.3f}")

# %% [markdown]
# ## 第 (5) 步说明了什么
#
# 输入的任何平移和缩放，都会被批归一化抵消。所以，对 $x$ 做平移和缩放不会改变损失，梯度也就不可能指向这两个方向。
# 由此得到两个恒等式，不用有限差分就能检验：在每个通道中，`dx` 之和为 0，`dx` 与 $\hat{x}$ 的乘积之和也为 0（后者有 `eps` 造成的微
# 小偏差）。

# %%
print(f"largest |sum of dx| of a channel:        {np.abs(dx.sum((0, 2, 3))).max():.0e}")
print(f"largest |sum of dx x_hat| of a channel:  {np.abs((dx * x_hat).sum((0, 2, 3))).max():.0e}")
shifted = F.batchnorm_forward(x + 100, gamma, beta, eps=eps)[0]
scaled = F.batchnorm_forward(x * 100, gamma, beta, eps=eps)[0]
print(f"largest change of out if x grows by 100: {np.abs(shifted - out).max():.0e}")
print(f"largest change of out if x is multiplied by 100: {np.abs(scaled - out).max():.0e}")

# %% [markdown]
# 第 (5) 步做的正是这件事：从 `dout` 中去掉沿常数方向的分量（`dbeta / M`）和沿 $\hat{x}$ 方向的分量（`x_hat dgamma / M`）。
# 一个经典的错误就是忘了这一点，在训练时也把均值和方差当作常数，也就是该用第 (5) 步的地方用了第 (6) 步。
#
# ### 练习 3.2
#
# 写出第 (5) 步。`gamma` 和 `inv_std` 的形状是 (C,)，其余数组的形状是 (N, C, H, W)。

# %%
def input_gradient(dout, x_hat, gamma, inv_std):
    ...  # your code


tutor.check("3.2", input_gradient)

# %% [markdown]
# ## 什么也检验不出来的检验
#
# 做梯度检验时，很容易想到用 `out.sum()` 作损失。这时上游梯度处处为 1。但不论 $x$ 是什么，批归一化的输出在每个通道中的和都等于 M
# beta，所以 $x$ 的真实梯度是 0。于是，把梯度多乘了 7 倍的反向传播，甚至只会返回零的反向传播，也都能通过检验：

# %%
ones = np.ones_like(x)
h, e = 1e-5, np.zeros_like(x)
e[0, 0, 0, 0] = h
numeric = (F.batchnorm_forward(x + e, gamma, beta)[0].sum() - F.batchnorm_forward(x - e, gamma, beta)[0].sum()) / (2 * h)
true = F.batchnorm_backward(ones, cache).dx[0, 0, 0, 0]
print(f"upstream ones: finite difference {numeric:.1e}, backward {true:.1e}, seven times backward {7 * true:.1e}, zero 0")

upstream = rng.standard_normal(x.shape)
true = F.batchnorm_backward(upstream, cache).dx[0, 0, 0, 0]
numeric = (np.sum(upstream * F.batchnorm_forward(x + e, gamma, beta)[0])
           - np.sum(upstream * F.batchnorm_forward(x - e, gamma, beta)[0])) / (2 * h)
print(f"random upstream: finite difference {numeric:.6f}, backward {true:.6f}, seven times backward {7 * true:.6f}, zero 0")

# %% [markdown]
# 换成随机数，三者就分得清了。本项目的检验程序拒绝接受全为 1 的上游梯度：

# %%
try:
    check_entries(lambda x: F.batchnorm_forward(x, gamma, beta)[0], {"x": x}, {"x": np.zeros_like(x)}, upstream=ones)
except InputError as error:
    print(error)

# %% [markdown]
# 而换成随机的上游梯度后，对那个把统计量当作常数的经典错误，检验程序是这样说的：

# %%
def as_constants(dout, cache):
    right = F.batchnorm_backward(dout, cache)
    return {"x": column(cache.gamma * cache.inv_std) * dout, "gamma": right.dgamma, "beta": right.dbeta}


for report in check_pair(F.batchnorm_forward, as_constants, {"x": x, "gamma": gamma, "beta": beta}, rng=np.random.default_rng(1)):
    print(report.describe(1e-6))

# %% [markdown]
# ## 训练与评估
#
# 训练时，一张图片的结果取决于同一批中的其他图片，因为它们共用均值和方差。如果有人只给网络看一张照片，这就行不通了。所以，
# 这一层在训练时维护*滑动统计量*，评估时则把它们当作常数来用。

# %%
layer = BatchNorm2d(1)
picture = np.array([1.0, 2, 3, 4], np.float32).reshape(1, 1, 2, 2)
for name, companion in (("dark", picture - 3), ("bright", picture + 3)):
    batch = np.concatenate([picture, companion])
    trained = F.batchnorm_forward(batch, layer.weight.data, layer.bias.data)[0][0, 0].ravel()
    evaluated = layer.forward(batch, training=False)[0, 0].ravel()
    print(f"{name:6} companion: in training {trained}   in evaluation {evaluated}")

# %% [markdown]
# 滑动统计量的初值是均值 0、方差 1。每来一批训练数据，它们就移动一点：
#
# $$ running \leftarrow (1 - momentum) \; running + momentum \; batch $$
#
# 这里的 `momentum` 是*新*的一批所占的权重，通常取 0.1。这是 PyTorch 的约定。Keras 则把*旧*值的权重称为 momentum：
# 它的 0.9 就是我们的 0.1。我们给这一层 60 批均值为 3、方差为 4 的数，换不同的随机数做三遍，看看会怎样。

# %%
def followed(momentum, seed, steps=60):
    """-> the running mean and variance after each batch of 4 pictures of 2x2."""
    rng, layer = np.random.default_rng(seed), BatchNorm2d(1, momentum=momentum)
    path = [(layer.buffers["running_mean"][0], layer.buffers["running_var"][0])]
    for _ in range(steps):
        layer.forward(rng.normal(3, 2, (4, 1, 2, 2)).astype(np.float32), training=True)
        path.append((layer.buffers["running_mean"][0], layer.buffers["running_var"][0]))
    return np.array(path)


batches = range(61)
paths = {momentum: np.array([followed(momentum, seed) for seed in range(3)]) for momentum in (0.1, 0.02, 0.9)}
spread({title: {f"momentum {momentum}": (batches, path[:, :, i]) for momentum, path in paths.items()}
        for i, title in enumerate(("running mean (data: 3)", "running variance (data: 4)"))},
       xlabel="batches seen", ylabel="running statistic")

# %% [markdown]
# 取 0.1 时，20 到 30 批之后，均值已走完大半路程：初值的残留是 $0.9^t$，20 批之后为 12 %。取 0.02 时，60 批之后它还在半路上。
# 取 0.9（照抄 Keras 里的数就会这样）时，它一下子就到了，但此后每来一批都要抖动：它记住的几乎只有最近的一批。

# %%
for momentum, path in paths.items():
    moves = np.abs(np.diff(path[:, 30:, 0], axis=1)).mean()
    print(f"momentum {momentum:<4}  after 60 batches: mean {path[:, -1, 0].mean():.2f}, variance {path[:, -1, 1].mean():.2f};"
          f"  the running mean moves by {moves:.2f} a batch")
print("\n" + inspect.getsource(F.update_running))

# %% [markdown]
# 还有一个细节：归一化时，用的是这一批的*有偏*（biased）方差（离差平方和除以 M）；存下来的却是*无偏*（unbiased）方差（除以 M -
# 1），因为它要估计的，是不在这一批中的图片的方差。
#
# ### 练习 3.3
#
# 写出单个通道的滑动方差的更新。`var` 是这一批的有偏方差，`count` 是 M。

# %%
def update(running_var, var, count, momentum):
    ...  # your code


tutor.check("3.3", update)

# %% [markdown]
# ### 练习 3.4
#
# 评估时，批归一化是一条直线：`out = x * scale + shift`，每个通道一个缩放系数和一个平移量。返回 `(scale,
# shift)`，两者的形状都是 (C,)。（如果网络只用于推理，批归一化就可以这样并入它前面的卷积，从而消失。）

# %%
def fold(gamma, beta, mean, var, eps):
    ...  # your code


tutor.check("3.4", fold)

# %% [markdown]
# ## 沿错误的轴
#
# 为什么要在 N、H 和 W 上求统计量？一个卷积核在每个位置做的是同样的计算，所以它在所有位置上的值属于同一组。一个很容易犯的错误，
# 是像处理表格那样，只沿批轴求统计量。这样，每个通道的每个像素都各自归一化，而所有形状都对得上，不会报错。要看到后果，
# 不必写新代码：把像素挪到通道轴上，再交给库里的批归一化，算出来的正是这个。

# %%
def over_batch_alone(x):
    N = len(x)
    every_pixel_a_channel = x.reshape(N, -1, 1, 1)
    ones, zeros = np.ones(every_pixel_a_channel.shape[1]), np.zeros(every_pixel_a_channel.shape[1])
    return F.batchnorm_forward(every_pixel_a_channel, ones, zeros)[0].reshape(x.shape)


pair = np.array([[9.0, 9, 9, 1, 1, 1, 5, 5, 5], [3.0, 4, 5, 3, 4, 5, 3, 4, 6]]).reshape(2, 1, 3, 3)
print("two pictures\n", np.hstack([pair[0, 0], pair[1, 0]]), sep="")
print("over N, H, W\n", np.hstack(list(F.batchnorm_forward(pair, np.ones(1), np.zeros(1))[0][:, 0])), sep="")
print("over N alone\n", np.hstack(list(over_batch_alone(pair)[:, 0])), sep="")

# %% [markdown]
# 一批只有两张图片时，每个像素只剩下“比另一张大”或“比另一张小”这点信息。第一张图片的横条和第二张图片的斜坡都不见了。批大一些，
# 保留的信息会多一些；但每个位置仍然各有自己的均值和方差，而滑动统计量要为每个像素各存一个数。
#
# 后果有多严重？我们训练两个只在这一点上不同的小网络：四个带批归一化的卷积，16x16 的图片，每批十张。
# 轴弄错的那一层同样使用库里的一对函数，只是像上面那样换一种方式看待数组。

# %%
class WrongAxes(BatchNorm2d):
    """Statistics over N alone: each of the C*H*W values of a picture has its own; gamma and beta stay one a channel."""

    def __init__(self, channels, side):
        super().__init__(channels)
        self.side = side
        self.buffers["running_mean"] = np.zeros(channels * side * side, np.float32)
        self.buffers["running_var"] = np.ones(channels * side * side, np.float32)

    def forward(self, x, *, training, keep_cache=None):
        flat = x.reshape(len(x), -1, 1, 1)
        gamma, beta = (np.repeat(p.data, self.side**2) for p in (self.weight, self.bias))
        if training:
            out, cache = F.batchnorm_forward(flat, gamma, beta, eps=self.eps)
            self.follow(cache)
        else:
            out, cache = F.batchnorm_frozen_forward(flat, gamma, beta, *self.buffers.values(), eps=self.eps)
        self._keep(cache, training, keep_cache)
        return out.reshape(x.shape)

    def backward(self, dout):
        dx, dgamma, dbeta = F.batchnorm_backward(dout.reshape(len(dout), -1, 1, 1), self._take())
        self.weight.accumulate(dgamma.reshape(-1, self.side**2).sum(1))
        self.bias.accumulate(dbeta.reshape(-1, self.side**2).sum(1))
        return dx.reshape(dout.shape)


def small_net(norm, seed):
    rng, layers, channels = np.random.default_rng(seed), {}, 3
    for i, (filters, side) in enumerate(((8, 16), (16, 8), (16, 8), (32, 4))):
        layers[f"conv{i}"] = Conv2d(channels, filters, 3, stride=2 if i in (1, 3) else 1, pad=1, rng=rng)
        layers[f"bn{i}"] = WrongAxes(filters, side) if norm == "over N alone" else BatchNorm2d(filters)
        layers[f"relu{i}"] = ReLU()
        channels = filters
    return Sequential(**layers, pool=GlobalAveragePool(), fc=Linear(channels, 10, rng=rng))


# %%
pictures = data_tools.find(DATA, say=print, progress=False)
normaliser = Normaliser.measured(pictures.train_images)


def learn(norm, seed, *, count=2000, epochs=4, batch=10):
    """-> the mean loss of each quarter of an epoch, and the test accuracy."""
    net, memory = small_net(norm, seed), Workspace()
    loader = TrainLoader(pictures.train_images[:count], pictures.train_labels[:count], normaliser, batch_size=batch, seed=seed,
                         augment=False, image_size=16)
    optimiser = SGD(net.named_parameters(), momentum=0.9, weight_decay=1e-4)
    losses = []
    for t in range(1, epochs * loader.steps_per_epoch + 1):
        images, labels = loader.batch(t)
        losses.append(training_step(net, optimiser, images, labels, lr=0.02, workspace=memory).loss)
    test = evaluate(net, evaluation_batches(pictures.test_images, pictures.test_labels, normaliser, batch_size=250, image_size=16),
                    classes=10)
    return np.reshape(losses, (4 * epochs, -1)).mean(1), test.top1


runs = {norm: [learn(norm, seed) for seed in range(3)] for norm in ("over N, H, W", "over N alone")}
for norm, results in runs.items():
    print(f"{norm:13} test accuracy, three seeds: " + ", ".join(f"{100 * accuracy:.1f} %" for _, accuracy in results))

# %%
epochs = (np.arange(16) + 0.5) / 4
spread({"Statistics over which axes? Three seeds": {norm: (epochs, np.array([losses for losses, _ in results]))
                                                   for norm, results in runs.items()}},
       xlabel="epoch", ylabel="training loss", levels={"guessing, ln 10": float(np.log(10))})

# %% [markdown]
# 轴正确的网络，在第一轮（epoch）中就摆脱了瞎猜的水平，而且三个随机种子的曲线很接近。轴错误的网络，
# 四轮之后才刚刚开始学到一点东西。它能运行，不报错，它的梯度也确实是它所计算的那个函数的梯度，但它是一个更差的网络：这种错误，
# 任何梯度检验都查不出来，只有与参考实现对比，或者直接检验统计量本身，才能发现。
#
# ## 小结
#
# - 批归一化在 N、H 和 W 上对每个通道做归一化，再由 `gamma` 和 `beta` 重新选定尺度和均值。
# - 反向传播有三条路径：直接、通过均值、通过方差。合起来就是：`dout` 去掉沿 1 和沿 $\hat{x}$ 方向的分量，再乘以 `gamma inv_std`。
#   所以 `dx` 在每个通道中的和为 0。
# - 全为 1 的上游梯度，恰好完全落在被去掉的分量里，什么也检验不出来；随机数才行。
# - 评估时，滑动统计量取代这一批的统计量。`momentum` 在这里和 PyTorch 中是新一批的权重，在 Keras 中是旧值的权重。
# - 只沿批轴求统计量，得到的是另一个函数。从形状上看不出来。
#
# ## 代码在哪里
#
# - `resnet_np/kernels/batchnorm/array.py`：推导和数组写法；`loops.py`、`jit.py`：同样的计算，分别是循环写法和编译版本
# - `resnet_np/functional/batchnorm.py`：成对的前向、反向函数，以及 `update_running`
# - `resnet_np/layers/basic.py`：`BatchNorm2d` 层
#
# ## 下一步
#
# 笔记本 4，残差连接。
