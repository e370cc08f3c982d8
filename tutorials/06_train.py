# %% [markdown]
# # 6. Train it
#
# **What you will learn**
#
# - What a learning-rate schedule is, and how to find the rate with a range test.
# - What momentum does: on a small valley, and in a net.
# - How to read the curves of a run.
# - Which epoch's weights are kept, and why not simply those of the highest accuracy.
# - What lies in a run folder, file by file, and how a run that was cut off goes on, bit for bit.
# - How good a net is: loss, accuracy, confusion matrix.
#
# **You need**: notebook 5 (a net), notebook 2 (gradients).
#
# **Time**: 45 minutes.

# %%
# %matplotlib inline
import inspect
import json
import tempfile
from pathlib import Path

import numpy as np

import data_tools
from resnet_np import tutor
from resnet_np.data import Normaliser, TrainLoader, evaluation_batches, resize
from resnet_np.functional.parameter import Parameter
from resnet_np.models import load_checkpoint, resnet_cifar
from resnet_np.optim import SGD, CosineSchedule, OneCycle, StepSchedule, selection
from resnet_np.training import RunFolder, evaluate, preset, training_step
from resnet_np.training.loop import train
from resnet_np.viz.confusion import confusion
from resnet_np.viz.curves import curves
from resnet_np.viz.descent import descent
from resnet_np.viz.dots import dots
from resnet_np.viz.spread import spread
from resnet_np.workspace import Workspace

DATA = "shapes10"  # "cifar10" where you have it

# %% [markdown]
# ## One step
#
# Everything that training does is in this function: forward, loss, backward, update. Read it once; you know all its parts by now.

# %%
print(inspect.getsource(training_step))

# %% [markdown]
# The last argument of the update is the learning rate `lr`. How large should it be, and should it stay the same?
#
# ## Schedules
#
# A schedule is a function of the step $t = 1, 2, \ldots, T$. The library has three:
#
# - **step**: constant, then divided by 10, twice. The paper's.
# - **cosine**: a short warm-up from 0, then half a cosine down to 0.
# - **one-cycle**: up in a straight line for a quarter of the steps, then down to nearly 0. The default of `resnet-np train`.

# %%
T = 1000
schedules = {
    "step": StepSchedule(0.1, (500, 750)),
    "cosine": CosineSchedule(0.1, T, warmup=50),
    "one-cycle": OneCycle(0.01, 0.1, 0.0001, T, 250),
}
steps = np.arange(1, T + 1)
for name, schedule in schedules.items():
    print(f"{name:10}", "  ".join(f"t={t}: {schedule(t):.4f}" for t in (1, 100, 250, 500, 501, 750, 1000)))
spread({"Three schedules": {name: (steps, [schedule(t) for t in steps]) for name, schedule in schedules.items()}},
       xlabel="step t", ylabel="learning rate")

# %% [markdown]
# All three end small. With a large rate the weights jump around the bottom of the valley; with a small one they settle. We will
# see that in a recorded run below.
#
# ### Exercise 6.1: half a cosine
#
# Write the cosine schedule without warm-up: it starts at `lr` for $t = 0$ and ends at 0 for $t = T$. (The library's first step is
# $t = 1$, so it starts a little lower than `lr`.)


# %%
def cosine(t, T, lr):
    ...  # your code


tutor.check("6.1", cosine)

# %% [markdown]
# ## Momentum, on a valley
#
# The simplest valley has two directions, one flat and one steep:
#
# $$\text{loss}(u, v) = \tfrac12 (u^2 + 20 v^2), \qquad \text{grad} = (u,\; 20 v)$$
#
# Without momentum the steep direction forbids large steps, and in the flat one small steps take forever. Momentum keeps a
# *velocity*:
#
# $$\text{velocity} \leftarrow m \cdot \text{velocity} + \text{grad}, \qquad w \leftarrow w - lr \cdot \text{velocity}$$
#
# Where gradients keep their direction, the velocity grows. Where they change sign in every step, they cancel. Here the library's
# `SGD` goes down the valley, 30 steps with the same rate.

