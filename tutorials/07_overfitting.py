# %% [markdown]
# # 7. Against overfitting
#
# **What you will learn**
#
# - What overfitting looks like: in the accuracy, and in the loss.
# - Five remedies, what each one does to a step, and how to switch it on: L2, dropout, augmentation, label smoothing, early
#   stopping.
# - What each one brought on the same 500 pictures, in one figure; which helped, and which did not.
#
# **You need**: notebook 6 (training, curves, validation).
#
# **Time**: 40 minutes.

# %%
# %matplotlib inline
import inspect

import numpy as np

import data_tools
from resnet_np import functional as F
from resnet_np import tutor
from resnet_np.data import crop_flip, resize
from resnet_np.functional.parameter import Parameter
from resnet_np.optim import SGD
from resnet_np.training import preset
from resnet_np.tutor.small_runs import on_training_pictures, small_run
from resnet_np.viz.gallery import gallery
from resnet_np.viz.gaps import gaps
from resnet_np.viz.spread import spread

DATA = "shapes10"  # "cifar10" where you have it
LIVE = ("nothing", "augmentation")  # what is trained here; EVERYTHING for all that was recorded, which takes minutes
LIVE_SEEDS = (0,)  # (0, 1, 2) were recorded

# %% [markdown]
# ## Few pictures, and a net that can learn them by heart
#
# A net *overfits* when it gets better on the pictures that it learns from, and not on others. The fewer pictures, the easier that
# is. So we take few: 500 of Shapes-10, at 16x16 pixels. The net is a ResNet-8 of half width, with 19,218 parameters. It sees
# every picture 30 times.
#
# One run takes a few seconds, but seven recipes with three seeds each take minutes. They were recorded, by a command that you can
# run too:

# %%
about, runs = tutor.recorded("overfitting")
for key in ("command", "what", "machine", "date", "seeds"):
    print(f"{key:8} {about[key]}")
RECIPES = {run["name"]: run["recipe"] for run in runs}
EVERYTHING = tuple(RECIPES)
base = RECIPES["nothing"]
print("\nwhat all have in common:", base)
print("\nwhat each one changes:")
for name, recipe in RECIPES.items():
    print(f"  {name:20}", {key: value for key, value in recipe.items() if base.get(key) != value} or "-")

# %% [markdown]
# `small_run` trains such a recipe. It is the step of notebook 6 in a loop; after every epoch it measures the accuracy on the 500
# training pictures **as they are** (no augmentation, no dropout) and on 1,000 validation pictures. Only so are the two
# comparable.

# %%
print(inspect.getsource(small_run))

# %% [markdown]
# ## Live: with nothing, and with augmentation
#
# The same two recipes, here and now. The recorded numbers stand beside them.

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
live = {}
for name in LIVE:
    for seed in LIVE_SEEDS:
        run, records = small_run(preset("quick", **RECIPES[name], seed=seed), pictures)
        live[name, seed] = records
        then = next((one for one in runs if (one["name"], one["seed"]) == (name, seed)), None)
        print(f"{name}, seed {seed}: training {on_training_pictures(run).top1:.1%}, test {run.test(run.net).top1:.1%}   "
              f"(recorded: {then['train_accuracy']:.1%}, {then['test_accuracy']:.1%})")

# %%
panels = {}
for (name, seed), records in list(live.items())[:2]:
    epochs = [record["epoch"] for record in records]
    panels[f"{name}, seed {seed}, live"] = {
        "training pictures": (epochs, [100 * record["train_accuracy"] for record in records]),
        "validation pictures": (epochs, [100 * record["validation_accuracy"] for record in records])}
spread(panels, xlabel="epoch", ylabel="accuracy (%)", levels={"guessing": 10})

# %% [markdown]
# With nothing, the net soon knows its 500 pictures by heart, and validation stays far below. That is overfitting. With
# augmentation the two lines stay much closer together, and validation ends far higher, although the net does *not* know its
# pictures by heart.
#
# ## What overfitting looks like in the loss
#
# The recorded runs, three seeds: the line is the median, the shade goes from the lowest to the highest.

# %%
def curve(name, key, factor=1.0):
    """(epochs, values (seeds, epochs)) of a recorded recipe."""
    rows = [factor * np.array(run["epochs"][key]) for run in runs if run["name"] == name]
    return np.arange(1, len(rows[0]) + 1), np.array(rows)


