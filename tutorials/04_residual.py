# %% [markdown]
# # 4. The residual connection
#
# **What you will learn**
#
# - What a residual block computes, and its backward pass: one line, with every number of a tiny block.
# - How large the gradients of the layers are in plain and in residual nets, at several depths.
# - Degradation: a deeper plain net learns its *training* pictures worse. A residual net does not.
# - What the shortcut is not: it is no subtraction, and it is not the cure of vanishing gradients.
#
# **You need**: notebooks 2 and 3.
#
# **Time**: 45 minutes.

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
# ## One addition
#
# A plain net puts layers one behind the other. A residual net (He et al. 2015) groups them in blocks of two convolutions, and
# leads the input of each block around them. At the end of the block it is added:
#
# $$ out = relu(main(x) + x) $$
#
# `main` is called the branch, the way around it the shortcut. This is the whole code of a block, forward and backward:

# %%
print(inspect.getsource(ResidualBlock.forward))
print(inspect.getsource(ResidualBlock.backward))

# %% [markdown]
# We look at the smallest block there is, one channel, and give it one picture of 2x2 pixels. `BasicBlock` builds the branch:
# convolution, batch norm, ReLU, convolution, batch norm. First forward.

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
# ## Where a gradient forks
#
# Backward, the same way in the other direction.
#
# 1. The ReLU lets `dout` through where `out` is positive.
# 2. The addition has the derivative 1 with respect to each of its two inputs. It hands the *same* gradient to both: `dmain =
#    dshortcut = dsum`.
# 3. The branch turns its copy into a gradient of $x$, by the backward passes of five layers. The shortcut returns its copy as it
#    is.
# 4. $x$ went both ways, so by the chain rule it collects both gradients. They are added.

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
# Finite differences agree, for $x$ and for every weight of the block (notebook 2):

# %%
rng = np.random.default_rng(0)
larger = BasicBlock(2, 2, stride=1, shortcut="A", zero_pad="both", rng=rng).astype(np.float64)
reports = check_layer(larger, rng.standard_normal((2, 2, 4, 4)), rng=rng)
require(reports)
for report in reports:
    print(report.describe(1e-6))

# %% [markdown]
# ### Exercise 4.1
#
# Write the forward pass of a block with an identity shortcut. `main` is a function: it returns what the branch makes of `x`.

# %%
def block_forward(x, main):
    ...  # your code


tutor.check("4.1", block_forward)

# %% [markdown]
# ### Exercise 4.2
#
# Write its backward pass. `out` is what the forward pass returned. `main_backward` is a function: it takes the gradient of the
# branch's output, and returns the gradient that comes back through the branch to `x`.

# %%
def block_backward(dout, out, main_backward):
    ...  # your code


tutor.check("4.2", block_backward)

# %% [markdown]
# ## Where shapes change
#
# Two arrays can be added only if their shapes agree. Where a stage begins, the branch halves the height and the width and doubles
# the channels. The paper's CIFAR nets then use *option A*: the shortcut takes every second pixel and adds channels of zeros. It
# has no parameters. *Option B* is a 1x1 convolution with stride 2, and batch norm.

# %%
picture = np.arange(1.0, 17).reshape(1, 1, 4, 4)
padded, _ = F.shortcut_forward(picture, channels=2, stride=2, zero_pad="end")
print("x, one channel\n", picture[0, 0], "\nthe shortcut, two channels\n", padded[0], sep="")

# %% [markdown]
# ### Exercise 4.3
#
# Write option A with stride 2: from (N, C, H, W) to (N, channels, OH, OW). Half of the new channels go before those of `x`, half
# after them.

# %%
def option_a(x, channels):
    ...  # your code


tutor.check("4.3", option_a)

# %% [markdown]
# ## What the shortcut is not: a subtraction
#
# "The block learns the residual $H(x) - x$." From this sentence many write-ups conclude that the shortcut subtracts. It does not;
# there is no minus in the code above. The sentence is about what is left to learn. If the block as a whole should compute $H(x)$,
# and $x$ is added at the end anyway, then the branch must supply the difference, $main(x) = H(x) - x$. Nobody computes that
# difference. Training finds it.
#
# Why this helps: to do nothing is easy. If the best thing a block can do is to pass on $x$, the branch must return 0. Its last
# batch norm does that with `gamma` = 0. A plain block would have to *build* the identity out of two convolutions and a ReLU. We
# turn `gamma` down and compare the outputs with $x$ (not negative, as behind a ReLU).

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
# As the branch gets weaker, the residual block becomes the identity. The plain block does not come near it; with `gamma` = 0 it
# loses the picture.
#
# ## Gradients through many blocks
#
# In a chain of blocks the chain rule multiplies derivatives. If each block has the derivative $a$, a plain chain has the
# derivative $a^L$. With the shortcut each block has $1 + a$.
#
# ### Exercise 4.4
#
# Return both derivatives, `(plain, residual)`, for a chain of `blocks` blocks of the form $f(x) = a x$.