# %%
CURVATURE = np.array([1.0, 20.0])


def walk(lr, momentum, steps=30):
    """The places that SGD visits, (steps + 1, 2)."""
    place = Parameter(np.array([4.0, 1.0]), decay=False)
    optimiser, visited = SGD({"place": place}, momentum=momentum, weight_decay=0.0), [place.data.copy()]
    for _ in range(steps):
        place.grad = CURVATURE * place.data
        optimiser.step(lr)
        visited.append(place.data.copy())
    return np.array(visited)


paths = {f"momentum {m}, lr 0.02": walk(0.02, m) for m in (0.0, 0.5, 0.9)}
for name, path in paths.items():
    print(f"{name}: ends at {np.round(path[-1], 3)}, loss {(CURVATURE * path[-1]**2).sum() / 2:.5f}")
descent(tuple(CURVATURE), paths)

# %% [markdown]
# With momentum 0 the point creeps along the flat direction. With 0.9 it is fast, and overshoots. In the long run a constant
# gradient is multiplied by $1 + m + m^2 + \ldots = \frac{1}{1 - m}$: with $m = 0.9$ the steps are ten times as long.
#
# ### Exercise 6.2: one step with momentum
#
# Write the update. It gets the weights `w`, the gradient `grad`, the old velocity, and returns the new weights and the new
# velocity. Do not write into the arrays that you get.


# %%
def momentum_step(w, grad, velocity, lr, momentum):
    ...  # your code


tutor.check("6.2", momentum_step)

# %% [markdown]
# ## A small task
#
# For the live experiments we take three of the ten classes, 400 pictures of them, scaled down to 16x16, and a ResNet-8 of half
# width. It learns them within a hundred steps, and a step takes about a hundredth of a second. `learn` is the bare loop: a batch,
# a step, and the loss written down.

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
THREE = np.array([1, 6, 9])
print("classes:", [pictures.classes[k] for k in THREE])


def three(images, labels, count):
    """The first `count` pictures of the three classes, 16x16, with labels 0, 1, 2."""
    mine = np.flatnonzero(np.isin(labels, THREE))[:count]
    return resize(images[mine], 16), np.searchsorted(THREE, labels[mine])


images, labels = three(pictures.train_images, pictures.train_labels, 400)
unseen, unseen_labels = three(pictures.test_images, pictures.test_labels, 500)
normaliser = Normaliser.measured(images)
SEEDS = (0, 1, 2)


def learn(rate, steps, seed, momentum=0.9):
    """Train for some steps; rate(t) is the learning rate -> the net, and the loss of each step."""
    net = resnet_cifar(8, width=8, classes=3, seed=seed)
    loader = TrainLoader(images, labels, normaliser, batch_size=50, seed=seed, augment=False)
    optimiser, workspace, losses = SGD(net.named_parameters(), momentum=momentum, weight_decay=5e-4), Workspace(), []
    for t in range(1, steps + 1):
        x, y = loader.batch(t)
        losses.append(training_step(net, optimiser, x, y, lr=rate(t), workspace=workspace).loss)
    return net, losses


def smooth(losses, width=10):
    """The mean of the last `width` losses: single batches of 50 jump."""
    return np.array([np.mean(losses[max(0, i - width + 1):i + 1]) for i in range(len(losses))])


# %% [markdown]
# ## Momentum, in a net
#
# Two rates, each without momentum and with momentum 0.9. Three seeds, 60 steps.

# %%
STEPS = 60
ways = {"lr 0.01, no momentum": (0.01, 0.0), "lr 0.01, momentum 0.9": (0.01, 0.9),
        "lr 0.1, no momentum": (0.1, 0.0), "lr 0.1, momentum 0.9": (0.1, 0.9)}
falling = {name: np.array([smooth(learn(lambda t, lr=lr: lr, STEPS, seed, momentum)[1]) for seed in SEEDS])
           for name, (lr, momentum) in ways.items()}
