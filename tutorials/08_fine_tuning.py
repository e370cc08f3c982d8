# %% [markdown]
# # 8. Fine-tuning
#
# **What you will learn**
#
# - How to use weights that somebody has trained: load them, show them a picture, read the probabilities.
# - How to teach such a net other classes: a new head on an old trunk.
# - What freezing means, and what it must mean for batch norm.
# - Three ways between frozen and free: the head alone, rates per stage, gradual unfreezing.
# - What all this is worth when pictures are few, measured against training from scratch.
#
# **You need**: notebook 5 (build ResNet-20), notebook 6 (train it).
#
# **Time**: 45 minutes.
#
# The weights here were learned on Shapes-10, pictures that the project draws itself. So there is no switch to another data
# set. At the end you see the command that does the same with your own photos.

# %%
# %matplotlib inline
import inspect
import tempfile
from pathlib import Path

import numpy as np

from data_tools import letters, shapes10
from resnet_np import functional as F
from resnet_np import tutor
from resnet_np.models import load_checkpoint, load_weights
from resnet_np.models.foreign.export import export
from resnet_np.models.transfer import freeze, with_head
from resnet_np.training import RunFolder
from resnet_np.training.finetune import FinetuneRun
from resnet_np.training.finetune_config import finetune_preset
from resnet_np.training.loop import carry_out
from resnet_np.training.predict import predict
from resnet_np.tutor.transfer import WAYS, fine_tuned, from_scratch, learn
from resnet_np.viz.bars import scores
from resnet_np.viz.dots import dots
from resnet_np.viz.gallery import gallery
from resnet_np.viz.spread import spread

# %% [markdown]
# ## How do I use pretrained weights?
#
# A weight file holds arrays under names. `load_weights` finds out which net they belong to, checks every shape, and says what
# it did. It reads our own files and those of others: torchvision, timm, Hugging Face, and public CIFAR-10 nets, without
# PyTorch.

# %%
WEIGHTS = Path("weights") / "shapes10-resnet14-width8.safetensors"
imported = load_weights("resnet14", WEIGHTS)
print("\n".join(imported.report.lines()))

# %% [markdown]
# ("Left over" are counters that PyTorch keeps. They change nothing of what the net computes.)
#
# What comes back is a *checkpoint*. It is more than a net: it also knows how pictures must be normalised, how large they must
# be, and what the outputs are called. Without these the weights are worth nothing.

# %%
checkpoint = imported.checkpoint
print("normaliser", checkpoint.normaliser.mean.ravel().round(3), checkpoint.normaliser.std.ravel().round(3))
print("pictures  ", checkpoint.image_size, "pixels a side")
print("classes   ", ", ".join(checkpoint.class_names))

# %% [markdown]
# Now we show it pictures that it has never seen: test pictures of Shapes-10. `predict` normalises them, runs the net, and
# turns the logits into probabilities.

# %%
shapes = shapes10.make(train=10, test=200)
shown = shapes.test_images[:10]
predictions = predict(checkpoint, shown, top=3)
gallery(shown, [f"{name}\n{probability:.0%}" for name, probability in (p.top[0] for p in predictions)], columns=10,
        title="What the net says of ten test pictures of Shapes-10")

# %%
chosen = [p.top[0][0] for p in predict(checkpoint, shapes.test_images, top=1)]
right = np.mean([name == shapes.classes[label] for name, label in zip(chosen, shapes.test_labels, strict=True)])
print(f"right on {right:.1%} of {len(chosen)} test pictures")

# %% [markdown]
# ## Another task
#
# Here is a small second data set: the fifteen capital letters that consist of straight strokes. We allow ourselves 20
# pictures a class to learn from. That is little: Shapes-10 has 1,000.

# %%
pictures = letters.make(train=20, test=40)
first = [int(np.flatnonzero(pictures.train_labels == k)[0]) for k in range(15)]
print(f"{len(pictures.train_images)} training pictures, {len(pictures.test_images)} test pictures, {len(pictures.classes)} classes")
gallery(pictures.train_images[first], pictures.classes, columns=8, title="Letters-15: a training picture of every class")

