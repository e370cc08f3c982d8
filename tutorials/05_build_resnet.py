# %% [markdown]
# # 5. Build ResNet-20
#
# **What you will learn**
#
# - How a ResNet is put together: stem, three stages of residual blocks, pooling, one linear layer.
# - What happens to the shape of a picture on its way, and where parameters and work lie.
# - What options A and B are: two shortcuts for the places where shapes change.
# - How to change the depth.
# - Two checks that cost seconds and find most mistakes: the loss before the first step, and sixteen pictures learned by heart.
#
# **You need**: notebooks 1 to 4, or to know what a convolution, batch norm and a residual block are.
#
# **Time**: 40 minutes.

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
# ## Sixteen pictures
#
# We follow sixteen pictures through the whole notebook. The normaliser subtracts the mean of each colour channel and divides by
# its standard deviation, as in notebook 0.

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
normaliser = Normaliser.measured(pictures.train_images)
x, labels = normaliser(pictures.train_images[:16]), pictures.train_labels[:16]
print("x     ", x.shape, x.dtype)
print("labels", labels)
gallery(pictures.train_images[:16], [pictures.classes[label] for label in labels], columns=8)

# %% [markdown]
# ## The stem
#
# Letters: `N` picture, `C` channel, `F` filter, `H W` pixels.
#
# A picture has `C = 3` channels. The stem turns them into `F = 16`: one convolution with 3x3 filters, batch norm, ReLU. `pad=1`
# keeps the size: 32 pixels in, 32 out.
#
# Every random number comes from `rng`. The same generator gives the same weights each time.

# %%
rng = generator(0, 0, "init")  # seed 0, step 0: the initial weights
stem = Stem(conv1=Conv2d(3, 16, 3, pad=1, rng=rng), bn1=BatchNorm2d(16), relu=ReLU())
out = stem.forward(x, training=True, keep_cache=False)
print("into the stem", x.shape, "   out of it", out.shape)

# %% [markdown]
# Its parameters: a convolution without bias has $F \cdot C \cdot KH \cdot KW$ weights, batch norm two numbers a channel, $\gamma$
# and $\beta$ (called `weight` and `bias`, as in PyTorch).

# %%
for name, parameter in stem.named_parameters().items():
    print(f"{name:12} {parameter.data.shape!s:15} {parameter.data.size:4}")
print("16 * 3 * 3 * 3 + 2 * 16 =", 16 * 3 * 3 * 3 + 2 * 16)

# %% [markdown]
# ## One residual block
#
# Here is the block of notebook 4, as the library has it. Its forward pass is three lines: a branch, a shortcut, and the ReLU of
# their **sum**.

# %%
print(inspect.getsource(ResidualBlock.forward))

# %% [markdown]
# The branch of a `BasicBlock` is two 3x3 convolutions, each with batch norm. Where the shapes agree the shortcut is `x` itself.

# %%
block = BasicBlock(16, 16, stride=1, shortcut="A", zero_pad="both", rng=np.random.default_rng(0))
for name, layer in block.main.children.items():
    print(f"{name:6} {type(layer).__name__}")
print("around them:", type(block.shortcut).__name__)
print("shape", out.shape, "->", block.forward(out, training=True, keep_cache=False).shape)

# %% [markdown]
# The first block of a new stage has `stride=2`. It halves `H` and `W` and doubles the channels, so `x` no longer fits: the
# shortcut must change shape too. More on that below.

# %%
block = BasicBlock(16, 32, stride=2, shortcut="A", zero_pad="both", rng=np.random.default_rng(0))
print("around them:", type(block.shortcut).__name__)
print("shape", out.shape, "->", block.forward(out, training=True, keep_cache=False).shape)

# %% [markdown]
# ### Exercise 5.1: the parameters of a block
#
# Write a function of `C` (channels in) and `F` (filters): how many parameters has a `BasicBlock` with an option-A shortcut? Count
# the two convolutions and the two batch norms.


# %%
def block_parameters(C, F):
    ...  # your code


tutor.check("5.1", block_parameters)

# %% [markdown]
# ## A stage, and the whole net
#
# A stage is `n` blocks one behind the other. Three stages with 16, 32 and 64 filters, then the mean of each map, then one linear
# layer to ten logits: that is the net. ResNet-20 has `n = 3`.


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
# Read the shapes from top to bottom: the pictures get smaller (32, 16, 8 pixels), the channels more (16, 32, 64). The pooling
# throws the last pixels away: what is left of a picture is 64 numbers, from which the linear layer makes ten logits.
#
# Count the layers with weights: 1 in the stem, $3 \cdot n \cdot 2$ in the stages, 1 at the end. So a CIFAR ResNet has $6n + 2$
# layers: 20 for $n = 3$.
#
# ### Is it the library's?
#
# `resnet_cifar(20)` builds the same net in the same order. With the same seed, both give the same bits. (`fused=False` computes
# layer by layer, as our net does. The default joins convolution, batch norm and ReLU: faster, and other last bits.)

