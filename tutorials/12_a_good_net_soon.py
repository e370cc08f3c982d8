# %% [markdown]
# # 12. A good net soon
#
# **What you will learn**
#
# - Where the seconds of a training go, and three ways to need fewer of them.
# - The parts of a fast recipe, one by one: whitening, convolutions that start as the identity, Muon, small pictures first,
#   mirroring by turns, six views.
# - How to find out which trick pays: leave one out, with several seeds, in pairs.
# - What accuracy how many minutes buy, and how `resnet-np train --minutes` uses that.
#
# **You need**: notebook 6 (training) and notebook 11 (depth and width); a little linear algebra: eigenvectors, and the singular
# value decomposition.
#
# **Time**: 60 minutes.

# %%
# %matplotlib inline
import dataclasses
import re
import textwrap
import time
from pathlib import Path

import numba
import numpy as np

import data_tools
from resnet_np import backend, tutor
from resnet_np import functional as F
from resnet_np.bench.task import random_batch
from resnet_np.data import Normaliser, resize
from resnet_np.data.augment import alternating_mirrors
from resnet_np.layers import Conv2d
from resnet_np.layers.whitened import whitening_filters
from resnet_np.models import resnet_fast
from resnet_np.models.summary import summarise
from resnet_np.optim import SGD, muon
from resnet_np.training import RunFolder, plan, preset
from resnet_np.training.measured import MEASURED
from resnet_np.training.run import Run
from resnet_np.training.step import training_step
from resnet_np.training.views import six
from resnet_np.viz.dots import dots
from resnet_np.viz.filters import filters
from resnet_np.viz.gallery import gallery
from resnet_np.viz.matrices import matrices
from resnet_np.viz.spread import spread
from resnet_np.workspace import Workspace

DATA = "shapes10"  # "cifar10" where you have it

pictures = data_tools.find(DATA, say=print, progress=False)

# %% [markdown]
# ## The budget
#
# Notebook 11 asked which net to train. Here the time is given, and the question is what to do with it. A training takes
#
# $$ \text{seconds} = \text{steps} \times \text{seconds a step} $$
#
# So there are three ways to a good net soon:
#
# | way | what the recipe of this notebook has for it |
# |---|---|
# | a cheaper step | a shallow net that pools early, small pictures at first |
# | fewer steps to the same accuracy | whitening, convolutions that start as the identity, Muon, mirroring by turns |
# | a better answer from the same weights | six views of a picture, and the mean of their answers |
#
# The parts are not ours. Nearly all of them come from airbench (Jordan 2024, arXiv 2404.00498), and some of these from Page 2019
# ("How to train your ResNet"). Small pictures first are of Howard 2018. Our nets keep the shortcut of a ResNet in every stage,
# and ReLU.
#
# In the library the recipe is called preset `fast`. This is what it changes of the preset that you know from notebook 6:

# %%
quick, fast = preset("quick"), preset("fast")
print(f"{'option':16} {'quick':>10} {'fast':>12}")
for field in dataclasses.fields(fast):
    before, after = getattr(quick, field.name), getattr(fast, field.name)
    if before != after:
        print(f"{field.name:16} {before!s:>10} {after!s:>12}")

# %% [markdown]
# Its net is `fast8`, with eight layers: a stem, three stages of two convolutions each, and the linear layer. The first
# convolution of a stage is followed by a max pool, so that all that comes behind it works on a quarter of the pixels. The second
# one has a shortcut around it.

# %%
WIDTH = 32  # filters of the first stage; the other two have four times as many
net = resnet_fast(8, width=WIDTH)
with backend.using("numpy"):  # one picture: not worth compiling for
    summary = summarise(net, (1, 3, 32, 32))
print(f"{'layer':18} {'kind':14} {'output':>14} {'parameters':>11} {'million multiply-adds':>22}")
for row in summary.rows:
    if row.macs or "Pool" in row.kind:
        print(f"{row.name:18} {row.kind:14} {row.shape!s:>14} {row.parameters:11,} {row.macs / 1e6:22.2f}")
print(f"{'all of it':48} {summary.parameters:11,} {summary.macs / 1e6:22.2f}")

# %% [markdown]
# ## Whitening at the entrance
#
# Neighbouring pixels are alike, and so are the three colours of a pixel. Cut all windows of 2x2 pixels out of some pictures: each
# is a list of $3 \cdot 2 \cdot 2 = 12$ numbers. Their covariance says how alike these numbers are.