spread({name: {"training pictures": curve(name, "train_loss"), "validation pictures": curve(name, "validation_loss")}
        for name in ("nothing", "augmentation")}, xlabel="epoch", ylabel="loss", levels={"ln 10": np.log(10)})

# %%
_, losses = curve("nothing", "validation_loss")
for seed, row in enumerate(losses):
    print(f"nothing, seed {seed}: lowest validation loss {row.min():.2f}, in epoch {row.argmin() + 1}; at the end {row[-1]:.2f}")

# %% [markdown]
# With nothing, the training loss goes to zero, and the validation loss ends **higher** than it once was, in all three seeds; in
# two of them even above $\ln 10$, which is what a net gets that always says "one in ten". The net is not only wrong; it is
# *sure*, and wrong.
#
# ## Remedy 1: L2, or weight decay
#
# L2 adds `weight_decay` times the weight to its gradient. Without any other gradient each step makes the weight a little smaller:

# %%
weight = Parameter(np.array([1.0, -2.0]), decay=True)
optimiser = SGD({"weight": weight}, momentum=0.0, weight_decay=0.5)
for step in range(1, 4):
    optimiser.step(lr=0.1)  # the gradient itself is zero
    print(f"step {step}:", weight.data)

# %% [markdown]
# A weight that does not earn its keep fades away. Switch: `--weight-decay 5e-3` (on by default with 5e-4).
#
# ### Exercise 7.1: how fast does a weight fade?
#
# Write a function that returns the weight `w` after `steps` steps with weight decay, without momentum, when its own gradient is
# zero.


# %%
def faded(w, weight_decay, lr, steps):
    ...  # your code


tutor.check("7.1", faded)

# %% [markdown]
# ## Remedy 2: dropout
#
# In training, some of the 32 pooled features are set to 0, others in every step. Those that stay are divided by the share that
# stays, so that the mean remains. In evaluation nothing is dropped.

# %%
features = np.ones((3, 8))
out, cache = F.dropout_forward(features, rate=0.2, rng=np.random.default_rng(0))
print(out)
print("mean of many:", F.dropout_forward(np.ones(100_000), rate=0.2, rng=np.random.default_rng(1))[0].mean().round(3))

# %% [markdown]
# The head cannot rely on one feature, because it may be missing. Switch: `--dropout 0.2`.
#
# ## Remedy 3: augmentation
#
# The net hardly ever sees the same picture twice: it is shifted by up to an eighth of its side, and mirrored half the time. That
# is free knowledge: *a shifted star is a star*. (It must be true. Mirrored digits, for example, are no digits.)

# %%
picture = resize(pictures.train_images[:1], 16)
views = crop_flip(np.repeat(picture, 7, axis=0), np.random.default_rng(0), pad=2)
gallery(np.concatenate([picture, views]), ["as it is", *(f"view {i}" for i in range(1, 8))], columns=8)

# %% [markdown]
# Switch: `--augment` (on by default). The black edge is where the shifted picture ends; in training it has the mean colour.
#
# ### Exercise 7.2: mirror some
#
# Write a function that gets images `(N, C, H, W)` and `which`, `N` truth values, and returns an array in which those images are
# mirrored left to right, and the others are as they were. Do not write into what you get.


# %%
def mirrored(images, which):
    ...  # your code


tutor.check("7.2", mirrored)

# %% [markdown]
# ## Remedy 4: label smoothing
#
# The target is no longer "1 for the label, 0 for the rest". A share of it is spread evenly over all classes:

# %%
logits, labels = np.zeros((2, 5)), np.array([0, 3])
for share in (0.0, 0.1):
    _, cache = F.softmax_cross_entropy_forward(logits, labels, smoothing=share)
    print(f"smoothing {share}:")
    print(cache.targets)

# %% [markdown]
# To reach a target of 0.92 a logit need not grow without end. Switch: `--label-smoothing 0.1`.
#
# ### Exercise 7.3: smooth the labels
#
# Write a function that makes these targets: from `labels` `(N,)`, the number of classes `K` and the share, an array `(N, K)`.


# %%
def smoothed(labels, K, share):
    ...  # your code


tutor.check("7.3", smoothed)