# %% [markdown]
# What does the old net say of them? It can only name shapes. A softmax always answers, and its probabilities always add up to
# 1. They say which of *its* classes fits best, not whether any of them fits.

# %%
for k in (0, 9, 12):
    top = predict(checkpoint, pictures.train_images[first[k]][None], top=2)[0].top
    print(f"the letter {pictures.classes[k]} is taken for:", ", ".join(f"{name} {probability:.1%}" for name, probability in top))

# %% [markdown]
# ## A new head
#
# The last layer of the net, `fc`, has one row of weights a class. Fifteen letters need fifteen rows, and the old ten are of
# no use. The layers before it, the *trunk*, see edges, corners and outlines, and letters have these too. So: keep the trunk,
# make a new head.

# %%
net = with_head(checkpoint.net, classes=15, keep=False, dropout=0.0, fused=True, seed=0)
old, new = checkpoint.net.named_parameters(), net.named_parameters()
for name in ("conv1.weight", "layer3.1.conv2.weight", "fc.weight", "fc.bias"):
    same = old[name].data.shape == new[name].data.shape and np.array_equal(old[name].data, new[name].data)
    print(f"{name:22} {old[name].data.shape!s:16} -> {new[name].data.shape!s:16} {'the same numbers' if same else 'new'}")

# %% [markdown]
# ## Freezing
#
# Few pictures cannot teach many numbers. We can forbid parts of the net to change: we *freeze* them. The stages of a net,
# from the picture to the head, are in `net.stages`. `freeze` takes names of layers and freezes exactly these.

# %%
for count in range(len(net.stages) + 1):
    names = [name for stage in net.stages[:count] for name in stage]
    freeze(net, names)
    learns = sum(p.data.size for p in net.named_parameters().values() if not p.frozen)
    print(f"frozen: {', '.join(names) or 'nothing':48} {learns:6,} numbers learn")

# %% [markdown]
# ### Frozen batch norm keeps its statistics
#
# Batch norm has two kinds of numbers. `weight` and `bias` are learned by gradients. `running_mean` and `running_var` are not
# learned: in every training step they move a little towards the mean and variance of the batch. A classic bug freezes the
# first kind only. Then a "frozen" trunk changes all the same, and what it was good at gets lost.
#
# Here a frozen batch norm also keeps its running statistics, and *uses* them, as in evaluation. We look at the first number
# of `bn1.running_mean` before and after one forward pass in training mode.

# %%
x = checkpoint.normaliser(pictures.train_images[:32])
for frozen in (False, True):
    freeze(net, ["conv1", "bn1"] if frozen else [])
    mean = net.named_buffers()["bn1.running_mean"]
    before = mean.copy()
    net.forward(x, training=True)
    print(f"{'frozen' if frozen else 'free':7} running_mean[0] {before[0]:+.4f} -> {mean[0]:+.4f}, largest change of the eight "
          f"{np.abs(mean - before).max():.4f}")

# %% [markdown]
# ### Exercise 8.1
#
# Write a function that freezes the first `count` entries of `net.stages` and returns how many numbers still learn.

# %%
def learning(net, count):
    ...  # your code


tutor.check("8.1", learning)

# %% [markdown]
# ## Between frozen and free
#
# **Rates per stage** (Howard and Ruder 2018). Early stages are general, late ones belong to their task. So the late ones may
# change more. With the learning rate $lr$, the share $s$ and $S$ stages (the stem is stage 0), stage $i$ learns at the rate
#
# $$ lr_i = lr \cdot s^{\,S-1-i}, $$
#
# and a new head, which knows nothing yet, ten times as fast as $lr$.
#
# ### Exercise 8.2
#
# Return what the learning rate of every parameter is multiplied by: a dictionary from the names in `net.named_parameters()`
# to factors. `head` is the factor of the head, `fc`. (`"layer1.0.conv1.weight".split(".")[0]` is `"layer1"`.)

# %%
def factors(net, share, head):
    ...  # your code


tutor.check("8.2", factors)

