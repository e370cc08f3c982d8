# %% [markdown]
# # 4. 残差连接
#
# **你将学到**
#
# - 残差块（residual block）计算什么，它的反向传播为什么只有一行：在一个极小的块里，把每个数都看一遍。
# - 在不同深度的普通网络和残差网络中，各层的梯度有多大。
# - 退化（degradation）：普通网络加深之后，连*训练*图片都学得更差；残差网络则不会。
# - 捷径（shortcut）不是什么：它不是减法，也不是治疗梯度消失（vanishing gradients）的药方。
#
# **预备知识**：笔记本 2 和 3。
#
# **用时**：45 分钟。

# %%
# %matplotlib inline
import inspect

import numpy as np

import data_tools
from resnet_np import functional as F
from resnet_np import tutor
from resnet_np.data import Normaliser, TrainLoader
from resnet_np.gradcheck import check_layer, require
from resnet_np.layers import (
    BasicBlock,
    BatchNorm2d,
    Conv2d,
    GlobalAveragePool,
    Linear,
    ReLU,
    ResidualBlock,
    Sequential,
    plain_block,
)
from resnet_np.models import resnet_cifar
from resnet_np.optim import SGD
from resnet_np.training import training_step
from resnet_np.viz.fork import fork
from resnet_np.viz.spread import spread
from resnet_np.workspace import Workspace

np.set_printoptions(precision=3, suppress=True, linewidth=110)

DATA = "shapes10"  # "cifar10" where you have it

# %% [markdown]
# ## 一次加法
#
# 普通网络（plain net）把层一个接一个地串起来。残差网络（residual net，He 等人，2015）则把层分成块，每块两个卷积，
# 并让每个块的输入从旁边绕过这两个卷积，到块的末尾再加上去：
#
# $$ out = relu(main(x) + x) $$
#
# `main` 称为分支（branch），绕过它的那条路称为捷径，也叫捷径连接或残差连接（residual connection）。一个块的前向传播和反向传播，
# 全部代码就是这些：

# %%
print(inspect.getsource(ResidualBlock.forward))
print(inspect.getsource(ResidualBlock.backward))

# %% [markdown]
# 我们来看最小的块：只有一个通道，输入一张 2x2 像素的图片。`BasicBlock` 搭建分支：卷积、批归一化、ReLU、卷积、批归一化。
# 先做前向传播。

# %%
block = BasicBlock(1, 1, stride=1, shortcut="A", zero_pad="both", rng=np.random.default_rng(4)).astype(np.float64)
x = np.array([[0.5, 2.0], [1.0, 0.0]])[None, None]  # (N, C, H, W) = (1, 1, 2, 2)

main = block.main.forward(x, training=True)
shortcut = block.shortcut.forward(x, training=True)
out = block.relu.forward(F.add_forward(main, shortcut), training=True)
forward = {"x": x, "main": main, "shortcut": shortcut, "sum": main + shortcut, "out": out}
for name, values in forward.items():
    print(f"{name:9}", values.ravel())

# %% [markdown]
# ## 梯度在哪里分岔
#
# 反向传播沿同样的路往回走。
#
# 1. 在 `out` 为正的地方，ReLU 让 `dout` 通过。
# 2. 加法对两个输入的导数都是 1。它把*同一个*梯度交给两边：`dmain =
#    dshortcut = dsum`。
# 3. 分支依次做五个层的反向传播，把它那一份变成 $x$ 的梯度。捷径则把它那一份原样传回。
# 4. $x$ 走了两条路，所以按链式法则，它从两条路各收到一个梯度，二者相加。

# %%
dout = np.array([[1.0, -2.0], [0.5, 3.0]])[None, None]
dsum = block.relu.backward(dout)
dmain, dshortcut = F.add_backward(dsum)
through_main = block.main.backward(dmain)
through_shortcut = block.shortcut.backward(dshortcut)
dx = through_main + through_shortcut
for name, values in (("dout", dout), ("dsum", dsum), ("dmain", dmain), ("dshortcut", dshortcut),
                     ("back through main", through_main), ("back through the shortcut", through_shortcut), ("dx, their sum", dx)):
    print(f"{name:26}", values.ravel())

block.forward(x, training=True)
print("block.backward(dout)      ", block.backward(dout).ravel())

# %%
backward = {"x": dx, "main": dmain, "shortcut": dshortcut, "sum": dsum, "out": dout}
fork({name: values[0, 0] for name, values in forward.items()}, {name: values[0, 0] for name, values in backward.items()})

# %% [markdown]
# 对 $x$ 和块中的每个权重，有限差分给出的结果都一致（笔记本 2）：

