# %% [markdown]
# # 5. 搭建 ResNet-20
#
# **你将学到**
#
# - ResNet 是怎样搭起来的：起始层（stem）、三个由残差块组成的阶段（stage）、池化、一个线性层。
# - 图片一路走过去，形状怎样变化；参数和计算量都在哪里。
# - 方案 A 和方案 B 是什么：用在形状改变之处的两种捷径。
# - 怎样改变深度。
# - 只花几秒、却能查出大多数错误的两项检查：训练第一步之前的损失，以及把十六张图片背下来。
#
# **预备知识**：笔记本 1 到 4；或者已经知道卷积、批归一化和残差块是什么。
#
# **用时**：40 分钟。

# %%
# %matplotlib inline
import inspect
import math
import time

import numpy as np

import data_tools
from resnet_np import backend, tutor
from resnet_np import functional as F
from resnet_np.data import Normaliser, generator
from resnet_np.errors import InputError
from resnet_np.layers import (
    BasicBlock,
    BatchNorm2d,
    Bottleneck,
    Conv2d,
    GlobalAveragePool,
    Linear,
    ReLU,
    ResidualBlock,
    Sequential,
    Stem,
)
from resnet_np.models import resnet_cifar, resnet_imagenet
from resnet_np.models.resnet_cifar import parameter_count
from resnet_np.models.resnet_imagenet import parameter_count as imagenet_parameter_count
from resnet_np.models.summary import summarise
from resnet_np.optim import SGD
from resnet_np.training import training_step
from resnet_np.viz.diagonal import diagonal
from resnet_np.viz.gallery import gallery
from resnet_np.viz.spread import spread
from resnet_np.viz.stages import stages
from resnet_np.workspace import Workspace

DATA = "shapes10"  # "cifar10" where you have it

# %% [markdown]
# ## 十六张图片
#
# 整个笔记本里，我们都跟着这十六张图片走。归一化器（normaliser）把每个颜色通道减去均值，再除以标准差，和笔记本 0 中一样。

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
normaliser = Normaliser.measured(pictures.train_images)
x, labels = normaliser(pictures.train_images[:16]), pictures.train_labels[:16]
print("x     ", x.shape, x.dtype)
print("labels", labels)
gallery(pictures.train_images[:16], [pictures.classes[label] for label in labels], columns=8)

# %% [markdown]
# ## 起始层
#
# 字母的含义：`N` 图片，`C` 通道（channel），`F` 卷积核（filter），`H W` 像素。
#
# 一张图片有 `C = 3` 个通道。起始层把它们变成 `F = 16` 个：一个卷积核为 3x3 的卷积、批归一化（batch norm）、ReLU。
# 填充 `pad=1` 使尺寸保持不变：输入 32 像素，输出也是 32 像素。
#
# 所有随机数都来自 `rng`。同样的生成器每次给出同样的权重。

# %%
rng = generator(0, 0, "init")  # seed 0, step 0: the initial weights
stem = Stem(conv1=Conv2d(3, 16, 3, pad=1, rng=rng), bn1=BatchNorm2d(16), relu=ReLU())
out = stem.forward(x, training=True, keep_cache=False)
print("into the stem", x.shape, "   out of it", out.shape)

# %% [markdown]
# 它的参数：没有偏置的卷积有 $F \cdot C \cdot KH \cdot KW$ 个权重；批归一化每个通道有两个数，即 $\gamma$ 和 $\beta$（和 PyTorch 一
# 样，称为 `weight` 和 `bias`）。

# %%
for name, parameter in stem.named_parameters().items():
    print(f"{name:12} {parameter.data.shape!s:15} {parameter.data.size:4}")
print("16 * 3 * 3 * 3 + 2 * 16 =", 16 * 3 * 3 * 3 + 2 * 16)

# %% [markdown]
# ## 一个残差块
#
# 这就是笔记本 4 的残差块（residual block）在库中的写法。它的前向传播有三行：分支（branch）、捷径（shortcut），
# 以及对二者之**和**做 ReLU。