for name, losses in falling.items():
    print(f"{name:22} loss of the last ten steps, three seeds: {np.round(np.sort(losses[:, -1]), 2)}")
spread({"Momentum in a ResNet-8": {name: (np.arange(1, STEPS + 1), losses) for name, losses in falling.items()}},
       xlabel="step", ylabel="loss, mean of ten steps")

# %% [markdown]
# Compare the two in the middle: rate 0.01 *with* momentum comes about as far as rate 0.1 *without*. Their shades overlap. That is
# the factor $\frac{1}{1 - m} = 10$: much of what momentum does here is to take longer steps. With the rate 0.1 as well the steps
# are longer still, and only this way learns the task in 60 steps.
#
# ## Which rate? A range test
#
# Start with a rate that is far too small, multiply it by the same factor in every step, and watch the loss (Smith 2015). It first
# stays, then falls, then rises.

# %%
LOW, HIGH, STEPS = 1e-3, 10.0, 80
growing = LOW * (HIGH / LOW) ** (np.arange(STEPS) / (STEPS - 1))
found = np.array([smooth(learn(lambda t: growing[t - 1], STEPS, seed)[1], 5) for seed in SEEDS])
middle = np.median(found, axis=0)
print(f"lowest median loss: {middle.min():.2f} at the rate {growing[middle.argmin()]:.2f}")
spread({"Range test": {"three seeds": (growing, found)}}, xlabel="learning rate (grows in every step)",
       ylabel="loss, mean of five steps", logx=True, logy=True, levels={"ln 3, guessing": np.log(3)})

# %% [markdown]
# The rule of thumb: take a rate at which the loss falls, about ten times below the one at which it shoots up. The test does not
# say more than that, so let us ask the net. One-cycle runs of 60 steps with four highest rates, three seeds each, and the
# accuracy on 500 pictures that were not trained on:


# %%
def accuracy(net):
    """In percent, on the 500 unseen pictures."""
    return 100 * evaluate(net, evaluation_batches(unseen, unseen_labels, normaliser, batch_size=250), classes=3).top1


peaks = (0.01, 0.1, 0.5, 3.0)
reached = {f"highest rate {peak}": [accuracy(learn(OneCycle(peak / 10, peak, peak / 1000, 60, 15), 60, seed)[0])
                                    for seed in SEEDS] for peak in peaks}
dots(reached, quantity="accuracy on 500 unseen pictures (%)", chance=100 / 3)

# %% [markdown]
# The order of magnitude holds: of these four, the best is about a tenth of the rate at which the range test blew up. The smallest
# learns hardly anything in 60 steps; the largest lies just below the explosion, and is little better. Between 0.1 and 0.5 the
# difference is smaller than between those and the others: the rate need not be exact, but its size must be right.
#
# ## Reading curves
#
# The picture below is a **recorded run**: ResNet-20 of full width, ten epochs of 45,000 pictures. Its first line says how it was
# made.

# %%
about, records = tutor.recorded("short-seed0")
for key in ("command", "data", "machine", "date"):
    print(f"{key:8} {about[key]}")
print(f"test accuracy {about['test_accuracy']:.2%}")
curves(records)

# %% [markdown]
# How to read it:
#
# 1. **Training loss falls in every epoch.** If it does not, nothing else matters: the rate, the data or a gradient is wrong.
# 2. **Validation jumps while the rate is high.** In epoch 5 it falls back to 53.9 %, and is at 70.9 % one epoch later. One bad
#    epoch at a high rate means little. Do not stop there.
# 3. **The last epochs bring much.** From epoch 7 to 10 the rate goes from 0.16 to nearly 0, and validation from 72 % to 84 %.
# 4. **The gap at the end is small**: 84.1 % in training, 83.9 % in validation. This net does not yet overfit; longer training
#    should help. (The training accuracy is measured while learning, on augmented pictures: that lowers it. Notebook 7 measures
#    both alike.)
#
# Is the jump in epoch 5 a property of the recipe, or an accident? The same recipe with another seed:

# %%
_, others = tutor.recorded("short-seed1")
epochs = [record["epoch"] for record in records]
spread({"Two seeds of the same recipe": {
    "seed 0": (epochs, [100 * record["validation_accuracy"] for record in records]),
    "seed 1": (epochs, [100 * record["validation_accuracy"] for record in others])}},
    xlabel="epoch", ylabel="validation accuracy (%)")

# %% [markdown]
# Seed 1 has no such jump, and both end within a percent of each other. (Seed 1 was recorded before the library had Winograd's
# convolutions; they change last bits, not the recipe.) So: an accident. Look at two seeds before you explain a bump.
#
# ## Which epoch is kept?
#
# Of all its epochs a run keeps the weights of one as its result, in `best.npz`. Of which one? The highest validation accuracy seems
# to say it. But an accuracy is measured on $n$ pictures, and which pictures these are is luck. How much luck?
#
# Imagine a net that gets neither better nor worse any more: after each of ten epochs it recognises 70 % of all the pictures in
# the world, each time others. We measure its accuracy after every epoch, on 20 validation pictures and on 5,000:

# %%
TRUTH, RUNS = np.full(10, 0.7), 1000


def measured(truth, n):
    """The accuracies, on n pictures, of nets that truly recognise the shares `truth` (E,) after each of E epochs, (RUNS, E)."""
    return np.random.default_rng(0).binomial(n, truth, (RUNS, len(truth))) / n


print("one run, on 20 pictures:", "  ".join(f"{value:.0%}" for value in measured(TRUTH, 20)[0]))
for n in (20, 5000):
    runs = measured(TRUTH, n)
    above, early = runs.max(axis=1) - 0.7, runs.argmax(axis=1) < 3
    print(f"{RUNS:,} runs, on {n:5,} pictures: the highest is {100 * above.mean():4.1f} points above the truth, "
          f"and comes in epoch 1, 2 or 3 in {early.mean():.0%} of the runs")

# %% [markdown]
# On 20 pictures the highest of ten accuracies promises 15 points too much. And it often comes early, although here nothing makes
# an early epoch better. (Three of ten would be 30 %; it is more, because many epochs are equal on so few pictures, and `argmax`
# takes the first.) On 5,000 pictures the luck is one point. In a real run epochs that follow each other recognise mostly the same
# pictures. That leaves less luck than here, but not none, and an early epoch has learned little.
#
# How far an accuracy typically lies from the truth has a name, its **standard error**. For the accuracy $p$ on $n$ pictures it is
#
# $$\sqrt{\frac{p\,(1 - p)}{n}}$$
#
# For 70 % of 20 pictures that is 10 points, for 70 % of 5,000 it is 0.6. A smaller difference between two epochs says little.
# Hence the **one-standard-error rule** (Breiman et al. 1984): every epoch within one standard error of the highest counts as
# equally good, and of these the *latest* is kept. It has learned for longest, and with the smallest rate.
#
# ### Exercise 6.3: the one-standard-error rule
#
# Write a function that gets the records of a run and returns the number of the epoch that is kept. Each record is a dictionary
# with `"epoch"`, `"validation_accuracy"` (a fraction) and `"validation_count"` (the $n$, the same in all of them), among others.
# With $p$, the highest of the accuracies, an epoch counts as equally good if its accuracy is at least
# $p - \sqrt{p\,(1 - p) / n}$.


# %%
def kept_epoch(records):
    ...  # your code


tutor.check("6.3", kept_epoch)

# %% [markdown]
# What does the rule bring? Here we know the truth, so we can ask how good the weights *truly* are that each way of choosing takes:
# of a net that learns until the end, and of one that gets worse again after epoch 5.

# %%
truths = {"learns until the end, 40 to 70 %": np.linspace(0.4, 0.7, 10),
          "worse after epoch 5, 70 to 60 %": np.concatenate([np.linspace(0.5, 0.7, 5), np.linspace(0.68, 0.6, 5)])}