# %%
rng = np.random.default_rng(0)
larger = BasicBlock(2, 2, stride=1, shortcut="A", zero_pad="both", rng=rng).astype(np.float64)
reports = check_layer(larger, rng.standard_normal((2, 2, 4, 4)), rng=rng)
require(reports)
for report in reports:
    print(report.describe(1e-6))

# %% [markdown]
# ### 练习 4.1
#
# 写出带恒等捷径（identity shortcut）的块的前向传播。`main` 是一个函数：它返回分支对 `x` 的计算结果。

# %%
def block_forward(x, main):
    ...  # your code


tutor.check("4.1", block_forward)

# %% [markdown]
# ### 练习 4.2
#
# 写出它的反向传播。`out` 是前向传播的返回值。`main_backward` 是一个函数：输入分支输出的梯度，返回经过分支传回到 `x` 的梯度。

# %%
def block_backward(dout, out, main_backward):
    ...  # your code


tutor.check("4.2", block_backward)

# %% [markdown]
# ## 形状改变的地方
#
# 两个数组只有形状一致才能相加。在每个新阶段（stage）开始的地方，分支把高和宽减半，把通道数加倍。论文中用于 CIFAR 的网络采
# 用*方案 A*（option A）：捷径每隔一个像素取一个，并补上全零的通道；它没有参数。*方案 B*（option B）则是步幅为 2 的 1x1 卷积，
# 加上批归一化。

# %%
picture = np.arange(1.0, 17).reshape(1, 1, 4, 4)
padded, _ = F.shortcut_forward(picture, channels=2, stride=2, zero_pad="end")
print("x, one channel\n", picture[0, 0], "\nthe shortcut, two channels\n", padded[0], sep="")

# %% [markdown]
# ### 练习 4.3
#
# 写出步幅为 2 的方案 A：从 (N, C, H, W) 到 (N, channels, OH, OW)。新增的通道一半放在 `x` 的通道之前，一半放在之后。

# %%
def option_a(x, channels):
    ...  # your code


tutor.check("4.3", option_a)

# %% [markdown]
# ## 捷径不是什么：它不是减法
#
# “这个块学习的是残差（residual）$H(x) - x$。”许多文章由这句话得出结论，说捷径做的是减法。并非如此：上面的代码里没有减号。
# 这句话说的是还剩下什么要学。如果整个块应当算出 $H(x)$，而末尾反正要加上 $x$，那么分支就必须给出差值，即 $main(x) = H(x) - x$。
# 没有谁去计算这个差，它是训练找出来的。
#
# 这为什么有帮助？因为这样一来，“什么也不做”很容易。如果一个块最好的做法就是原样传递 $x$，那么分支只需返回 0；
# 只要最后一个批归一化的 `gamma` = 0，就能做到。普通的块却必须用两个卷积和一个 ReLU 把恒等映射（identity）*搭建*出来。
# 我们逐渐调小 `gamma`，看输出与 $x$ 差多远（这里的 $x$ 非负，就像刚经过 ReLU 一样）。

# %%
x = np.abs(np.random.default_rng(1).standard_normal((8, 4, 8, 8)))


def distance(block, gamma):
    """How far out is from x, as a share of x."""
    norms = [child for child in block.children.values() if isinstance(child, BatchNorm2d)]
    norms[-1].weight.data[...] = gamma
    return np.linalg.norm(block.forward(x, training=True) - x) / np.linalg.norm(x)


for gamma in (1.0, 0.3, 0.1, 0.0):
    rng = np.random.default_rng(2)
    residual = BasicBlock(4, 4, stride=1, shortcut="A", zero_pad="both", rng=rng).astype(np.float64)
    plain = plain_block(4, 4, stride=1, rng=np.random.default_rng(2)).astype(np.float64)
    print(f"gamma {gamma:3}:  |out - x| / |x|   residual {distance(residual, gamma):.3f}   plain {distance(plain, gamma):.3f}")

# %% [markdown]
# 分支越弱，残差块就越接近恒等映射。普通的块则差得远；`gamma` = 0 时，它把图片完全丢掉了。
#
# ## 梯度穿过许多块
#
# 在一串块中，链式法则把导数相乘。如果每个块的导数是 $a$，那么普通的一串块的导数就是 $a^L$。有了捷径，每个块的导数是 $1 + a$。
#
# ### 练习 4.4
#
# 对于由 `blocks` 个形如 $f(x) = a x$ 的块组成的串，返回两种情形的导数 `(plain, residual)`。

# %%
def gains(a, blocks):
    ...  # your code


tutor.check("4.4", gains)

# %% [markdown]
# 很多讲解算完这笔账就结束了：“0.1 的 27 次方几乎为零，1.1 的 27 次方是 13，所以捷径治好了梯度消失。”但真实的网络里有批归一化。
# 我们还是来测量吧。对每个卷积，取其权重梯度的范数；网络是刚初始化的，还没有训练：宽度为论文的一半，图片 16x16，一批 32 张，
# 三个随机种子。

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
normaliser = Normaliser.measured(pictures.train_images)
images, labels = TrainLoader(pictures.train_images, pictures.train_labels, normaliser, batch_size=32, seed=0, augment=False,
                             image_size=16).batch(1)