# %%
library = resnet_cifar(20, shortcut="A", fused=False, seed=0)
ours, theirs = net.forward(x, training=True, keep_cache=False), library.forward(x, training=True, keep_cache=False)
print("logits of the first picture, ours   ", np.round(ours[0], 3))
print("logits of the first picture, library", np.round(theirs[0], 3))
print("all sixteen pictures, the same bits?", np.array_equal(ours, theirs))

# %% [markdown]
# ## Where parameters and work lie
#
# `summarise` sends one picture through a net and writes down what every layer did. A *multiply-add* (MAC) is one product and one
# sum. A convolution needs $F \cdot C \cdot KH \cdot KW$ of them for each of the $OH \cdot OW$ pixels that come out.

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
# Twice as many channels in and out make four times as many weights. But half the height and half the width leave a quarter of the
# pixels. So each stage has about **four times the parameters** of the one before it, and about **the same work**.
#
# ## Against the paper
#
# He et al. 2015, Table 6, gives the parameters in millions. Ours must round to theirs. `parameter_count` only counts and builds
# nothing, so even 1,202 layers cost nothing.

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
# ## Options A and B
#
# Where a stage begins, the branch returns twice the channels and a quarter of the pixels. What is added to it must have that shape.
#
# **Option A** (the paper's choice on CIFAR): take every second pixel, and add channels of zeros. No parameters. On two channels
# of 4x4:

# %%
small = np.arange(1, 33, dtype=np.float32).reshape(1, 2, 4, 4)
print("x, channel 0\n", small[0, 0].astype(int), "\nx, channel 1\n", small[0, 1].astype(int))
for side in ("both", "end"):
    padded, _ = F.shortcut_forward(small, channels=4, stride=2, zero_pad=side)
    print(f'\nzero_pad="{side}":', padded.shape)
    print(*(str(channel.astype(int)).replace("\n", "") for channel in padded[0]), sep="\n")

# %% [markdown]
# The paper does not say where the zero channels go. Well-known public weights have half of them before and half after (`"both"`),
# others all of them after (`"end"`). A net that was trained with one is wrong with the other, so our checkpoints record which.
#
# **Option B**: a 1x1 convolution with stride 2, and batch norm. It is learned, so it costs parameters:

# %%
block = BasicBlock(16, 32, stride=2, shortcut="B", zero_pad="both", rng=np.random.default_rng(0))
for name, parameter in block.shortcut.named_parameters().items():
    print(f"downsample.{name:10} {parameter.data.shape!s:15} {parameter.data.size:5}")
print("ResNet-20, option B - option A:", parameter_count(20, "B") - parameter_count(20, "A"))

# %% [markdown]
# ### Exercise 5.2: the price of option B
#
# Write a function that returns how many parameters option B adds to a CIFAR net whose first stage has `width` filters (so 2
# `width` and 4 `width` in the others). Only two blocks of the whole net change shape.


# %%
def price_of_b(width):
    ...  # your code


tutor.check("5.2", price_of_b)

# %% [markdown]
# ## How do I change the depth?
#
# With one number. Only $6n + 2$ exists; the error says what is nearest.

# %%
for depth in (8, 20, 56):
    deep = resnet_cifar(depth, width=8)
    print(f"{depth:3} layers: {[len(deep.trunk.children[f'layer{i}'].children) for i in (1, 2, 3)]} blocks")
try:
    resnet_cifar(21)
except InputError as error:
    print(error)

# %% [markdown]
# On the command line it is `resnet-np train --model resnet32`. What does depth cost? Here is the time of one training step on our
# sixteen pictures, at half width (`width=8`): the median of seven steps.

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
# Parameters, work and time all grow with the number of blocks. What depth *brings* is another question: notebook 11 trains nets
# of 8 to 56 layers and looks.
#
# ## The ImageNet nets
#
# ResNet-18, 34, 50, 101 and 152 are built of the same parts: four stages, a stem for large pictures (7x7 with stride 2, then max
# pooling), and from 50 layers on a *bottleneck* block: 1x1, 3x3 and 1x1 convolutions, the last with four times the filters. Our
# counts are those of torchvision's weight files.

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
# ## The loss before the first step
#
# Before you train a new net, look at its loss. A net that knows nothing should give each of `K = 10` classes the probability
# 1/10. The cross-entropy of that is $-\ln \frac{1}{10} = \ln 10 \approx 2.303$.

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
# A fresh ResNet-20 starts *above* $\ln 10$, near 2.5 or 2.6. Why? Its logits are not zero. The last layer has random weights, so
# the net prefers some classes before it has seen anything. And it prefers the same ones for every picture:

# %%
print("seed 0, logits of three pictures:")
print(np.round(everything[0][:3], 2))
print("how much the logits of a picture differ, class from class:", round(float(everything[0].std(axis=1).mean()), 2))
print("how much the logits of a class differ, picture from picture:", round(float(everything[0].std(axis=0).mean()), 2))

# %% [markdown]
# A preference that has nothing to do with the label is confidence without reason, and cross-entropy charges for it. For logits
# that vary around their mean with the variance $\sigma^2$, and do not know the label,
#
# $$\text{loss} \approx \ln K + \frac{\sigma^2}{2}$$
#
# (the mean of $\ln \sum_k e^{z_k}$ to second order in $z$). Let us hold that against the ten nets, and against nets whose last
# layer was set to zero:

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
# The points lie near the line. So 2.5 is no mistake: it is what random weights of this size give. A loss of 7, or of 0.1, before
# the first step *is* a mistake: unnormalised pictures, a wrong scale of the weights, or labels in the input.
#
# ### Exercise 5.3: start at ln 10
#
# Write a function that changes a net in place so that it starts at exactly $\ln 10$, whatever the picture. Leave everything
# before the last layer as it is. The last layer is `net.trunk.children["fc"]`; it has a `weight` and a `bias`. Return the net.


# %%
def start_at_ln_10(net):
    ...  # your code


tutor.check("5.3", start_at_ln_10)

# %% [markdown]
# ## Sixteen pictures by heart
#
# The second check: a net with 68,000 parameters must be able to learn sixteen pictures by heart. If it cannot, something is wrong
# in the forward pass, the backward pass or the step. This costs seconds, and no long run should start before it.
#
# ResNet-20 of half width, 50 steps, always the same sixteen pictures. Three seeds.

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
# These numbers were measured *while* training, where batch norm uses the batch's own mean and variance. In evaluation it uses the
# running ones (notebook 3). Do the nets still know their sixteen pictures, and what do they know of others?

# %%
others, other_labels = normaliser(pictures.test_images[:500]), pictures.test_labels[:500]
for seed, net in enumerate(nets):
    answers = net.forward(x, training=False).argmax(axis=1)
    elsewhere = (net.forward(others, training=False).argmax(axis=1) == other_labels).mean()
    print(f"seed {seed}: {(answers == labels).sum()} of the 16 right in evaluation, {elsewhere:.1%} of 500 test pictures")

# %% [markdown]
# Learned by heart, and nearly nothing understood: guessing would give 10 %. That is what this check is for, and no more.
#
# ### Exercise 5.4: which depth fits?
#
# Write a function that returns the deepest CIFAR net (option A, 16 filters in the first stage) with at most `budget` parameters.
# `parameter_count(depth)` counts; depths are 8, 14, 20 ... 1202. You may take for granted that 8 layers fit.


# %%
def deepest(budget):
    ...  # your code


tutor.check("5.4", deepest)

# %% [markdown]
# ## Summary
#
# - A ResNet is a stem, stages of blocks, pooling, and one linear layer. Our net of library parts gave the same bits as
#   `resnet_cifar(20)`.
# - Each stage has a quarter of the pixels and twice the channels: four times the parameters, the same work.
# - Option A costs nothing, option B 2,752 parameters at full width. Depth is one number, $6n + 2$.
# - A fresh net starts near 2.5, not at $\ln 10$: its random head prefers classes without a reason. A zeroed head starts at $\ln
#   10$.
# - Before a long run: look at the first loss, and let the net learn sixteen pictures by heart.
#
# **Where the code lives**
#
# | what | where |
# |---|---|
# | blocks and shortcuts | `resnet_np/layers/block.py` |
# | the CIFAR nets | `resnet_np/models/resnet_cifar.py` |
# | the ImageNet nets | `resnet_np/models/resnet_imagenet.py` |
# | counting | `resnet_np/models/summary.py`; on the command line `resnet-np summary resnet20` |
# | one step | `resnet_np/training/step.py` |
#
# **Next**: [6. Train it](06_train.ipynb)