# %%
print(inspect.getsource(ResidualBlock.forward))

# %% [markdown]
# `BasicBlock` 的分支是两个 3x3 的卷积，各带一个批归一化。在形状一致的地方，捷径就是 `x` 本身。

# %%
block = BasicBlock(16, 16, stride=1, shortcut="A", zero_pad="both", rng=np.random.default_rng(0))
for name, layer in block.main.children.items():
    print(f"{name:6} {type(layer).__name__}")
print("around them:", type(block.shortcut).__name__)
print("shape", out.shape, "->", block.forward(out, training=True, keep_cache=False).shape)

# %% [markdown]
# 每个新阶段的第一个块用 `stride=2`（步幅）。它把 `H` 和 `W` 减半，把通道数加倍，因此 `x` 的形状对不上了：捷径也必须改变形状。
# 详见下文。

# %%
block = BasicBlock(16, 32, stride=2, shortcut="A", zero_pad="both", rng=np.random.default_rng(0))
print("around them:", type(block.shortcut).__name__)
print("shape", out.shape, "->", block.forward(out, training=True, keep_cache=False).shape)

# %% [markdown]
# ### 练习 5.1：一个块的参数
#
# 写一个以 `C`（输入通道数）和 `F`（卷积核数）为参数的函数：采用方案 A 捷径的 `BasicBlock` 有多少个参数？
# 请把两个卷积和两个批归一化都数进去。


# %%
def block_parameters(C, F):
    ...  # your code


tutor.check("5.1", block_parameters)

# %% [markdown]
# ## 一个阶段，以及整个网络
#
# 一个阶段由 `n` 个块串接而成。三个阶段分别有 16、32 和 64 个卷积核，然后对每张特征图（feature map）取平均，
# 再用一个线性层得出十个 logits：这就是整个网络。ResNet-20 的 `n = 3`。


# %%
def stage(channels, filters, n, stride):
    """n blocks; the first has the stride."""
    first = BasicBlock(channels, filters, stride=stride, shortcut="A", zero_pad="both", rng=rng)
    others = [BasicBlock(filters, filters, stride=1, shortcut="A", zero_pad="both", rng=rng) for _ in range(n - 1)]
    return Sequential(**{str(i): block for i, block in enumerate([first, *others])})


net = Sequential(stem=stem, layer1=stage(16, 16, 3, 1), layer2=stage(16, 32, 3, 2), layer3=stage(32, 64, 3, 2),
                 avgpool=GlobalAveragePool(), fc=Linear(64, 10, rng=rng))

out, total = x, 0
print(f"{'':9}{'out':>18}{'parameters':>13}")
for name, part in net.children.items():
    out = part.forward(out, training=True, keep_cache=False)
    count = sum(parameter.data.size for parameter in part.named_parameters().values())
    total += count
    print(f"{name:9}{out.shape!s:>18}{count:13,}")
print(f"{'':27}{total:13,}")

# %% [markdown]
# 从上往下读这些形状：图片越来越小（32、16、8 像素），通道越来越多（16、32、64）。最后，池化把剩下的像素也合并掉了：
# 一张图片只剩 64 个数，线性层由它们算出十个 logits。
#
# 数一数有权重的层：起始层 1 个，三个阶段 $3 \cdot n \cdot 2$ 个，末尾 1 个。所以 CIFAR ResNet 有 $6n + 2$ 层：$n = 3$ 时就是 20
# 层。
#
# ### 它和库里的一样吗？
#
# `resnet_cifar(20)` 以同样的顺序搭建同样的网络。随机种子相同时，两者的结果逐位（bit）相同。（`fused=False` 表示逐层计算，
# 和我们的网络一样。默认则把卷积、批归一化和 ReLU 融合在一起：更快，但最后几位会不同。）