# %% [markdown]
# **Gradual unfreezing.** First the new head learns alone, so that its first, wild gradients do not spoil the trunk. Then
# stage after stage joins in, the last one first. `FinetuneRun` is what `resnet-np finetune` runs. Before each epoch it
# decides what is frozen:

# %%
run = fine_tuned("gradual", checkpoint, pictures, epochs=6, seed=0)
for epoch in range(1, 7):
    run.begin_epoch(epoch)
    parameters = run.net.named_parameters()
    learns = list(dict.fromkeys(name.split(".")[0] for name, p in parameters.items() if not p.frozen))
    print(f"epoch {epoch}: {', '.join(learns)}")

# %% [markdown]
# ## What is it worth?
#
# We learn the letters in five ways, three seeds each. These are the options of `resnet-np finetune` for four of them. The
# fifth starts the same net from random weights. There is no augmentation: a mirrored letter is no letter.

# %%
for way, options in WAYS.items():
    print(f"{way:16} {options}")

# %% [markdown]
# And this is all that training takes:

# %%
print(inspect.getsource(learn))

# %% [markdown]
# With the head alone the trunk is a fixed function of the picture. Its 32 features are computed once for every picture, and
# the steps cost next to nothing. So this way gets five times the epochs.

# %%
EPOCHS = 6
live = {"from scratch": [100 * learn(from_scratch(pictures, epochs=EPOCHS, seed=seed)) for seed in range(3)]}
for way in WAYS:
    epochs = 5 * EPOCHS if way == "head only" else EPOCHS
    live[way] = [100 * learn(fine_tuned(way, checkpoint, pictures, epochs=epochs, seed=seed)) for seed in range(3)]
dots(live, quantity="test accuracy (%)", chance=100 / 15, title=f"Letters-15, 20 pictures a class, {EPOCHS} epochs")

# %% [markdown]
# After so few steps, training from scratch has hardly left guessing. Every way that starts from the old weights is ahead of
# it. Among these, the head alone is behind those that let the trunk learn too.
#
# ### With five times the steps, and with fewer and more pictures
#
# Is it only that training from scratch needs more time? The next figure shows recorded runs of 240 steps. (`python
# tutorials/record.py fine_tuning` makes them again.)

# %%
about, records = tutor.recorded("fine_tuning")
print(f"{about['command']}\n{about['what']}\n{about['machine']}, {about['date']}, seeds {about['seeds']}")


def accuracies(way, count):
    return [100 * r["test_accuracy"] for r in records if (r["way"], r["pictures"]) == (way, count)]


dots({way: accuracies(way, 20) for way in ("from scratch", *WAYS)}, quantity="test accuracy (%)", chance=100 / 15,
     title="Recorded: 20 pictures a class, 240 steps (head only: five times as many)")

# %%
counts = sorted({r["pictures"] for r in records})
lines = {name: (counts, np.transpose([accuracies(way, count) for count in counts]))
         for name, way in (("from scratch", "from scratch"), ("fine-tuned, everything learns", "everything"))}
spread({"Recorded: Letters-15, about 240 steps": lines}, xlabel="training pictures a class", ylabel="test accuracy (%)")

# %% [markdown]
# What these runs show:
#
# - Fine-tuning with everything free is ahead of training from scratch with 5, with 20 and with 60 pictures a class, and in
#   all three seeds. With 240 steps training from scratch has learned far more than above, but the gap is still there.
# - The head alone stays far behind, in 1,200 steps too: what the trunk computes for shapes is not enough to tell fifteen
#   letters apart. The trunk must move.
# - Gradual unfreezing ends where "everything" ends. Rates per stage end lower: they hold back the early stages, which here
#   have something to learn.
#
# So the ranking of the ways is a question of the two tasks. Here they are alike enough for the weights to be a good start,
# and too different for a frozen trunk. All ways used one learning rate; a rate tuned for each might move them a little.
#
# ## The same on the command line, and the way back
#
# ```
# resnet-np finetune weights/shapes10-resnet14-width8.safetensors --data MY_PHOTOS --preset gradual
# ```
#
# `MY_PHOTOS` is a folder with a folder a class. From Python it looks like this. Everything is kept in a run folder, as in
# notebook 6.

