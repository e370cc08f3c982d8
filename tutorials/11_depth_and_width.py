# %% [markdown]
# # 11. Depth and width
#
# **What you will learn**
#
# - How to change the depth and the width of a net, and which values exist.
# - What that costs: parameters, multiply-adds, memory, seconds a step.
# - Why twice as wide costs four times as much, and twice as deep only twice as much.
# - What more depth or width brought on a small task, and how to choose a net for yours.
#
# **You need**: notebook 5 (build ResNet-20), notebook 6 (train it).
#
# **Time**: 30 minutes.

# %%
# %matplotlib inline
import time

import numba
import numpy as np

import data_tools
from resnet_np import backend, tutor
from resnet_np.bench.task import random_batch
from resnet_np.errors import InputError
from resnet_np.models import resnet_cifar
from resnet_np.models.summary import summarise
from resnet_np.optim import SGD
from resnet_np.training import preset
from resnet_np.training.step import training_step
from resnet_np.tutor.small_runs import small_run
from resnet_np.viz.depth import Net, cost_and_accuracy, growth
from resnet_np.workspace import Workspace

DATA = "shapes10"  # "cifar10" where you have it

# %% [markdown]
# ## How do I change the depth?
#
# By a number. The CIFAR nets of He et al. 2015 have $6n+2$ layers: one convolution at the start, three stages of $n$ blocks
# with two convolutions each, and the linear layer at the end.

# %%
for depth in (8, 14, 20, 32, 56):
    net = resnet_cifar(depth)
    blocks = [len(net.children[f"layer{stage}"].children) for stage in (1, 2, 3)]
    print(f"resnet_cifar({depth:2}): blocks in the three stages {blocks}")

# %% [markdown]
# Another number does not exist, and the library says which ones are near.

# %%
try:
    resnet_cifar(30)
except InputError as error:
    print(error)

# %% [markdown]
# On the command line the depth is in the name of the net: `resnet-np train --model resnet32`, `resnet-np summary resnet56`.
# The width has an option of its own: `--width 32`.
#
# ### Exercise 11.1
#
# How many blocks has each stage of a net with `depth` layers?

# %%
def blocks_a_stage(depth):
    ...  # your code


tutor.check("11.1", blocks_a_stage)

# %% [markdown]
# ## What does depth cost?
#
# `summarise` sends one blank picture through the net and counts what every layer did. It is what `resnet-np summary` prints.
# Seconds we measure: training steps with 8 random pictures, on one thread, in turns, and of each net the fastest step. For a
# neighbour on the machine can only make a step slower.

# %%
def cost(depth, width=16, size=32):
    """Parameters, million multiply-adds an image, and what a step keeps of one image, in MB."""
    with backend.using("numpy"):  # one picture: not worth compiling for
        found = summarise(resnet_cifar(depth, width=width), (1, 3, size, size))
    return found.parameters, found.macs / 1e6, found.activation_bytes / 1e6


def stepper(depth):
    """A function that does one training step with 8 pictures of 32x32 pixels, and returns its seconds."""
    net, workspace = resnet_cifar(depth), Workspace()
    optimiser, (x, labels) = SGD(net.named_parameters()), random_batch(8, 10)

    def step():
        start = time.perf_counter()
        training_step(net, optimiser, x, labels, lr=0.01, workspace=workspace)
        return time.perf_counter() - start

    return step


DEPTHS = (8, 14, 20, 32, 56)
steppers = [stepper(depth) for depth in DEPTHS]
threads = numba.get_num_threads()
numba.set_num_threads(1)  # threads that wait for each other are disturbed most
rounds = [[step() for step in steppers] for _ in range(12)]  # the first round finds its memory
numba.set_num_threads(threads)
by_depth = [(*cost(depth), 1000 * min(times[1:])) for depth, times in zip(DEPTHS, zip(*rounds, strict=True), strict=True)]
print("layers  parameters  million multiply-adds  MB an image  ms a step")
for depth, (parameters, macs, memory, step) in zip(DEPTHS, by_depth, strict=True):
    print(f"{depth:6} {parameters:11,} {macs:22.2f} {memory:12.2f} {step:10.1f}")