# %%
library = resnet_cifar(20, shortcut="A", fused=False, seed=0)
ours, theirs = net.forward(x, training=True, keep_cache=False), library.forward(x, training=True, keep_cache=False)
print("logits of the first picture, ours   ", np.round(ours[0], 3))
print("logits of the first picture, library", np.round(theirs[0], 3))
print("all sixteen pictures, the same bits?", np.array_equal(ours, theirs))

# %% [markdown]
# ## 参数和计算量在哪里
#
# `summarise` 让一张图片通过网络，并记下每一层做了什么。一次*乘加*（multiply-add，MAC）是一次乘法加一次加法。
# 对输出的 $OH \cdot OW$ 个像素，卷积每算一个都需要 $F \cdot C \cdot KH \cdot KW$ 次乘加。

# %%
with backend.using("numpy"):  # one picture: nothing to compile for
    summary = summarise(library, (1, 3, 32, 32))
for row in summary.rows[:11]:
    print(f"{row.name:20}{row.kind:18}{row.shape!s:>14}{row.parameters:9,}{row.macs:12,}")
print("... and", len(summary.rows) - 11, "more")
print(f"{summary.parameters:,} parameters, {summary.macs / 1e6:.2f} million multiply-adds")

# %%
parameters, macs = {}, {}
for row in summary.rows:
    part = row.name.split(".")[0] if row.name.startswith(("layer", "fc")) else "stem"
    if row.name != "avgpool":
        parameters[part] = parameters.get(part, 0) + row.parameters
        macs[part] = macs.get(part, 0) + row.macs
stages(parameters, macs)

# %% [markdown]
# 输入和输出的通道数都加倍，权重就变成四倍；而高和宽都减半，像素只剩四分之一。所以，与前一个阶段相比，每个阶段的参数约为**四倍**，
# 而计算量**大致相同**。
#
# ## 与论文对照
#
# He 等人（2015）的表 6 以百万为单位列出了参数量。我们的数舍入之后必须与之一致。`parameter_count` 只计数，不搭建网络，
# 所以即使 1,202 层也不费什么事。

# %%
TABLE_6 = {20: "0.27", 32: "0.46", 44: "0.66", 56: "0.85", 110: "1.7", 1202: "19.4"}  # millions of parameters

print("layers   n   option A    option B   paper, millions   million multiply-adds")
for depth, paper in TABLE_6.items():
    a, b = parameter_count(depth, "A"), parameter_count(depth, "B")
    digits = len(paper.split(".")[1])
    assert f"{a / 1e6:.{digits}f}" == paper
    work = "-"
    if depth <= 56:
        with backend.using("numpy"):
            work = f"{summarise(resnet_cifar(depth), (1, 3, 32, 32)).macs / 1e6:.2f}"
    print(f"{depth:6}{(depth - 2) // 6:4}{a:11,}{b:12,}{paper:>12}{work:>22}")

# %% [markdown]
# ## 方案 A 和方案 B
#
# 每个阶段开始的地方，分支的输出有两倍的通道、一半的高和宽。要与它相加的东西，也必须是这个形状。
#
# **方案 A**（option A，论文在 CIFAR 上的选择）：每隔一个像素取一个，并补上全零的通道。没有参数。以两个 4x4 的通道为例：

# %%
small = np.arange(1, 33, dtype=np.float32).reshape(1, 2, 4, 4)
print("x, channel 0\n", small[0, 0].astype(int), "\nx, channel 1\n", small[0, 1].astype(int))
for side in ("both", "end"):
    padded, _ = F.shortcut_forward(small, channels=4, stride=2, zero_pad=side)
    print(f'\nzero_pad="{side}":', padded.shape)
    print(*(str(channel.astype(int)).replace("\n", "") for channel in padded[0]), sep="\n")

# %% [markdown]
# 论文没有说全零的通道放在哪里。有些广为人知的公开权重前后各放一半（`"both"`），有些则全部放在后面（`"end"`）。
# 用一种方式训练的网络，换成另一种就会出错，所以我们的检查点文件（checkpoint）会记下用的是哪一种。
#
# **方案 B**（option B）：步幅为 2 的 1x1 卷积，加上批归一化。它是学出来的，所以要花费参数：