# %% [markdown]
# ## Remedy 5: early stopping
#
# Stop when validation no longer improves, and go back to the weights that were kept. Which ones are kept is said by the
# one-standard-error rule of notebook 6: those of the latest epoch whose accuracy is at least $p - \sqrt{p\,(1 - p) / n}$. Here $p$
# is the highest accuracy *so far*, on $n$ validation pictures. When some epochs in a row (the *patience*) lie lower, training
# stops. Switch: `--early-stopping 5`.
#
# ### Exercise 7.4: when does it stop?
#
# Write a function that gets the validation accuracies, one an epoch, the number `n` of validation pictures, and the patience. It
# returns two numbers, counted from 1: the epoch whose weights are kept, and the last epoch that is trained.


# %%
def stop(accuracies, n, patience):
    ...  # your code


tutor.check("7.4", stop)

# %% [markdown]
# ## All of them, in one figure
#
# Blue circles: accuracy on the 500 training pictures. Orange squares: on 2,000 test pictures, which no recipe has ever seen;
# early stopping chose its epoch on the validation pictures. The grey bar between them is the overfitting. Each mark is one of
# three seeds.

# %%
compared = {name: ([run["train_accuracy"] for run in runs if run["name"] == name],
                   [run["test_accuracy"] for run in runs if run["name"] == name]) for name in RECIPES}
gaps(compared, chance=0.1)

# %% [markdown]
# The same in numbers. The last column compares each seed with the same seed with nothing: same first weights, same order of the
# pictures.

# %%
nothing = np.array(compared["nothing"][1])
print(f"{'':20}{'training':>10}{'test':>8}{'test loss':>11}{'epochs':>8}    points gained, seed by seed")
for name, (train, test) in compared.items():
    mine = [run for run in runs if run["name"] == name]
    loss = np.mean([run["test_loss"] for run in mine])
    length = np.mean([len(run["epochs"]["train_loss"]) for run in mine])
    gained = ", ".join(f"{100 * value:+.1f}" for value in np.array(test) - nothing)
    print(f"{name:20}{np.mean(train):10.1%}{np.mean(test):8.1%}{loss:11.2f}{length:8.0f}    {gained}")

# %% [markdown]
# What these 21 runs say:
#
# - **Augmentation helps most**, by about 25 points. It alone makes 500 pictures more than 500.
# - **L2 and dropout** help too, in all three seeds, though the training pictures are still known by heart.
# - **Augmentation and L2 together** are better than each alone, in all three seeds.
# - **Label smoothing made the accuracy worse** here, in all three seeds. But its test loss is lower than with nothing: the net is
#   less sure of its mistakes, and makes more of them.
# - **Early stopping stopped one run of three, and won nothing.** The validation *loss* did rise, but early stopping looks at the
#   accuracy, and that hardly fell. With two seeds it ended within one standard error of its highest, which is about 1.5 points on
#   1,000 pictures. So the last epoch was kept, and the run is the one with nothing. With seed 0 six epochs were saved, and 0.2
#   points won: of 2,000 test pictures that is a fifth of a standard error.
#
# And what they do not say: each remedy was tried with one strength, on one data set, with one small net. L2 of 5e-3 is ten times
# the default; another value, more pictures or a longer run can change the order. The command above, with another recipe, tells
# you.
#
# ## Summary
#
# - Overfitting is a gap: high accuracy on the training pictures, low on others. The validation *loss* shows it even where the
#   accuracy does not fall.
# - Measure both sides alike: in evaluation, on pictures as they are.
# - Here augmentation, which adds knowledge about pictures, brought most; with L2 it brought more still.
# - A remedy with a good name can do harm: compare, with several seeds.
# - The test set judges once, at the end.
#
# **Where the code lives**
#
# | what | where |
# |---|---|
# | L2 | `resnet_np/optim/sgd.py` |
# | dropout, label smoothing | `resnet_np/functional/dropout.py`, `resnet_np/functional/softmax.py` |
# | crops and mirror images, cutout, mixup | `resnet_np/data/augment.py` |
# | early stopping | `resnet_np/training/loop.py`; here `resnet_np/tutor/small_runs.py` |
# | the recorded runs | `tutorials/record.py`, `tutorials/recorded/overfitting.jsonl` |
#
# **Next**: [8. Fine-tuning](08_fine_tuning.ipynb)