# %%
names = ("parameters (thousands)", "multiply-adds (millions)", "a step of 8 pictures (ms, here)")
columns = [np.array([row[i] for row in by_depth]) for i in (0, 1, 3)]
growth(DEPTHS, [(names[0], columns[0] / 1000), (names[1], columns[1]), (names[2], columns[2])])

# %% [markdown]
# Parameters and multiply-adds lie on straight lines: every block added to the three stages brings the same amount. The
# seconds follow them as far as your machine was quiet. (The counts are exact, the seconds are measured.)
#
# ## What does width cost?
#
# The width is the number of filters of the first stage; the second and third have two and four times as many. A convolution
# has $F \cdot C \cdot KH \cdot KW$ weights. Twice as wide doubles $F$ *and* $C$.

# %%
WIDTHS = (8, 16, 32, 64)
base = cost(14, 16)
print("width           parameters    million multiply-adds       MB an image")
for width in WIDTHS:
    parameters, macs, memory = cost(14, width)
    times = [f"({value / unit:5.2f}x)" for value, unit in zip((parameters, macs, memory), base, strict=True)]
    print(f"{width:5} {parameters:11,} {times[0]} {macs:14.2f} {times[1]} {memory:8.2f} {times[2]}")

# %% [markdown]
# From one row to the next the parameters and the multiply-adds grow nearly fourfold, the memory for activations about
# twofold: a map has no second channel count. (Why not exactly fourfold: the first convolution always sees three channels, and
# the last layer always has ten outputs.)
#
# Depth is different: 20 to 32 to 56 layers, and the cost grows in proportion.
#
# ### Exercise 11.2
#
# The width grows by the factor `times`. By which factor grows the number of weights of all convolutions in the blocks? (With
# option A, there are no convolutions in the shortcuts.)

# %%
def growth_of_block_weights(times):
    ...  # your code


tutor.check("11.2", growth_of_block_weights)

# %% [markdown]
# ## What does it bring?
#
# The cost is known before any training. The accuracy is not. It depends on the task, on the number of pictures and on how
# long we train. So the answer of an experiment belongs to its budget, which must be named with it.
#
# ### Live: three nets, three seeds
#
# The pictures are scaled down to 16x16 pixels, and a net sees 1,000 of them six times. That is very little, but you can wait
# for it.

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
LIVE = {"model": "resnet8", "image_size": 16, "limit_train": 1000, "epochs": 6}


def accuracy(seed, **changes):
    run, records = small_run(preset("quick", **LIVE | changes, seed=seed), pictures)
    return run.test(run.net).top1


live = {}
for depth, width in ((8, 8), (14, 8), (8, 16)):
    found = [accuracy(seed, model=f"resnet{depth}", width=width) for seed in range(3)]
    live[depth, width] = Net(f"{depth} layers,\nwidth {width}", cost(depth, width, 16)[1], found)
    print(f"{depth:2} layers, width {width:2}:", "  ".join(f"{value:.1%}" for value in found))
cost_and_accuracy([live[8, 8], live[14, 8]], [live[8, 8]._replace(label=""), live[8, 16]],
                  cost="million multiply-adds an image (16x16 pixels), logarithmic",
                  title="Live: 6 epochs of 1,000 pictures, three seeds")

# %% [markdown]
# Both nets cost more than the first one, and both are ahead of it in the mean. Look at how far the seeds of one net lie apart
# before you believe a difference.
#
# ### Recorded: more nets, more pictures
#
# `python tutorials/record.py depth` made these: the same task, 3,000 pictures, four epochs, depths from 8 to 32 at width 16,
# and widths from 8 to 32 at 14 layers.

# %%
about, records = tutor.recorded("depth")
print(f"{about['command']}\n{about['what']}\n{about['machine']}, {about['date']}, seeds {about['seeds']}")
results = {}
for record in records:
    results.setdefault((record["depth"], record["width"]), []).append(record)
print("\nlayers  width  parameters  million multiply-adds  training (%)  test (%), a seed each")
for (depth, width), runs in sorted(results.items()):
    train = 100 * np.mean([run["train_accuracy"] for run in runs])
    test = "  ".join(f"{100 * run['test_accuracy']:.1f}" for run in runs)
    print(f"{depth:6} {width:6} {runs[0]['parameters']:11,} {runs[0]['macs'] / 1e6:22.2f} {train:13.1f}  {test}")