# %%
normaliser = Normaliser.measured(pictures.train_images)
x = normaliser(pictures.train_images[:1000])  # (N, 3, H, W), each channel with mean 0 and variance 1


def patches(maps):
    """(N, C, H, W) -> all windows of 2x2 pixels, a row each: (number, 4 C)."""
    windows = np.lib.stride_tricks.sliding_window_view(maps, (2, 2), axis=(2, 3))  # (N, C, OH, OW, 2, 2)
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 4 * maps.shape[1]).astype(np.float64)


seen = patches(x)
covariance = seen.T @ seen / len(seen)  # the mean is 0
variances = np.linalg.eigvalsh(covariance)[::-1]
print("variances along the eigenvectors:", "  ".join(f"{value:.4f}" for value in variances))
print(f"the largest is {variances[0] / variances[-1]:,.0f} times the smallest; "
      f"the first three are {variances[:3].sum() / variances.sum():.0%} of all")

# %% [markdown]
# Nearly all of the variance lies in three directions: how bright the patch is, and what colour it has. An edge, which says more
# about a shape, is a small difference between large numbers. For gradient descent that is bad. Take one linear layer with a
# squared loss: along an eigenvector with variance $v$, what is missing shrinks by the factor $1 - \eta v$ in each step. The
# learning rate $\eta$ must be small enough for the largest $v$. Then the direction of the smallest one takes as many times longer
# as the two variances differ.
#
# The remedy is to **whiten**: turn the patches so that their numbers are uncorrelated, and divide each number by its standard
# deviation.
#
# ### Exercise 12.1
#
# Given are points `(N, K)` with mean 0. Return a matrix `W` `(K, K)` so that the points `points @ W.T` have the identity for
# covariance: variance 1 in each number, and 0 between two of them. (`np.linalg.eigh` returns the eigenvalues and, in columns, the
# eigenvectors.)

# %%
def whitening_matrix(points):
    ...  # your code


tutor.check("12.1", whitening_matrix)

# %% [markdown]
# The rows of such a matrix, taken as filters of 2x2 pixels, make a convolution. `whitening_filters` returns 12 of them, and then
# the same with the opposite sign, because the ReLU behind them lets through only one half of each number. (It adds 0.0005 to each
# variance first. What varies less than that is noise, and noise must not be blown up.)

# %%
white = whitening_filters(x, 2)  # (24, 3, 2, 2)
after, _ = F.conv2d_forward(x, white[:12])
flat = after.transpose(0, 2, 3, 1).reshape(-1, 12).astype(np.float64)
whitened = flat.T @ flat / len(flat)
corners = ("top left", "top right", "low left", "low right")
places = [f"{colour}, {corner}" for colour in ("red", "green", "blue") for corner in corners]
matrices({"2x2 patches of pictures": covariance, "the same, whitened": whitened}, quantity="covariance",
         rows={"2x2 patches of pictures": places, "the same, whitened": [f"filter {i}" for i in range(12)]})

# %%
filters(white[:12], name="whitening, the filter of the largest variance first")

# %% [markdown]
# The first filter sees brightness, the next two see colour; then come edges of brightness and edges of colour, and at last what
# differs from corner to corner. The less of it there is in the pictures, the larger are the weights of its filter.
#
# These filters are computed once, from some training pictures, in a moment. They never learn. So the backward pass ends before
# them: neither their gradient nor that of the pictures is needed.
#
# ## Convolutions that start as the identity
#
# A fresh convolution of notebook 5 has random weights: it mixes all channels, and what the stem has sorted is lost again. Here a
# convolution starts by handing its input on. Its first filters copy one channel each, and only those beyond are random ("Dirac
# initialisation", Zagoruyko and Komodakis 2017).

# %%
rng = np.random.default_rng(0)
maps = np.maximum(0, F.conv2d_forward(x[:4], white)[0])  # (N, 24, 31, 31): what the stem hands on
for name, identity in (("random", False), ("identity", True)):
    conv = Conv2d(24, 32, 3, pad=1, identity=identity, rng=rng)
    out = conv.forward(maps, training=False)
    alike = [np.corrcoef(maps[:, c].ravel(), out[:, c].ravel())[0, 1] for c in range(24)]
    print(f"{name:9} correlation of channel c at the input with channel c at the output: mean {np.mean(np.abs(alike)):.2f}, "
          f"least {np.abs(alike).min():.2f}")

# %% [markdown]
# ### Exercise 12.2
#
# Build the filters `(C, C, k, k)` of a convolution whose output is its input, for an odd `k` and padding `k // 2`.