# %%
block = BasicBlock(16, 32, stride=2, shortcut="B", zero_pad="both", rng=np.random.default_rng(0))
for name, parameter in block.shortcut.named_parameters().items():
    print(f"downsample.{name:10} {parameter.data.shape!s:15} {parameter.data.size:5}")
print("ResNet-20, option B - option A:", parameter_count(20, "B") - parameter_count(20, "A"))

# %% [markdown]
# ### 练习 5.2：方案 B 的代价
#
# 设 CIFAR 网络的第一个阶段有 `width` 个卷积核（因而后两个阶段有 2 `width` 和 4 `width` 个）。写一个函数，
# 返回方案 B 会增加多少个参数。整个网络中只有两个块改变形状。


# %%
def price_of_b(width):
    ...  # your code


tutor.check("5.2", price_of_b)

# %% [markdown]
# ## 怎样改变深度？
#
# 改一个数就行。只有 $6n + 2$ 层的网络才存在；报错信息会告诉你最接近的是哪些。

# %%
for depth in (8, 20, 56):
    deep = resnet_cifar(depth, width=8)
    print(f"{depth:3} layers: {[len(deep.trunk.children[f'layer{i}'].children) for i in (1, 2, 3)]} blocks")
try:
    resnet_cifar(21)
except InputError as error:
    print(error)

# %% [markdown]
# 在命令行上就是 `resnet-np train --model resnet32`。深度要付出什么代价？下面是在我们的十六张图片上训练一步的时间，
# 宽度减半（`width=8`），取七步的中位数。

# %%
print("layers   parameters   multiply-adds   ms a step")
for depth in (8, 20, 56):
    deep = resnet_cifar(depth, width=8)
    with backend.using("numpy"):
        work = summarise(deep, (1, 3, 32, 32)).macs
    optimiser, workspace, seconds = SGD(deep.named_parameters()), Workspace(), []
    for _ in range(9):
        start = time.perf_counter()
        training_step(deep, optimiser, x, labels, lr=0.01, workspace=workspace)
        seconds.append(time.perf_counter() - start)
    print(f"{depth:6}{parameter_count(depth, width=8):13,}{work / 1e6:12.2f} M{1000 * np.median(seconds[2:]):12.0f}")

# %% [markdown]
# 参数、计算量和时间都随块数增加。深度能*带来*什么则是另一个问题：笔记本 11 会训练 8 到 56 层的网络，看看结果如何。
#
# ## ImageNet 网络
#
# ResNet-18、34、50、101 和 152 用的是同样的零件：四个阶段；适合大图片的起始层（步幅为 2 的 7x7 卷积，然后是最大池化）；
# 从 50 层起，还要用*瓶颈块*（bottleneck）：1x1、3x3 和 1x1 三个卷积，最后一个的卷积核数是前面的四倍。
# 我们数出的参数量与 torchvision 的权重文件一致。

# %%
TORCHVISION = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
for depth, theirs in TORCHVISION.items():
    ours = imagenet_parameter_count(depth)
    print(f"resnet{depth:<4} {ours:11,} parameters, as torchvision:", ours == theirs)

bottleneck = Bottleneck(64, 16, stride=2, stride_in="3x3", rng=np.random.default_rng(0))
out = np.ones((1, 64, 8, 8), np.float32)
for name, layer in bottleneck.main.children.items():
    out = layer.forward(out, training=False)
    if name.startswith("conv"):
        print(f"bottleneck {name}: {layer.weight.data.shape!s:15} -> {out.shape}")

slim = resnet_imagenet(18, stem="cifar", width=8, classes=10)  # for small pictures, an eighth of the width
print("a slim ResNet-18 on 32x32 pictures:", slim.forward(x, training=False).shape)