# %%
config = finetune_preset("whole", weights=str(WEIGHTS), epochs=8, batch_size=32, lr=0.03, augment=False)
with tempfile.TemporaryDirectory() as place:
    with RunFolder.open(Path(place) / "run", resume=False) as folder:
        run = FinetuneRun(config, pictures, folder, load_weights(None, WEIGHTS).checkpoint)
        carry_out(run, resume=False, say=lambda line: print(line.replace(str(folder.path), "RUN")), progress=False)
        best = load_checkpoint(folder.best)
    # a file for others, under the names that PyTorch knows; load_weights reads it back
    file = Path(place) / "letters15.safetensors"
    print("\n", export(best, file), " tensors exported, ", file.stat().st_size // 1000, " kB", sep="")
    mine = load_weights(None, file).checkpoint
print("classes", *mine.class_names)

# %% [markdown]
# A star marks an epoch that is kept so far. That epoch 7 has one is the one-standard-error rule of notebook 6: on 30 pictures
# 63.3 % is one picture less than 66.7 %, and the standard error is 9 points. So the latest epoch is kept, and the validation loss
# agrees.
#
# The caution above is about the same 30 pictures. It does not know your task: of what it suggests, the head alone stayed behind in
# our comparison, and mirrored letters are no letters.
#
# ## How do I get probabilities for many classes?
#
# The net returns logits, one a class: any numbers. The softmax makes probabilities of them, however many classes there are:
#
# $$ p_k = \frac{e^{z_k}}{\sum_j e^{z_j}} $$
#
# We look at one test picture: all fifteen of them.

# %%
place = int(np.flatnonzero(pictures.test_labels == pictures.classes.index("K"))[0])
logits = mine.net.forward(mine.normaliser(pictures.test_images[place:place + 1]), training=False)
probabilities = F.softmax(logits)
print(f"logits {logits.shape}, probabilities add up to {probabilities.sum():.6f}")
scores(logits[0], probabilities[0], mine.class_names, label=int(pictures.test_labels[place]))

# %%
for prediction, label in zip(predict(mine, pictures.test_images[:5], top=3), pictures.test_labels[:5], strict=True):
    print(f"true {pictures.classes[label]}:  " + "   ".join(f"{name} {probability:6.1%}" for name, probability in prediction.top))

# %% [markdown]
# ### Exercise 8.3
#
# Write the softmax for logits `(N, K)`, each row a picture. Mind large logits: $e^{1000}$ is infinite. (Subtracting a number
# from all logits of a row changes nothing. Why?)

# %%
def softmax(logits):
    ...  # your code


tutor.check("8.3", softmax)

# %% [markdown]
# ### Exercise 8.4
#
# The most frequent mistake with other people's weights: pictures are prepared in another way than in training. Write what
# must happen to pictures (uint8, `(N, 3, H, W)`) before they are shown to `checkpoint.net`. You need two things:
# `resnet_np.data.resize(pictures, size)`, and what the checkpoint knows.

# %%
def prepare(pictures, checkpoint):
    ...  # your code


tutor.check("8.4", prepare)

# %% [markdown]
# ## Summary
#
# - A checkpoint is a net with its normaliser, its picture size and its class names. Use all of them.
# - Other classes need a new head. The trunk may stay.
# - Frozen means: no gradients, and no new statistics in batch norm.
# - On Letters-15, starting from weights learned on other pictures beat starting from nothing at every number of pictures that
#   we tried. Freezing the trunk did not pay there.
# - A softmax gives probabilities for any number of classes, but it always answers, even for pictures of another world.
#
# **Where the code lives**: `resnet_np/models/transfer.py` (head, freezing), `resnet_np/training/finetune.py` (the run),
# `resnet_np/models/foreign/` (weight files), `resnet_np/training/predict.py`; the letters are drawn by
# `data_tools/letters.py`; the recipe of the weights stands in `tutorials/weights/README.md`.
#
# **Next**: notebook 9, look inside.