# %%
def identity_filters(C, k):
    ...  # your code


tutor.check("12.2", identity_filters)

# %% [markdown]
# ## Muon
#
# SGD steps along the gradient. For the filters of one layer that is a matrix, with a row for each filter. Look at a real one: the
# gradient of the last convolution, for 200 pictures, in a fresh net. Its singular value decomposition $G = U S V^T$ says in which
# directions it changes what the layer computes, and by how much in each.

# %%
labels = pictures.train_labels[:200]
net = resnet_fast(8, width=WIDTH)
net.stem.whiten(x)
loss, cache = F.softmax_cross_entropy_forward(net.forward(x[:200], training=True), labels)
net.backward(F.softmax_cross_entropy_backward(cache))
gradient = net.named_parameters()["layer3.1.conv1.weight"].grad  # (F, C, 3, 3)
G = gradient.reshape(len(gradient), -1)
singular = np.linalg.svd(G, compute_uv=False)
print(f"the gradient as a matrix: {G.shape}")
print(f"the largest singular value is {singular[0] / np.median(singular):,.0f} times the median, and "
      f"{singular[0] / singular[-1]:,.0f} times the smallest")
share = np.sum(singular[:5] ** 2) / np.sum(singular**2)
print(f"the first 5 of {len(singular)} have {share:.0%} of the squared length; {5 / len(singular):.0%} if all were alike")

# %% [markdown]
# A step along this gradient goes far in a few directions. In the others it moves little, though they may matter as much: it is
# the same trouble as with the patches. **Muon** (Jordan 2024, "Muon: an optimizer for hidden layers in neural networks") makes
# all singular values about equal before it steps, so that $U S V^T$ becomes about $U V^T$. A decomposition would be slow. But
# there is a way by products of matrices alone, the iteration of Newton and Schulz:
#
# $$ X \leftarrow a X + (b A + c A A)\, X, \qquad A = X X^T, \qquad a = 3.4445,\; b = -4.775,\; c = 2.0315 $$
#
# It begins with $X = G / |G|$, so that no singular value is above 1. Put $X = U S V^T$ in: $A X = U S^3 V^T$, and
# $A A X = U S^5 V^T$. The directions stay, and each singular value goes its own way, to $a s + b s^3 + c s^5$. This polynomial
# makes a small value more than three times as large, and a large one stays between 0.7 and 1.2 or so.

# %%
a, b, c = muon.A, muon.B, muon.C
s = np.geomspace(1e-3, 1, 200)
ways, value = {}, s
for step in range(1, muon.STEPS + 1):
    value = a * value + b * value**3 + c * value**5
    ways[f"after {step} step{'s' * (step > 1)}"] = (s, value)
spread({"Where a singular value goes": ways}, xlabel="singular value at the start (logarithmic)", ylabel="singular value",
       logx=True, levels={"1": 1.0})

# %%
rank = np.arange(1, len(singular) + 1)
names = ("G / |G|", "after 1 step", "after 2 steps", "after 3 steps, as Muon does")
after_steps = {name: (rank, np.linalg.svd(muon.orthogonalised(G, steps=steps), compute_uv=False))
               for steps, name in enumerate(names)}
spread({f"The {len(rank)} singular values of this gradient": after_steps}, xlabel="rank: 1 is the largest",
       ylabel="singular value (logarithmic)", logy=True)

# %% [markdown]
# Muon does three steps. They do not bring every value to 1, and what was almost nothing would stay small (0.001 in the figure
# before). But where a few directions stood out, all of them now count about the same.
#
# What does it cost? The products are of matrices as large as the weights, once a step. A convolution meets its weights once for
# every pixel of every picture. Count both:

# %%
def muon_cost(shape):
    """Multiply-adds of the products for the filters (F, C, KH, KW), a step: two with X, the others with A, which is smaller."""
    small, large = sorted((shape[0], shape[1] * shape[2] * shape[3]))
    return 2 * small**2 * large + (4 * muon.STEPS - 3) * small**3


mine = sum(muon_cost(p.data.shape) for p in net.named_parameters().values() if p.data.ndim == 4 and not p.fixed)
step_macs = 3 * 500 * summary.macs  # forward, and backward to the input and to the weights; 500 pictures
print(f"Muon {mine / 1e9:.2f}, the step itself {step_macs / 1e9:.1f} thousand million multiply-adds: {mine / step_macs:.1%} more")