# %% [markdown]
# ## 训练第一步之前的损失
#
# 训练一个新网络之前，先看看它的损失。一个什么都不知道的网络，应该给 `K = 10` 个类别各 1/10 的概率。
# 这时的交叉熵是 $-\ln \frac{1}{10} = \ln 10 \approx 2.303$。

# %%
print("ln 10 =", round(math.log(10), 4))
zeros, _ = F.softmax_cross_entropy_forward(np.zeros((16, 10), np.float32), labels)
print("loss of zero logits:", round(float(zeros), 4))

batch, batch_labels = normaliser(pictures.train_images[:64]), pictures.train_labels[:64]
fresh, expected, everything = [], [], []
for seed in range(10):
    net = resnet_cifar(20, seed=seed)
    logits = net.forward(batch, training=True, keep_cache=False)
    everything.append(logits)
    fresh.append(float(F.softmax_cross_entropy_forward(logits, batch_labels)[0]))
    expected.append(math.log(10) + logits.var(axis=1).mean() / 2)
print("fresh nets, seeds 0 to 9:", np.round(fresh, 2))
print(f"mean {np.mean(fresh):.2f}, from {min(fresh):.2f} to {max(fresh):.2f}")

# %% [markdown]
# 刚初始化的 ResNet-20，损失在 2.5 或 2.6 左右，*高于* $\ln 10$。为什么？因为它的 logits 不是零。最后一层的权重是随机的，
# 所以网络还没见过任何东西，就已经偏爱某些类别了，而且对每张图片偏爱的都是同样的类别：

# %%
print("seed 0, logits of three pictures:")
print(np.round(everything[0][:3], 2))
print("how much the logits of a picture differ, class from class:", round(float(everything[0].std(axis=1).mean()), 2))
print("how much the logits of a class differ, picture from picture:", round(float(everything[0].std(axis=0).mean()), 2))

# %% [markdown]
# 与标签毫无关系的偏爱，就是没有理由的自信，交叉熵会为此罚分。如果 logits 围绕其均值波动，方差为 $\sigma^2$，又与标签无关，那么
#
# $$\text{loss} \approx \ln K + \frac{\sigma^2}{2}$$
#
# （这是 $\ln \sum_k e^{z_k}$ 的均值，展开到 $z$ 的二阶）。我们把它与那十个网络对照，再与最后一层置零的网络对照：

# %%
headless = []
for seed in range(3):
    net = resnet_cifar(20, seed=seed)
    net.trunk.children["fc"].weight.data[...] = 0
    net.trunk.children["fc"].bias.data[...] = 0
    logits = net.forward(batch, training=True, keep_cache=False)
    headless.append(float(F.softmax_cross_entropy_forward(logits, batch_labels)[0]))
print("zeroed head:", np.round(headless, 4))
diagonal({"fresh net, ten seeds": (expected, fresh), "zeroed head, three seeds": ([math.log(10)] * 3, headless)},
         xlabel="ln 10 + variance of the logits / 2", ylabel="measured loss of 64 pictures")

# %% [markdown]
# 各点都离直线不远。所以 2.5 并不是错误：这种大小的随机权重，给出的就是这样的损失。训练第一步之前的损失如果是 7，或者 0.1，
# 那就*一定*有错：图片没有归一化，权重的尺度不对，或者标签混进了输入。
#
# ### 练习 5.3：从 ln 10 开始
#
# 写一个函数，就地修改网络，使它不论输入什么图片，损失都恰好从 $\ln 10$ 开始。最后一层之前的部分一律不动。
# 最后一层是 `net.trunk.children["fc"]`；它有 `weight` 和 `bias`。返回这个网络。


# %%
def start_at_ln_10(net):
    ...  # your code


tutor.check("5.3", start_at_ln_10)

# %% [markdown]
# ## 把十六张图片背下来
#
# 第二项检查：一个有 68,000 个参数的网络，必定能把十六张图片背下来。如果做不到，那么前向传播、反向传播或参数更新中一定有地方错了。
# 这项检查只花几秒；不做它，就不要开始长时间的训练。
#
# 宽度减半的 ResNet-20，训练 50 步，始终用同样的十六张图片。三个随机种子。