print(f"{'truly recognised, mean of all runs':36}{'n':>6}{'the highest':>13}{'the rule':>11}")
for name, truth in truths.items():
    for n in (20, 5000):
        runs = measured(truth, n)
        highest, kept = runs.argmax(axis=1), np.array([selection.kept_epoch(run, n) - 1 for run in runs.tolist()])
        print(f"{name:36}{n:6,}{truth[highest].mean():13.1%}{truth[kept].mean():11.1%}")

# %% [markdown]
# On 20 pictures the rule takes weights that are 4 points better where the net learns until the end. With a rate that goes down to
# nearly 0 that is the usual case. The rule has a price: where the net gets worse, it chooses too late an epoch, and loses a point.
# On 5,000 pictures both ways choose weights that are nearly equally good.
#
# ## A run and its folder
#
# `resnet-np train` does what `learn` did, and more: it validates after every epoch, saves, and can be resumed. Here it is from
# Python, in a folder that goes away with this notebook. On the command line:
#
# ```
# resnet-np train --data shapes10 --model resnet8 --width 8 --image-size 16 --limit-train 1000 --batch-size 50 --epochs 4 --out RUN
# ```

# %%
scratch = tempfile.TemporaryDirectory()
config = preset("quick", model="resnet8", width=8, image_size=16, limit_train=1000, batch_size=50, epochs=4, seed=0)


def say(line):
    print(line.replace(scratch.name, "..."))


with RunFolder.open(Path(scratch.name) / "RUN", resume=False) as folder:
    result = train(config, pictures, folder, resume=False, say=say, progress=False)

# %% [markdown]
# File by file:

# %%
for path in sorted(folder.path.iterdir()):
    print(f"{path.name:15}{path.stat().st_size:9,} bytes")
print("\nconfig.json: the recipe")
recipe = json.loads(folder.config.read_text(encoding="utf-8"))
print({key: recipe[key] for key in ("model", "width", "lr", "schedule", "epochs", "batch_size", "seed")}, "...")
print("\nmetrics.jsonl: a line an epoch; the last one")
lines = [json.loads(line) for line in folder.metrics.read_text(encoding="utf-8").splitlines()]
print({key: round(lines[-1][key], 4) for key in ("epoch", "lr", "train_loss", "train_accuracy", "validation_accuracy")})
print("\nresult.json: the outcome, and all that is needed to judge it")
print({key: result[key] for key in ("test_accuracy", "best_epoch", "epochs", "steps", "seed", "backend")})
print("\nbest.npz: the net itself, with its normaliser and its classes")
checkpoint = load_checkpoint(folder.best)
print(checkpoint.net.architecture)
print(checkpoint.class_names)

# %% [markdown]
# `last.npz` is `best.npz` plus what resuming needs: the optimiser's velocities, and the place in the run. `previous.npz` is the
# `last.npz` before it, in case the machine dies while it is replaced. And `curves.png` is this picture:

# %%
curves(lines)

# %% [markdown]
# The ring is the epoch that is kept. The pale band reaches one standard error up and down from the validation accuracy, of 1,000
# pictures here. (The records of the long run above do not say $n$. So there is no band there, and the ring is the highest.) Four
# epochs of 1,000 pictures are far too few; that is a different picture from the recorded run.
#
# ## Cut off, and resumed
#
# Now the same recipe again, but after the second epoch the power goes. (We raise an exception in the function that prints: that
# is as rude to the loop as we can be from here.)


# %%
class PowerCut(Exception):
    pass


def say_until_cut(line):
    say(line)
    if line.startswith("epoch 2/4"):
        raise PowerCut


try:
    with RunFolder.open(Path(scratch.name) / "CUT", resume=False) as cut:
        train(config, pictures, cut, resume=False, say=say_until_cut, progress=False)
except PowerCut:
    print("... dark ...")
print("epochs on disk:", len(cut.metrics.read_text(encoding="utf-8").splitlines()), "- result.json:", cut.result.exists())

# %%
with RunFolder.open(cut.path, resume=True) as cut:
    train(config, pictures, cut, resume=True, say=say, progress=False)