def gradient_norms(net):
    """One forward and one backward pass -> the norm of the gradient of each convolution, from the picture to the head."""
    loss, cache = F.softmax_cross_entropy_forward(net.forward(images, training=True), labels)
    net.backward(F.softmax_cross_entropy_backward(cache))
    return [np.linalg.norm(p.grad) for p in net.named_parameters().values() if p.data.ndim == 4]


norms = {}
for title, kind in (("plain nets", "none"), ("residual nets", "A")):
    norms[title] = {}
    for depth in (8, 20, 44):
        values = np.array([gradient_norms(resnet_cifar(depth, kind, width=8, seed=seed)) for seed in range(3)])
        norms[title][f"{depth} layers"] = (np.arange(1, depth), values)
        first, last = np.median(values[:, 0]), np.median(values[:, -1])
        print(f"{title:13}, {depth:2} layers: first convolution {first:7.2f}, last {last:.2f}: {first / last:6.1f} times")

# %%
spread(norms, xlabel="convolution, from the picture to the head", ylabel="norm of the gradient", logy=True)

# %% [markdown]
# 请看左边的普通网络。没有任何梯度消失。离损失最远的前几层，梯度反而*最大*；网络越深，梯度越大。在 44 层的普通网络中，
# 前几层的梯度是最后一层的几百倍。残差网络的梯度也会变大，但程度小得多：这里不到十倍。
#
# ## 捷径不是什么：它不是治疗梯度消失的药方
#
# 那么，梯度消失从何而来？来自没有批归一化、权重又太小的网络。我们用 `Conv2d` 和 `ReLU` 堆起 44 个普通卷积，每层 8 个卷积核，
# 任何地方都没有捷径。

# %%
def stack(normalised, scale, seed, depth=44, filters=8):
    rng, layers, channels = np.random.default_rng(seed), {}, 3
    for i in range(depth):
        layers[f"conv{i}"] = Conv2d(channels, filters, 3, pad=1, rng=rng)
        layers[f"conv{i}"].weight.data *= np.float32(scale)
        if normalised:
            layers[f"bn{i}"] = BatchNorm2d(filters)
        layers[f"relu{i}"] = ReLU()
        channels = filters
    return Sequential(**layers, pool=GlobalAveragePool(), fc=Linear(channels, 10, rng=rng))


kinds = {"small weights": (False, 0.5**0.5), "He's weights": (False, 1.0), "batch norm, small weights": (True, 0.5**0.5)}
plain = {}
for name, (normalised, scale) in kinds.items():
    values = np.array([gradient_norms(stack(normalised, scale, seed)) for seed in range(3)])
    plain[name] = (np.arange(1, 45), values)
    print(f"{name:25}: median norm, first convolution {np.median(values[:, 0]):.0e}, last {np.median(values[:, -1]):.0e}")

# %%
spread({"44 plain convolutions, no shortcut": plain}, xlabel="convolution, from the picture to the head",
       ylabel="norm of the gradient", logy=True)

# %% [markdown]
# - *权重偏小*（small weights）：权重的方差是 He 等人为 ReLU 网络选定的一半。无论前向还是反向，每经过一层，
#   信号的均方值都减半。44 层之后，梯度只剩十亿分之几：消失了。这样的网络学不了东西。
# - *He 的权重*（He's weights）：方差正确，信号的大小就大致保持不变，但并不精确：不同随机种子的结果相差很大。
# - *批归一化，权重偏小*（batch norm, small weights）：每一层都会重新缩放，所以权重的尺度不再重要。没有任何梯度消失。
#   和上面左图一样，越靠近图片，梯度甚至越大。
#
# 所以，不靠任何捷径，批归一化（2015 年，比 ResNet 早几个月）就已经解决了梯度消失。论文自己也是这样说的。
# 在处处使用批归一化的前提下，论文发现的是另一个问题。
#
# ## 退化
#
# 取一个网络，把它加深。它的能力至少不会比原来差，因为新加的层可以是恒等映射。那么，它在训练图片上至少应该学得一样好。
# 普通网络的情况却恰恰相反。我们来试一试：8 层和 26 层的网络，有捷径和没有捷径，1280 张图片，训练五遍，三个随机种子。