# %%
STEPS, LR = 50, 0.05
losses, accuracies, nets = [], [], []
for seed in range(3):
    net = resnet_cifar(20, width=8, seed=seed)
    optimiser, workspace = SGD(net.named_parameters(), momentum=0.9, weight_decay=0.0), Workspace()
    results = [training_step(net, optimiser, x, labels, lr=LR, workspace=workspace) for _ in range(STEPS)]
    losses.append([result.loss for result in results])
    accuracies.append([100 * result.correct / 16 for result in results])
    nets.append(net)
first = [next((i + 1 for i, value in enumerate(row) if value == 100), None) for row in accuracies]
print("parameters:", f"{parameter_count(20, width=8):,}")
print("loss of the first and of the last step:", [(round(row[0], 2), round(row[-1], 4)) for row in losses])
print("all sixteen right for the first time before step", first)
steps = np.arange(1, STEPS + 1)
spread({"Loss": {"sixteen pictures": (steps, losses)}}, xlabel="step", ylabel="cross-entropy loss", levels={"ln 10": math.log(10)})

# %%
spread({"Accuracy": {"sixteen pictures": (steps, accuracies)}}, xlabel="step", ylabel="accuracy (%)", levels={"guessing": 10})

# %% [markdown]
# 这些数是在训练*过程中*测得的，那时批归一化用的是这一批自己的均值和方差。评估时，它用的则是滑动统计量（笔记本 3）。
# 这些网络还认得它们的十六张图片吗？对其他图片又知道些什么？

# %%
others, other_labels = normaliser(pictures.test_images[:500]), pictures.test_labels[:500]
for seed, net in enumerate(nets):
    answers = net.forward(x, training=False).argmax(axis=1)
    elsewhere = (net.forward(others, training=False).argmax(axis=1) == other_labels).mean()
    print(f"seed {seed}: {(answers == labels).sum()} of the 16 right in evaluation, {elsewhere:.1%} of 500 test pictures")

# %% [markdown]
# 背下来了，却几乎什么都没懂：瞎猜也有 10 %。这项检查的用处就是这样，仅此而已。
#
# ### 练习 5.4：装得下多深的网络？
#
# 写一个函数，返回参数不超过 `budget` 个的最深的 CIFAR 网络的深度（方案 A，第一个阶段 16 个卷积核）。`parameter_count(depth)` 用来
# 计数；深度可取 8、14、20、……、1202。可以认为 8 层总是装得下的。


# %%
def deepest(budget):
    ...  # your code


tutor.check("5.4", deepest)

# %% [markdown]
# ## 小结
#
# - ResNet 由起始层、若干由块组成的阶段、池化和一个线性层构成。我们用库中的零件搭成的网络，与 `resnet_cifar(20)` 的结果逐位相同。
# - 每个阶段的高和宽是前一个阶段的一半，通道数是两倍：参数是四倍，计算量相同。
# - 方案 A 不花参数，方案 B 在全宽时要花 2,752 个参数。深度只由一个数决定：$6n + 2$。
# - 刚初始化的网络，损失从 2.5 左右开始，而不是 $\ln 10$：随机的分类头（head）毫无理由地偏爱某些类别。分类头置零，
#   就从 $\ln 10$ 开始。
# - 在长时间的训练之前：看一看最初的损失，并让网络把十六张图片背下来。
#
# **代码在哪里**
#
# | 内容 | 文件 |
# |---|---|
# | 块和捷径 | `resnet_np/layers/block.py` |
# | CIFAR 网络 | `resnet_np/models/resnet_cifar.py` |
# | ImageNet 网络 | `resnet_np/models/resnet_imagenet.py` |
# | 计数 | `resnet_np/models/summary.py`；命令行：`resnet-np summary resnet20` |
# | 训练一步 | `resnet_np/training/step.py` |
#
# **下一步**：[6. 训练](../06_train.ipynb)（英文）