# %%
def gains(a, blocks):
    ...  # your code


tutor.check("4.4", gains)

# %% [markdown]
# This sum is often the end of the story: "0.1 to the power of 27 is nothing, 1.1 to the power of 27 is 13, so the shortcut cures
# vanishing gradients". But real nets have batch norm. Let us measure instead. For every convolution we take the norm of its
# weights' gradient, in fresh nets, before any training: half the paper's width, 16x16 pictures, one batch of 32, three seeds.

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
# Look at the plain nets, on the left. Nothing vanishes. The gradients of the first layers, furthest from the loss, are the
# *largest*, and the deeper the net, the larger they are. In the plain net of 44 layers they are hundreds of times as large as
# those of the last layer. In the residual net they grow too, far less: here less than ten times.
#
# ## What the shortcut is not: the cure of vanishing gradients
#
# Where do vanishing gradients come from, then? From nets without batch norm whose weights are too small. We build stacks of 44
# plain convolutions, 8 filters each, with `Conv2d` and `ReLU`, and no shortcut anywhere.

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
# - *Small weights*: weights of half the variance that He et al. chose for ReLU nets. Every layer halves the mean square of what
#   passes through it, forward and backward. After 44 layers the gradients are a few billionths: vanished. Such a net cannot
#   learn.
# - *He's weights*: the right variance keeps the signal roughly, but not exactly: seeds differ widely.
# - *Batch norm, small weights*: the scale of the weights does not matter any more, as each layer is scaled again. Nothing
#   vanishes. As in the left figure above, the gradients even grow toward the picture.
#
# So batch norm (2015, some months before ResNets) had ended vanishing gradients already, without any shortcut. The paper says so
# itself. What it found, with batch norm everywhere, is another problem.
#
# ## Degradation
#
# Take a net and make it deeper. It can do at least as much as before: the added layers could be the identity. So it should learn
# its training pictures at least as well. For plain nets the opposite happens. We try it: nets of 8 and of 26 layers, with and
# without shortcuts, 1280 pictures, five times through, three seeds.

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
# Without shortcuts 26 layers are no better than 8: the bands overlap. With shortcuts the 26 layers pay: in all three seeds they
# are ahead of every net of 8 layers.
#
# Five epochs are not much. `recorded/degradation.jsonl` holds longer runs: 8, 20 and 44 layers, 4000 pictures of Shapes-10, six
# epochs of `resnet-np train` with half the width and 16x16 pictures, each with three seeds. You can record all of them again with
# `python record.py degradation`.

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
# Without shortcuts 20 layers recognise no more of the pictures that they have learned from than 8 layers do: about as many with
# two seeds, far fewer with one. 44 layers are far behind with every seed, at 11 to 51 %; one of the three has not left guessing.
# With shortcuts 20 layers are ahead of 8 with every seed, and 44 layers learn about as much as 20: what was a disaster is now
# merely no gain.
#
# Three things that this is not:
#
# - It is not overfitting. An overfitted net is good on its training pictures and bad on others; these are bad on their training
#   pictures.
# - It is not a lack of ability: a plain net of 20 layers can do what one of 8 does, with layers that copy. Training does not find
#   it.
# - It is not vanishing gradients. We measured them: in fresh nets they do not vanish. But in the plain net of 44 layers they
#   differ by a factor of hundreds from layer to layer, and one learning rate must serve all of them. That this is *the* reason,
#   our figures do not show.
#
# Six epochs are a short training. The paper trains for 64,000 steps and finds the same order on CIFAR-10 (its figure 6): plain
# nets of 20, 32, 44 and 56 layers get worse with depth, residual nets get better.
#
# ## Summary
#
# - A block computes `relu(main(x) + shortcut(x))`. Backward, the addition hands the same gradient to both branches, and at $x$
#   the two gradients add up.
# - The shortcut adds. The branch learns the difference; nobody subtracts.
# - With a branch of 0 the residual block is the identity. A plain block with the same weights is not.
# - With batch norm gradients do not vanish in plain nets, as the norms show. In deep ones they are very uneven; with shortcuts
#   less so.
# - Deep plain nets learn even their training pictures worse than shallow ones: degradation. Shortcuts mend that.
#
# ## Where the code lives
#
# - `resnet_np/layers/block.py`: `ResidualBlock`, `BasicBlock`, `plain_block`
# - `resnet_np/functional/add.py`, `shortcut.py`: the addition, and option A
# - `resnet_np/models/resnet_cifar.py`: the nets, plain and residual
#
# ## Next
#
# Notebook 5 builds ResNet-20 out of these blocks.