# %% [markdown]
# On the command line that is `resnet-np train --resume --out CUT`. Is the net the same as the one that was never cut off? Not
# nearly the same: the same bits?


# %%
def arrays(path):
    """Every number of the net in a checkpoint."""
    net = load_checkpoint(path).net
    return {name: parameter.data for name, parameter in net.named_parameters().items()} | net.named_buffers()


whole, halved = arrays(folder.last), arrays(cut.last)
different = [name for name in whole if not np.array_equal(whole[name], halved[name])]
print(f"{len(whole)} arrays, {sum(array.size for array in whole.values()):,} numbers, different arrays: {len(different)}")

# %% [markdown]
# None differs. Two things make that possible. The optimiser's velocities are saved with the weights. And randomness has no state
# to lose: what step $t$ draws depends on the seed and on $t$ alone.

# %%
loader = TrainLoader(images, labels, normaliser, batch_size=50, seed=0, augment=True)
first, _ = loader.batch(47)
loader.batch(3)
again, _ = loader.batch(47)
print("step 47, asked for twice, the same pictures, crops and mirror images?", np.array_equal(first, again))

# %% [markdown]
# ## How good is it?
#
# The test set is read at the end, and chooses nothing: which epoch is kept was decided on the validation pictures. Their accuracy
# may flatter the weights that they chose a little, as we saw above.

# %%
test = resize(pictures.test_images, 16)
batches = evaluation_batches(test, pictures.test_labels, checkpoint.normaliser, batch_size=250)
evaluation = evaluate(checkpoint.net, batches, classes=len(checkpoint.class_names))
print(f"loss {evaluation.loss:.3f}, top-1 {evaluation.top1:.2%}, top-5 {evaluation.top5:.2%}, {evaluation.count:,} pictures")
print(f"result.json says {result['test_accuracy']:.2%}")
for name, share in zip(checkpoint.class_names, evaluation.per_class, strict=True):
    print(f"{name:12}{share:7.1%}")

# %% [markdown]
# The confusion matrix says more than one number: row = what it is, column = what it was taken for.

# %%
confusion(evaluation.confusion, checkpoint.class_names)

# %% [markdown]
# A good net has a dark diagonal. This one was trained for 80 steps: look for columns that are dark from top to bottom. They are
# classes that it says too often, whatever the picture.
#
# ### Exercise 6.4: from the matrix to the numbers
#
# Write a function that gets a confusion matrix `(K, K)` and returns two things: the accuracy of all pictures, and an array `(K,)`
# with the share of each *true* class that was recognised. Every class has pictures.


# %%
def accuracies(matrix):
    ...  # your code


tutor.check("6.4", accuracies)

# %%
scratch.cleanup()

# %% [markdown]
# ## Summary
#
# - A schedule is a function of the step. All of ours end small, and in the recorded run the last epochs brought most.
# - Momentum makes steps longer where gradients agree; 0.9 is worth about ten times the rate.
# - A range test costs a minute and gives the order of magnitude of the rate, not more.
# - Curves: first the training loss, then the gap. Explain a bump only when a second seed has it too.
# - The highest of several validation accuracies is partly luck. Of the epochs within one standard error of it the latest is kept.
# - A run is a folder; one that was cut off goes on to the same bits.
# - The test set is read once. The confusion matrix shows what one number hides.
#
# **Where the code lives**
#
# | what | where |
# |---|---|
# | schedules, momentum | `resnet_np/optim/` |
# | which epoch is kept | `resnet_np/optim/selection.py` |
# | one step, the loop | `resnet_np/training/step.py`, `resnet_np/training/loop.py` |
# | the run folder | `resnet_np/training/run_folder.py` |
# | presets and options | `resnet_np/training/config.py`, `resnet_np/training/recipe.py` |
# | evaluation | `resnet_np/training/evaluation.py`; on the command line `resnet-np evaluate RUN` |
#
# **Next**: [7. Against overfitting](07_overfitting.ipynb)