# %% [markdown]
# In training, what is made of equal singular values is not the gradient itself but SGD's velocity (notebook 6), and before each
# step the filters of a layer are brought back to one length. Biases are no matrices, and the last layer is left out by choice:
# they learn by SGD, beside it.
#
# ### Exercise 12.3
#
# Write one step of the iteration: `X` `(M, K)` and the three coefficients in, the new `X` out.

# %%
def newton_schulz(X, a, b, c):
    ...  # your code


tutor.check("12.3", newton_schulz)

# %% [markdown]
# ## Small pictures first
#
# A picture of 17x17 pixels has little more than a quarter of the pixels of one of 32x32, and you can still see what it shows. A
# convolution does not mind the size of its input, and the net takes the largest pixel of each last map, however many there are.
# So the same weights learn from small pictures first and from large ones later.

# %%
few = pictures.train_images[:8]
both = [np.repeat(np.repeat(resize(few, side), 544 // side, axis=2), 544 // side, axis=3) for side in (32, 17)]  # 544 = 32 * 17
gallery(np.concatenate(both), ["32 pixels"] * 8 + ["17 pixels"] * 8, columns=8)

# %%
def stepper(side):
    """A function that does one training step with 64 pictures of that side, and returns its seconds."""
    net, workspace = resnet_fast(8, width=WIDTH), Workspace()
    optimiser, (x, labels) = SGD(net.named_parameters()), random_batch(64, 10, side)

    def step():
        start = time.perf_counter()
        training_step(net, optimiser, x, labels, lr=0.01, workspace=workspace)
        return time.perf_counter() - start

    return step


SIDES = (32, 24, 17)
steppers = [stepper(side) for side in SIDES]
threads = numba.get_num_threads()
numba.set_num_threads(1)  # threads that wait for each other are disturbed most
rounds = [[step() for step in steppers] for _ in range(5)]  # the first round finds its memory
numba.set_num_threads(threads)
fastest = [min(times[1:]) for times in zip(*rounds, strict=True)]
with backend.using("numpy"):
    macs = [summarise(resnet_fast(8, width=WIDTH), (1, 3, side, side)).macs for side in SIDES]
print("pixels a side  million multiply-adds  of those at 32  ms a step, measured here  of those at 32")
for side, count, seconds in zip(SIDES, macs, fastest, strict=True):
    print(f"{side:13} {count / 1e6:22.2f} {count / macs[0]:15.1%} {1000 * seconds:25.1f} {seconds / fastest[0]:15.1%}")

# %% [markdown]
# The multiply-adds fall about as the number of pixels, and the seconds follow. (The counts are exact. The seconds are measured: a
# neighbour on the machine disturbs them, and small maps suit the kernels less well.) The side of 17 is no accident: behind the
# stem it leaves maps of 16 pixels, which the pools halve to 8, 4 and 2 without a rest.
#
# The last steps must see pictures of full size, since these are what the net is asked about in the end.
#
# ### Exercise 12.4
#
# A share of the steps is done with small pictures, and such a step takes `ratio` of the seconds of one of full size. How many
# times as many steps can be done in the seconds that all steps of full size would take?

# %%
def times_as_many(share, ratio):
    ...  # your code


tutor.check("12.4", times_as_many)

# %% [markdown]
# ## Mirroring by turns
#
# Augmentation mirrors a picture with probability 1/2 in every epoch. With few epochs that is wasteful: by chance, two epochs in a
# row show half of the pictures in the same way. `--flip alternating` draws once, for the first epoch, and mirrors by turns from
# then on (Jordan 2024). Eight pictures in six epochs, `M` where a picture is mirrored:

# %%
N, EPOCHS = 1000, 6
at_random = np.random.default_rng(1).random((EPOCHS, N)) < 0.5
by_turns = np.array([alternating_mirrors(np.random.default_rng(1), N, epoch) for epoch in range(EPOCHS)])
print("epoch   at random   by turns")
for epoch, (random_row, turns_row) in enumerate(zip(at_random, by_turns, strict=True), start=1):
    print(f"{epoch:5}    {''.join('.M'[int(m)] for m in random_row[:8])}    {''.join('.M'[int(m)] for m in turns_row[:8])}")
for name, found in (("at random", at_random), ("by turns", by_turns)):
    print(f"{name:9}: as in the epoch before, of {N:,} pictures: {np.mean(found[1:] == found[:-1]):.0%}")

# %% [markdown]
# It costs nothing, and after two epochs the net has seen both views of every picture.
#
# ## Six views
#
# The net has learned from pictures that were shifted and mirrored, and it should give all of these the same answer. It does not
# quite. So we may ask it several times, and take the mean of its answers: usually the mean is right more often than each. Six
# views are the picture, the picture shifted by one pixel in two ways, and the mirror image of each; the shifts have the weights
# 1/2, 1/4 and 1/4.

# %%
views = list(six(few[2:3]))
gallery(np.concatenate([view for view, _ in views]), [f"{weight:g}" for _, weight in views], columns=6,
        title="Six views, and their weights")

# %% [markdown]
# This is the third way: the training is over, and nothing is learned. It costs six forward passes for each answer. So whoever
# compares two nets must say how many views each was given.
#
# ### Exercise 12.5
#
# Given are the answers of a net, `(6, N, K)`: for each view, in the order of the figure, the logits of `N` pictures for `K`
# classes. Return their weighted mean `(N, K)`.

# %%
def average_of_views(answers):
    ...  # your code


tutor.check("12.5", average_of_views)

# %% [markdown]
# ## What else is in it
#
# | part | why |
# |---|---|
# | batch norm without gamma, biases at 64 times the rate | in a short training a bias at the usual rate does not get far |
# | the largest pixel of each last map, not the mean | a feature says whether something is there, wherever it is |
# | label smoothing of 0.2 | the net is not driven to be sure of every picture (notebook 7) |
# | pictures shifted by two pixels, with reflected edges | less of a picture is lost than with four, and no edge is of one colour |
#
# A list like this one is how such recipes are written about. It does not say which of its lines matter.
#
# ## Which trick pays?
#
# To find out is an experiment, and it has rules.
#
# 1. **Name the budget.** A trick that makes a step dearer must win in the same seconds, not in the same steps. And what helps in
#    two epochs may not help in twenty.
# 2. **Leave one out of the whole.** Tricks overlap: two that do the same thing each look strong when they are added to nothing,
#    and weak beside the other. What counts is what a trick adds to all the rest. (But before you throw out two that look weak,
#    leave out both at once.)
# 3. **Several seeds, in pairs.** A run with another seed ends elsewhere. So compare each seed with the same seed of the whole
#    recipe. What the seed does to both runs (first weights, order of the pictures, shifts) then drops out of the difference, in
#    part at least.
# 4. **Look at the spread.** With three seeds, believe a mean difference that is about 2.5 times as large as its spread (Student's
#    t, 5 percent). Below that nothing was found, which is not the same as "there is no difference"; more seeds find smaller ones.
# 5. **Judge on validation pictures.** Who tries many recipes and keeps the best has chosen what fits these pictures. The test set
#    is read once, at the end, by the recipe that was chosen.
#
# ### Exercise 12.6
#
# Given are the accuracies of the whole recipe, `all_of_it`, and of the recipe without one trick, `without`: one number a seed,
# the seeds in the same order. Return two numbers: the mean of the differences (without minus all), and their spread, which is
# their standard deviation with `n - 1` in place of `n`.

# %%
def paired(all_of_it, without):
    ...  # your code


tutor.check("12.6", paired)

# %% [markdown]
# ### Live: two tricks on Shapes-10
#
# The pictures are scaled down to 16x16 pixels, and a net of width 24 sees 800 of them three times, in batches of 50: 48 steps. The
# learning rate of SGD goes with the size of the batch, that of Muon stays. We leave out small pictures: these are small already.
#
# Two tricks are replaced: the filters of the stem by random ones, and mirroring by turns by mirroring at random. In `CHANGES`
# there are two more to try; each takes as long as the others.

# %%
BATCH = 50
SMALL = {"width": 24, "image_size": 16, "limit_train": 800, "epochs": 3, "batch_size": BATCH,
         "lr": fast.lr * BATCH / fast.batch_size, "start_scale": 1.0, "start_share": 0.0}


def random_stem(net, seed):
    """Before the first step: filters as they were before they were made to whiten. They do not learn either."""
    weight = net.stem.conv1.weight.data
    weight[...] = Conv2d(3, len(weight), 2, rng=np.random.default_rng(seed)).weight.data


CHANGES = {  # name: options of the recipe, and what is done to the net before its first step
    "all": ({}, None),
    "random filters in place of whitening": ({}, random_stem),
    "random mirroring in place of turns": ({"flip": "random"}, None),
    "no label smoothing": ({"label_smoothing": 0.0}, None),
    "biases at the same rate": ({"bias_rate": 1.0}, None),
}
LIVE, SEEDS = list(CHANGES)[:3], (0, 1, 2)


def trained(name, seed):
    """Train -> the accuracies on the validation pictures, in percent, of one view and of six."""
    changes, prepare = CHANGES[name]
    run = Run(preset("fast", **SMALL | changes, seed=seed), pictures, RunFolder(Path("unused")))  # nothing is written
    if prepare:
        prepare(run.net, seed)
    workspace, held_back = Workspace(), run.validation
    for t in range(1, run.total + 1):
        run.step(t, workspace)
    found = run.evaluate(run.net, pictures.train_images[held_back], pictures.train_labels[held_back], views=6)
    return 100 * found.top1, 100 * found.top1_views


live = {name: [trained(name, seed) for seed in SEEDS] for name in LIVE}

# %%
def compare(one, views):
    """Print and return, for each name, the differences to "all", seed by seed. one, views: {name: {seed: percent}}."""
    found = {}
    print(f"{'':48} {'six views':>9} {'one':>6}   one view, a seed each    minus all: mean  spread")
    for name in one:
        seeds = [seed for seed in one[name] if seed in one["all"]]
        differences = np.array([one[name][seed] - one["all"][seed] for seed in seeds])
        each = " ".join(f"{value:6.2f}" for value in one[name].values())
        told = f"{differences.mean():+15.2f}  {differences.std(ddof=1):6.2f}" if name != "all" and len(seeds) > 1 else ""
        means = f"{np.mean([*views[name].values()]):9.2f} {np.mean([*one[name].values()]):6.2f}"
        print(f"{name:48} {means}   {each:22}   {told}".rstrip())
        found[name] = differences
    return dict(sorted(found.items(), key=lambda item: (item[0] != "all", item[1].mean())))


def draw(differences, title):
    """A row a name, a dot a seed, and a line at "all"."""
    figure = dots({textwrap.fill(name, 36): values for name, values in differences.items()}, title=title,
                  quantity='points minus "all", one view')
    figure.axes[0].axvline(0, color="black", linewidth=0.8)
    return figure


print(f"validation accuracy in percent, of {len(pictures.train_images) // 10:,} pictures\n")
one, views = ({name: {seed: row[i] for seed, row in zip(SEEDS, rows, strict=True)} for name, rows in live.items()} for i in (0, 1))
draw(compare(one, views), f"Live: {SMALL['epochs']} epochs of {SMALL['limit_train']} pictures of Shapes-10")

# %% [markdown]
# In the run shown here:
#
# - **Whitening** pays. Without it each seed ends eight points or more below the same seed with it, and the mean of the differences
#   is more than 2.5 times their spread.
# - **Mirroring by turns**: the seeds do not agree on the sign, and the mean is smaller than the spread. So in this budget we
#   cannot tell it from mirroring at random. With seed 0 alone we might have praised it, and with seed 1 alone blamed it. This
#   does not show that it is useless: three epochs are few, and three seeds find only large differences.
# - **Six views** are better than one in the mean of every row. They are not one of the tricks that the dots compare: these show
#   one view, whose differences are the clearer ones, since six views make up for some of what a net has not learned.
#
# ### Recorded: one trick left out, on CIFAR-10
#
# Two epochs of CIFAR-10 take more than a minute, and many recipes with three seeds about an hour.
# `python tutorials/record.py tricks` has done it, with `fast8` of width 32, on a copy of CIFAR-10 that went through JPEG, which
# costs some three points. The row "all" is the whole recipe; each other one replaces or leaves out what its name says. The
# accuracy is that of 5,000 validation pictures. The test set was not read.

# %%
about, records = tutor.recorded("tricks")
print("\n".join(textwrap.wrap(f"{about['what']} {about['machine']}, {about['date']}, seeds {about['seeds']}.", 120)))
one, views, seconds = {}, {}, {}
for record in records:
    name, seed = record["name"], record["seed"]
    one.setdefault(name, {})[seed] = 100 * record["validation_accuracy"]
    views.setdefault(name, {})[seed] = 100 * record["validation_accuracy_views"]
    seconds.setdefault(name, []).append(record["training_seconds"])
print()
differences = compare(one, views)
print("\nseconds of training, the quickest of the seeds (other programs ran beside some; twenty more or less say nothing):")
for name, values in seconds.items():
    print(f"  {name:48} {min(values):6}")

# %%
draw(differences, "Recorded: fast8 of width 32, two epochs of CIFAR-10")

# %% [markdown]
# How to read it:
#
# - A row whose dots all lie on the left of the black line: without this trick each seed was worse. The farther from the line,
#   compared with how far apart its dots are, the surer.
# - A row whose dots lie on both sides: no difference was found. That is not the same as "it does nothing". It may do a little,
#   which three seeds cannot show.
# - A row on the right: the recipe was better without it. Before you throw the trick out, try more seeds. Among ten comparisons
#   one may lie off the line by chance.
# - What takes the place of a trick has settings of its own, and the others were chosen with the trick in place. So a row says
#   what the trick is worth *in this recipe*, not what it is worth.
# - The pictures are the same in all rows. With others, all numbers would move a little together, which the spread does not show.
#
# What was found, with one view:
#
# - **Muon** is worth more than all the rest: 5.7 points. So the recipe that SGD needs, with its lookahead and its other rates, is
#   far behind in so few steps.
# - **Whitening** is worth 1.0 points and **the largest pixel** in place of the mean 0.9: four and six times their spread.
# - Without its **shortcuts** the net loses 0.3 points, 2.4 times the spread: they seem to pay even where a net is this shallow.
# - For no other row the three seeds are enough. Two of these tricks are well known. With SGD, nets that start as the identity
#   need a fifth fewer epochs (Jordan 2024, section 3.3). Beside Muon, in two epochs, they may be worth half a point or nothing.
#   And **small pictures** are as good as full ones for as many seconds, not better; in longer runs they seem to be better, for
#   two fifths of the steps rather than for five eighths (README, "The time at hand"; one seed each).
# - **GELU** in place of ReLU gives the same accuracy, and its step is dearer. So this net has ReLU.

# %% [markdown]
# ### Recorded: one trick after the other
#
# The other way round: begin with the same net, trained by SGD alone from random filters, and add one trick after the other. Each
# row is the row above it and one trick more. All train for about as many seconds, with three seeds each
# (`python tutorials/record.py steps`).

# %%
about, records = tutor.recorded("steps")
print("\n".join(textwrap.wrap(f"{about['what']} {about['machine']}, {about['date']}, seeds {about['seeds']}.", 120)))
ladder = {}
for record in records:
    ladder.setdefault(record["name"], []).append(record)
print(f"\n{'':48} {'six views':>9} {'one':>6}   six views, a seed each   gain over the row above: mean  spread  seconds")
rungs, before = {}, None
for name, runs in ladder.items():
    one, six_views = (100 * np.array([run[key] for run in runs]) for key in ("validation_accuracy", "validation_accuracy_views"))
    each = " ".join(f"{value:6.2f}" for value in six_views)
    gain = "" if before is None else f"{(six_views - before).mean():+34.2f}  {(six_views - before).std(ddof=1):6.2f}"
    spent = min(run["training_seconds"] for run in runs)
    print(f"{name:48} {six_views.mean():9.2f} {one.mean():6.2f}   {each:22} {gain:42}  {spent:7}")
    rungs[textwrap.fill(name, 36)], before = six_views, six_views

# %%
dots(rungs, quantity="validation accuracy, six views (%)", title="Recorded: from SGD alone to the whole recipe")

# %% [markdown]
# A ladder tells another story than what is left out of the whole:
#
# - **The largest pixel** is worth 8.2 points here and 0.9 there; **Muon** 7.0 and 5.7. What a trick gains depends on what is there
#   already: two tricks that help against the same weakness gain less together than the sum of both.
# - **Label smoothing** and **lookahead** gain nothing on their step: their dots overlap with those of the row above. Nor does
#   a gain of half a point with a spread of half a point say anything.
# - The order is ours. In another order the same tricks would get other shares; only the first row and the last do not depend on it.
#
# An honest list of tricks is short. The others stay in the recipe because they cost nothing, and because longer runs may need them.
#
# And the seconds: a trick may make the step dearer, and rows that train for the same number of steps do not show that. What would
# a row with a cheaper step have done with the seconds that are left? Only a comparison at equal seconds answers that, as for the
# size of the pictures.
#
# ## Accuracy against seconds
#
# When the recipe is chosen, one question is left: how large a net, and how long? `python tutorials/record.py race` recorded two
# widths with several numbers of epochs. Of these runs we take those of one machine; five eighths of their steps were with small
# pictures.

# %%
about, records = tutor.recorded("race")
print("\n".join(textwrap.wrap(about["what"], 120)), "\n")
race = {}  # {(net, epochs): records}
for record in records:
    match = re.fullmatch(r"(fast8, (?:width \d+|5/8 small)), (\d+) epochs", record["name"])
    if match and "machine" not in record:  # the others are what the recipe was chosen from, or ran on another machine
        race.setdefault((match[1], int(match[2])), []).append(record)
points = {key: (min(run["training_seconds"] for run in runs),  # other programs ran beside the slower ones
                100 * np.mean([run["validation_accuracy_views"] for run in runs])) for key, runs in race.items()}
print("net               epochs  seconds  images/s  validation accuracy, six views (%)  runs  none is sooner and better")
for (name, epochs), runs in sorted(race.items(), key=lambda item: points[item[0]]):
    spent, accuracy = points[name, epochs]
    beaten = any(other[0] < spent and other[1] > accuracy for other in points.values())
    rate = max(run["images_per_second"] for run in runs)
    print(f"{name:17} {epochs:6} {spent:8.0f} {rate:9.0f} {accuracy:35.2f} {len(runs):5}  {'no' if beaten else 'yes'}")

# %%
lines = {}
for name in sorted({name for name, _ in points}, key=len, reverse=True):
    mine = np.array(sorted(point for key, point in points.items() if key[0] == name))
    lines[f"{name}: {', '.join(str(epochs) for key, epochs in sorted(points) if key == name)} epochs"] = (mine[:, 0], mine[:, 1])
spread({"": lines}, xlabel="seconds of training, on the machine of the recording", ylabel="validation accuracy,\nsix views (%)")

# %% [markdown]
# The rows marked "yes" are the Pareto front of exercise 11.4: no other one is sooner and better. The time decides which of them
# to take: the narrow net while there is little of it, and the wide one from some point on. Each further point of accuracy costs
# more seconds than the one before it.
#
# Between the measured points the library reads off a straight line over the logarithm of the epochs, and beyond the last one it
# promises nothing more. For the machine of the recording, and seconds of training alone:

# %%
speed = {name: max(run["images_per_second"] for key, runs in race.items() if key[0] == name for run in runs)
         for name in {key[0] for key in race}}
print("minutes   " + "".join(f"{recipe.name:>30}" for recipe in MEASURED if recipe.name in speed))
for minutes in (1, 2, 5, 10, 20):
    cells = []
    for recipe in (recipe for recipe in MEASURED if recipe.name in speed):
        epochs = min(60 * minutes * speed[recipe.name] / plan.TRAINING, max(recipe.accuracy))
        expected = plan.expectation(recipe, epochs)
        cells.append(f"{epochs:4.1f} epochs, {f'{expected:.1%}' if expected else 'not measured'}")
    print(f"{minutes:7}   " + "".join(f"{cell:>30}" for cell in cells))

# %% [markdown]
# That is what the command line does, with the speed of *your* machine:
#
# ```
# resnet-np plan                 # measures how fast each net learns here, and prints the table in your minutes
# resnet-np plan --minutes 10    # says also which recipe ten minutes would get
# resnet-np train --minutes 10   # takes it, and ends within that time, validation and test included
# ```
#
# ## Summary
#
# - Seconds are steps times seconds a step. A recipe is faster by cheaper steps, by fewer steps, or by a better answer from the
#   same weights.
# - Whitening and Muon are one idea in two places: where a few directions are much stronger than the rest, make all of them
#   equally strong.
# - A convolution can start as the identity, and a net can start with small pictures, which are learned from three times as fast.
#   Whether such a trick pays depends on what else is in the recipe and on the budget. In two epochs of CIFAR-10 these two did not.
# - Which trick pays is measured: leave one out, several seeds, in pairs, on validation pictures. A difference smaller than its
#   spread is no difference.
# - An accuracy belongs to its budget: seconds, machine, pictures, views.
#
# **Where the code lives**
#
# | what | where |
# |---|---|
# | the net | `resnet_np/models/resnet_fast.py` |
# | whitening, blocks that start as the identity | `resnet_np/layers/whitened.py`, `resnet_np/layers/basic.py` |
# | Muon | `resnet_np/optim/muon.py` |
# | small pictures, mirroring by turns | `resnet_np/data/loader.py`, `resnet_np/data/augment.py` |
# | six views | `resnet_np/training/views.py` |
# | preset `fast` | `resnet_np/training/config.py` |
# | the plan, and what was measured for it | `resnet_np/training/plan.py`, `resnet_np/training/measured.py` |
# | the recorded runs | `tutorials/record.py`, `tutorials/recorded/tricks.jsonl`, `tutorials/recorded/race.jsonl` |
#
# **Next**: you have reached the end. Train a net of your own: `resnet-np train --data MY_PHOTOS`.