# %%
def learn(depth, kind, seed, *, count=1280, epochs=5, batch=64):
    """-> the mean training loss of each epoch."""
    net, memory = resnet_cifar(depth, kind, width=8, seed=seed), Workspace()
    loader = TrainLoader(pictures.train_images[:count], pictures.train_labels[:count], normaliser, batch_size=batch, seed=seed,
                         augment=False, image_size=16)
    optimiser = SGD(net.named_parameters(), momentum=0.9, weight_decay=1e-4)
    losses = [training_step(net, optimiser, *loader.batch(t), lr=0.05, workspace=memory).loss
              for t in range(1, epochs * loader.steps_per_epoch + 1)]
    return np.reshape(losses, (epochs, -1)).mean(1)


live = {title: {f"{depth} layers": (np.arange(1, 6), np.array([learn(depth, kind, seed) for seed in range(3)]))
                for depth in (8, 26)}
        for title, kind in (("plain nets", "none"), ("residual nets", "A"))}
for title, lines in live.items():
    for name, (_, losses) in lines.items():
        print(f"{title:13}, {name:9}: training loss in epoch 5, three seeds: ", np.sort(losses[:, -1]).round(2))

# %%
spread(live, xlabel="epoch", ylabel="training loss", levels={"guessing, ln 10": float(np.log(10))})

# %% [markdown]
# 没有捷径时，26 层并不比 8 层好：两条色带互相重叠。有捷径时，26 层没有白加：三个随机种子的结果，全都胜过任何一个 8 层网络。
#
# 五轮（epoch）不算多。`recorded/degradation.jsonl` 保存了更长的训练记录：8、20 和 44 层，4000 张 Shapes-10 图片，
# 用 `resnet-np train` 训练六轮，宽度减半，图片 16x16，每种各用三个随机种子。用 `python record.py degradation`
# 可以把这些记录全部重做一遍。

# %%
about, records = tutor.recorded("degradation")
print({key: about[key] for key in ("command", "machine", "date", "seeds")})
long = {}
for title, kind in (("plain nets", "plain"), ("residual nets", "resnet")):
    runs = {depth: [record for record in records if (record["kind"], record["depth"]) == (kind, depth)] for depth in (8, 20, 44)}
    long[title] = {f"{depth} layers": (np.arange(1, 7), np.array([run["train_accuracy"] for run in found]) * 100)
                   for depth, found in runs.items()}
    for depth, found in runs.items():
        print(f"{title:13}, {depth:2} layers:  training pictures",
              ", ".join(f"{100 * run['train_accuracy'][-1]:.1f} %" for run in found),
              "  test pictures", ", ".join(f"{100 * run['test_accuracy']:.1f} %" for run in found))

# %%
spread(long, xlabel="epoch", ylabel="accuracy on the training pictures (%)", levels={"guessing": 10.0})

# %% [markdown]
# 没有捷径时，20 层在它学过的图片中认出的并不比 8 层多：两个随机种子下差不多，一个种子下少得多。44 层在每个种子下都远远落后，
# 只有 11 到 51 %，三次中有一次始终没有离开瞎猜的水平。有捷径时，每个种子下 20 层都胜过 8 层，44 层学会的和 20 层差不多一样多：
# 原来的灾难，现在只不过是没有收益。
#
# 有三样东西，它不是：
#
# - 它不是过拟合（overfitting）。过拟合的网络在训练图片上好，在其他图片上差；而这些网络在训练图片上就差。
# - 它不是能力不足：只要多出来的层照抄输入，20 层的普通网络就能做到 8 层网络所做的事。只是训练找不到这个解。
# - 它不是梯度消失。我们测量过：在刚初始化的网络中，梯度并没有消失。不过，在 44 层的普通网络中，各层的梯度相差几百倍，
#   却只能共用一个学习率。这是不是*真正的*原因，我们的图说明不了。
#
# 六轮是很短的训练。论文训练了 64,000 步，在 CIFAR-10 上得到同样的次序（论文的图 6）：20、32、44 和 56 层的普通网络越深越差，
# 残差网络越深越好。
#
# ## 小结
#
# - 一个块计算 `relu(main(x) + shortcut(x))`。反向传播时，加法把同一个梯度交给两条支路，到了 $x$ 处，两个梯度相加。
# - 捷径做的是加法。分支学习差值；没有谁做减法。
# - 分支为 0 时，残差块就是恒等映射。权重相同的普通块则不是。
# - 正如范数所示，有了批归一化，普通网络中的梯度不会消失。深的普通网络中，各层梯度的大小很不均匀；有了捷径，就均匀一些。
# - 深的普通网络，连训练图片都学得比浅的差：这就是退化。捷径解决了这个问题。
#
# ## 代码在哪里
#
# - `resnet_np/layers/block.py`：`ResidualBlock`、`BasicBlock`、`plain_block`
# - `resnet_np/functional/add.py`、`shortcut.py`：加法，以及方案 A
# - `resnet_np/models/resnet_cifar.py`：普通网络和残差网络
#
# ## 下一步
#
# 笔记本 5 用这些块搭建 ResNet-20。