# %%
def point(depth, width, label):
    runs = results[depth, width]
    return Net(label, runs[0]["macs"] / 1e6, [run["test_accuracy"] for run in runs])


deeper = [point(depth, 16, f"{depth} layers") for depth in (8, 14, 20, 32)]
wider = [point(14, width, f"width {width}") for width in (8, 16, 32)]
cost_and_accuracy(deeper, wider, cost="million multiply-adds an image (16x16 pixels), logarithmic",
                  title="Recorded: 4 epochs of 3,000 pictures. Deeper at width 16, wider at 14 layers")

# %% [markdown]
# What these runs show, for this task and this budget:
#
# - From 8 to 14 layers the accuracy grows: each seed of 14 layers is above each seed of 8.
# - Beyond 14 layers it does not. 20 and 32 layers cost more, and their means are lower. The three seeds of 32 layers lie far
#   apart: with one seed, one could have "shown" anything.
# - From width 8 to 16 the accuracy grows, in each seed. From 16 to 32 each seed is a little better again, for four times the
#   cost, and the ranges overlap.
# - The training accuracy is as low as the test accuracy, for all of them. So no net here suffers from overfitting. They have
#   not finished learning: four epochs of 3,000 pictures are 184 steps.
#
# The last point says how to read the others. Not "14 layers are enough for these pictures", but: *with so few steps a deep
# net does not pay*. With more training this figure may look different, and you can find out: change `BUDGET` in
# `tutorials/record.py`.
#
# ### Exercise 11.3
#
# You have a budget: at most `budget` million multiply-adds for a picture of 32x32 pixels. Return the depth of the deepest net
# of the given width that keeps it. You may use `cost` from above, or count with `summarise`. The smallest depth is 8; every
# budget here allows it.

# %%
def deepest(width, budget):
    ...  # your code


tutor.check("11.3", deepest)

# %% [markdown]
# ### Exercise 11.4
#
# Of many nets, only some are worth a thought: those for which no other net is at least as good *and* cheaper. (This is the
# Pareto front.) Given a list of costs and a list of accuracies, all different, return the places of these nets, in rising
# order: `[0, 2]` for the first and the third.

# %%
def worth_a_thought(costs, accuracies):
    ...  # your code


tutor.check("11.4", worth_a_thought)

# %% [markdown]
# ## How to choose
#
# 1. **Start small.** A net that trains in a minute lets you find the bugs in your data and a good learning rate.
# 2. **Look at the training accuracy first.** If it is low at the end, the net or the training time is too small: train
#    longer, then make the net larger. If it is high and the validation accuracy is low, a larger net is not the cure: see
#    notebook 7.
# 3. **Count before you train.** `resnet-np summary resnet32 --width 32` says what a net costs. Four times the multiply-adds
#    are about four times the seconds.
# 4. **Change one thing, with several seeds.** A difference that is smaller than the spread of the seeds is no difference yet.
# 5. **Remember the task.** For CIFAR-10 with 64,000 steps the paper (Table 6) reports test errors that fall from ResNet-20 to
#    ResNet-110. That is another task and another budget than those above, and each answer holds for its own.
#
# ## Summary
#
# - Depths are $6n+2$; a net is built by `resnet_cifar(depth, width=...)` or `--model resnet<depth> --width <width>`.
# - Depth costs in proportion. Width costs by its square in parameters and multiply-adds, and in proportion in memory for
#   activations.
# - Here, with few steps, more layers helped up to 14 and not beyond; more width helped, less and less for its cost. Another
#   budget may say otherwise.
# - Before you compare two nets, know the spread of the seeds.
#
# **Where the code lives**: `resnet_np/models/resnet_cifar.py` (the nets), `resnet_np/models/summary.py` (counting),
# `tutorials/record.py` (the recorded runs), `resnet_np/viz/depth.py` (the figures).
#
# **Next**: [12. A good net soon](12_a_good_net_soon.ipynb)
