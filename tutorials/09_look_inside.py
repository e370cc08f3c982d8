# %% [markdown]
# # 9. Look inside
#
# **What you will learn**
#
# - To draw what a trained net has learned: the filters of its first layer, and its feature maps block by block.
# - Grad-CAM: where in a picture a class is seen. We compute it with our own backward passes.
# - To test such a picture before you believe it.
# - To find what a net confuses, and its most confident mistakes.
# - What the "response magnitudes" of the ResNet paper are, and what batch norm has to do with them.
#
# **You need**: notebooks 2 (backward), 3 (batch norm) and 5 (the parts of a ResNet).
#
# **Time**: 45 minutes.

# %%
# %matplotlib inline
import inspect
from pathlib import Path

import numpy as np

import data_tools
from resnet_np import functional as F
from resnet_np import tutor
from resnet_np.data import evaluation_batches
from resnet_np.data.resize import interpolation
from resnet_np.models import load_weights, resnet_cifar
from resnet_np.models.inspect import class_gradient, feature_maps, grad_cam, places, responses
from resnet_np.training.answers import answers
from resnet_np.viz.confusion import confusion
from resnet_np.viz.dots import dots
from resnet_np.viz.features import features
from resnet_np.viz.filters import filters
from resnet_np.viz.heat import heat_maps
from resnet_np.viz.mistakes import mistakes
from resnet_np.viz.responses import responses as draw_responses

DATA = "shapes10"  # "cifar10" where you have it, and below a net of yours that knows it: Path("..", "runs", ..., "best.npz")
WEIGHTS = Path("weights", "shapes10-resnet14-width8.safetensors")

# %% [markdown]
# ## A trained net
#
# We look into a ResNet-14 with 8, 16 and 32 filters in its three stages, half as many as in the paper. It was trained on
# Shapes-10; `weights/README.md` says how. With the weights come the class names and the normaliser: how pixels must be scaled
# for this net.

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
checkpoint = load_weights(None, WEIGHTS).checkpoint
net, normaliser, classes = checkpoint.net, checkpoint.normaliser, checkpoint.class_names
print(", ".join(classes))
print("What a picture goes through:", ", ".join(places(net)))

# %% [markdown]
# How good is it? `answers` runs the net in evaluation over all test pictures, and keeps a row of probabilities for each.

# %%
batches = evaluation_batches(pictures.test_images, pictures.test_labels, normaliser, batch_size=250)
found = answers(net, batches)
print("probabilities", found.probabilities.shape)
print(f"right: {(found.chosen == found.labels).mean():.2%} of {len(found.labels):,} test pictures")

# %% [markdown]
# For comparison we keep a net of the same kind that has learned nothing.

# %%
fresh = resnet_cifar(14, width=8, seed=1)

# %% [markdown]
# ## The filters of the first layer
#
# A filter of the first layer has the weights $w$ of shape `(3, KH, KW)`: one number for red, green and blue at each of $3 \times
# 3$ pixels. Three numbers a pixel are a colour, so we can draw the filter as a small picture. Weights may be negative. We draw a
# weight of 0 as mid-grey, and divide by the largest weight of the filter, so that the strongest colour is as strong as it can be.
#
# The fresh net first: random numbers, random colours.

# %%
filters(fresh.stem.conv1.weight.data, name="conv1 of the fresh net")

# %%
filters(net.stem.conv1.weight.data, name="conv1 of the trained net")

# %% [markdown]
# Filters of $3 \times 3$ pixels are too small to show much. Number 3 is light above and dark below: it answers to horizontal edges.
#
# Now look at the colours together with the numbers below. The strong filters of the trained net (2, 3, 5) are nearly grey; the
# colourful ones (1, 4, 7) are weak. In the fresh net all are colourful.
#
# Let us put a number on it. We split each filter into its grey part, the mean over the three colours, and the rest. The share of
# the grey part in the sum of squares is 1/3 for random numbers.

# %%


def grey_share(w):
    grey = np.broadcast_to(w.mean(axis=1, keepdims=True), w.shape)
    return float((grey**2).sum() / (w**2).sum())


untrained = [resnet_cifar(14, width=8, seed=seed).stem.conv1.weight.data for seed in range(5)]
print("fresh nets, five seeds:", [round(grey_share(w), 2) for w in untrained])
print("the trained net:       ", round(grey_share(net.stem.conv1.weight.data), 2))

# %% [markdown]
# Shapes-10 is drawn so that colours say nothing about the class. The net has found that out: its first layer mostly looks at light
# and dark. Nobody told it so. (One trained net is one observation. On photos, where colours help, expect another picture.)
#
# ### Exercise 9.1: draw a filter
#
# Write a function that turns the weights `w` of one filter, shape `(3, KH, KW)`, into a colour picture of shape `(KH, KW, 3)` with
# values from 0 to 1: a weight of 0 becomes 0.5, and the largest weight in absolute value becomes 1, or 0 if it is negative.

# %%


def filter_picture(w):
    ...  # your code


tutor.check("9.1", filter_picture)

# %% [markdown]
# ## Feature maps, block by block
#
# Behind the first layer channels are no colours any more, so we look at what comes *out*. `feature_maps` sends a picture through
# the parts of the net, one after the other, and keeps what each of them hands on.

# %%
print(inspect.getsource(feature_maps))

# %%
number = 3
picture = pictures.test_images[number]
x = normaliser(picture[None])  # (1, 3, 32, 32)
maps = feature_maps(net, x)
for name, array in maps.items():
    print(f"{name:9} {array.shape}")

# %% [markdown]
# Each stage halves the size of the maps and doubles their number. The figure shows eight channels of each place: those whose pixels
# differ most from one another.

# %%
features({name: array[0] for name, array in maps.items()}, picture)

# %% [markdown]
# Read it from top to bottom.
#
# - In stage 1 you recognise the picture. The maps show its outlines, many of them from one side only.
# - In stage 2 pieces of the outline are left, roughly in their places.
# - In stage 3 you see where the shape is, but no longer what it is. *What* must now lie in the channels that are lit.
#
# Is that so? We take the brightest of the last maps, and ask how bright it is on average for pictures of each class.

# %%
batch, labels = normaliser(pictures.test_images[:300]), pictures.test_labels[:300]
c = int(maps["layer3.1"][0].max(axis=(1, 2)).argmax())
brightness = feature_maps(net, batch)["layer3.1"][:, c].mean(axis=(1, 2))  # (N,)
print(f"channel {c} of layer3.1")
for label, name in enumerate(classes):
    mean = brightness[labels == label].mean()
    print(f"{name:10} {mean:5.2f}  {'#' * round(8 * mean)}")

# %% [markdown]
# The channel is bright for circles and hearts, less so for crescents and rings, and dark for everything with straight sides. It
# has become something like "round".
#
# `resnet-np show RUN features` draws the maps of your own net.
#
# Every map went through a ReLU, so many pixels are exactly 0. How many?

# %%
others = feature_maps(fresh, batch)
print("share of zeros   trained   fresh")
for name, array in feature_maps(net, batch).items():
    print(f"{name:16} {(array == 0).mean():7.0%} {(others[name] == 0).mean():7.0%}")

# %% [markdown]
# Half of what the last block hands on is 0. In the fresh net it is a third. Training has made stages 2 and 3 more silent.
#
# ## Grad-CAM: where is a class seen?
#
# The net says "circle". Which part of the picture made it say so? Selvaraju et al. (2017) ask the gradient. Take the maps $A$ of
# the last block, of shape $(C, OH, OW)$, and the logit $y_k$ of class $k$:
#
# 1. What is channel $c$ worth to the class? The mean of its gradient:
#    $\alpha_c = \frac{1}{OH \cdot OW} \sum_{i,j} \frac{\partial y_k}{\partial A_{cij}}$
# 2. Where are the valuable channels active? The weighted sum of the maps, without what speaks against the class:
#    $\text{heat} = \mathrm{ReLU}\left( \sum_c \alpha_c A_c \right)$
#
# The gradient comes from the backward passes of notebook 2. Only the beginning is new. In training, backward begins with the
# gradient of the loss. Here we want to know how *one logit* moves. So the gradient that we send back is 1 at the class and 0
# elsewhere. And we stop at the last block instead of going back to the picture. The forward pass evaluates (running statistics),
# but keeps the caches that backward needs: `keep_cache=True`.

# %%
print(inspect.getsource(class_gradient))

# %%
k = int(found.chosen[number])
maps_, gradient, logits = class_gradient(net, x, np.array([k]))
print("answer   ", classes[k])
print("maps     ", maps_.shape)
print("gradient ", gradient.shape)
print("logits   ", logits.round(1)[0])

# %% [markdown]
# Is the gradient right? We ask finite differences, as in notebook 2: make one pixel of one map larger by 0.01, and send the maps
# through the rest of the net.

# %%
rest = list(places(net).values())[list(places(net)).index("layer3.1") + 1:]
c, i, j, step = 5, 3, 4, 0.01
moved = maps_.copy()
moved[0, c, i, j] += step
for part in rest:
    moved = part.forward(moved, training=False)
print("finite differences", (moved[0, k] - logits[0, k]) / step)
print("backward          ", gradient[0, c, i, j])

# %% [markdown]
# Now the two steps of Grad-CAM, one line each.

# %%
alpha = gradient.mean(axis=(2, 3))  # (N, C)
heat = np.maximum(np.einsum("nc,nchw->nhw", alpha, maps_), 0)  # (N, OH, OW)
print("alpha", alpha.shape, "from", alpha.min().round(3), "to", alpha.max().round(3))
print(heat[0].round(2))

# %% [markdown]
# Eight by eight numbers, large where the class is seen. At the last block they have a meaning of their own: before the ReLU they
# add up to the logit, but for the bias of the last layer.

# %%
print("sum of the map ", np.einsum("nc,nchw->n", alpha, maps_)[0])
print("logit less bias", logits[0, k] - net.named_parameters()["fc.bias"].data[k])

# %% [markdown]
# So the map shares the logit out among the pixels. `grad_cam` does the same and stretches the map over the picture.

# %%
print(inspect.getsource(grad_cam))

# %%
shown = [int(np.flatnonzero(found.labels == label)[0]) for label in (0, 2, 4, 5, 6, 8)]  # the first picture of six classes
x = normaliser(pictures.test_images[shown])
heats = grad_cam(net, x)[:, None]  # no class given: of each picture the net's answer
heat_maps(pictures.test_images[shown], heats, [classes[found.labels[n]] for n in shown],
          [[f"answer: {classes[found.chosen[n]]}" for n in shown]])

# %% [markdown]
# The heat lies on the shapes, and not on the bars and blobs around them. It is coarse: one pixel of the last maps stands for
# $4 \times 4$ pixels of the picture.
#
# The same can be computed behind every stage. Earlier maps are finer. Are they better?

# %%
stages = ["layer3", "layer2", "layer1"]
one = normaliser(picture[None])
heat_maps(picture[None], np.stack([grad_cam(net, one, at=stage)[0] for stage in stages])[None], [classes[found.labels[number]]],
          [[f"behind {stage}"] for stage in stages])

# %% [markdown]
# Behind stage 2 the heat follows a part of the outline. Behind stage 1 hardly anything is left. Grad-CAM gives each channel *one*
# number, the mean of its gradient. At the last block the gradient is the same at all pixels, so the mean loses nothing. Further
# down the same edge speaks for the class in one place and against it in another, and the mean says little. That is why Grad-CAM
# is used at the last block.
#
# ### Exercise 9.2: without a backward pass
#
# Behind the last block there is only the mean over the pixels, and a linear layer with the weights `weight`, shape `(K, C)`:
#
# $y_k = \sum_c w_{kc} \cdot \frac{1}{OH \cdot OW} \sum_{i,j} A_{cij} + b_k$
#
# So the gradient can be written down. Return $\alpha$, shape `(C,)`, for class `k` and maps of `OH` times `OW` pixels. (This
# special case is older than Grad-CAM: the "class activation map" of Zhou et al. 2016.)

# %%


def channel_weights(weight, k, OH, OW):
    ...  # your code


tutor.check("9.2", channel_weights)

# %% [markdown]
# ### Exercise 9.3: the heat map
#
# From the maps and the gradient at any place, both `(C, OH, OW)`, compute the heat map `(OH, OW)`.

# %%


def heat_map(maps, gradient):
    ...  # your code


tutor.check("9.3", heat_map)

# %% [markdown]
# ## Is it true?
#
# A heat map looks convincing. That is no proof. If the hot pixels matter to the net, it should fail when they are covered. So:
# cover the hottest quarter of each picture with grey, and count the right answers. But shapes lie near the middle and are bright,
# so covering *any* quarter there may do harm. We need something to compare with:
#
# - the coldest quarter,
# - a quarter in soft blobs at random places,
# - the middle of the picture, without any net,
# - the hottest quarter by Grad-CAM of the **fresh** net, which has learned nothing (a test that Adebayo et al. 2018 proposed).

# %%


def cover(x, order):
    """The quarter of the pixels with the highest order (N, H, W) becomes 0, the mean colour of the training pictures."""
    limit = np.quantile(order, 0.75, axis=(1, 2), keepdims=True)
    return np.where((order > limit)[:, None], np.float32(0), x)


def accuracy(x, labels):
    return 100 * (net.forward(x, training=False).argmax(axis=1) == labels).mean()


rng = np.random.default_rng(0)
H = W = checkpoint.image_size
rows, columns = np.mgrid[:H, :W]
distance = np.hypot(rows - (H - 1) / 2, columns - (W - 1) / 2)  # from the middle
tie = 1e-6 * rng.random((H, W))  # many cold pixels are exactly 0: chance decides between them
ways = {
    "coldest quarter": lambda x: tie - grad_cam(net, x),
    "blobs at random": lambda x: interpolation(4, H) @ rng.random((len(x), 4, 4)) @ interpolation(4, W).T,
    "hottest quarter, fresh net": lambda x: tie + grad_cam(fresh, x),
    "the middle": lambda x: np.broadcast_to(-distance, (len(x), H, W)),
    "hottest quarter": lambda x: tie + grad_cam(net, x),
}

# %%
runs = {name: [] for name in ("nothing", *ways)}
for start in (0, 300, 600):  # three times 300 test pictures
    x, labels = normaliser(pictures.test_images[start:start + 300]), pictures.test_labels[start:start + 300]
    runs["nothing"].append(accuracy(x, labels))
    for name, order in ways.items():
        runs[name].append(accuracy(cover(x, order(x)), labels))
dots(runs, quantity="right answers (%)", title="What is left when a quarter of the picture is covered", chance=10)

# %% [markdown]
# - The hottest quarter matters. Without it the net is not far from guessing. The coldest quarter hardly matters.
# - But the middle of the picture, which no net has chosen, matters nearly as much. And the map of a net that has learned *nothing*
#   does far more harm than blobs at random: shapes are brighter than their ground, and bright pixels light up random filters too.
#
# So most of what makes these maps convincing is "the shape lies near the middle, and is bright". Grad-CAM of the trained net adds
# something to that, in all three sets of pictures, but less than the figure above suggested. A heat map needs something to be
# compared with.
#
# ## What is taken for what?
#
# Now to the mistakes. A row is a true class, a column an answer.

# %%
confusion(found.confusion, classes)

# %% [markdown]
# Of 35 mistakes 13 went to "triangle": squares, and hourglasses, which are two triangles. Rings were taken for circles, but no
# circle for a ring.
#
# ## The most confident mistakes
#
# A mistake with 51 % is a narrow decision. A mistake with 99 % is worth a look: the label may be wrong, the picture may be
# misleading, or the net has learned something that we did not mean.

# %%
first = found.mistakes()[:12]
mistakes(pictures.test_images[first], found.labels[first], found.chosen[first], found.confidence[first], classes)

# %% [markdown]
# In nearly all of them a bar lies across the shape or along its edge. It hides a corner, or the hole of a ring. (Six of ten
# pictures of Shapes-10 have such a bar; here it is nearly every one.)
#
# What did the net see? For the first six we ask Grad-CAM twice: where is the answer seen, and where the true class?

# %%
six = first[:6]
x = normaliser(pictures.test_images[six])
heats = np.stack([grad_cam(net, x, found.chosen[six]), grad_cam(net, x, found.labels[six])], axis=1)
heat_maps(pictures.test_images[six], heats, [f"a {classes[found.labels[n]]}" for n in six],
          [[f"answer: {classes[found.chosen[n]]}" for n in six], [f"truth: {classes[found.labels[n]]}" for n in six]])

# %% [markdown]
# Both maps lie on the shape. So the net looked at the right place and drew the wrong conclusion. Grad-CAM says *where*, not
# *why*. The third and the fourth picture tell a little more: answer and truth rest on different parts of the shape.
#
# ### Exercise 9.4: find the mistakes
#
# From `probabilities` `(N, K)` and `labels` `(N,)` return the numbers of the `count` most confident mistakes, the most confident
# first.

# %%


def confident_mistakes(probabilities, labels, count):
    ...  # your code


tutor.check("9.4", confident_mistakes)

# %% [markdown]
# ## Response magnitudes
#
# He et al. (2015, figure 7) measured how large the *responses* of the layers are: the standard deviation of what batch norm hands
# on, before addition and ReLU. They found smaller responses in ResNets than in plain nets, and smaller ones in deeper ResNets.
# Their reading: a residual branch only has to learn a small change of its input.
#
# First, what does this number measure? In training, batch norm divides each channel by its own deviation, and multiplies by
# $\gamma$. So whatever the convolution computes, the deviation of a channel is $|\gamma|$:

# %%
gamma, beta = np.array([0.5, 2.0]), np.array([0.0, 1.0])
for scale in (0.1, 1, 1000):
    out, _ = F.batchnorm_forward(scale * rng.standard_normal((50, 2, 8, 8)), gamma, beta, eps=1e-12)
    print(f"input times {scale:6}: standard deviation by channel {out.std(axis=(0, 2, 3)).round(4)}, of all {out.std():.4f}")

# %% [markdown]
# A fresh net has $\gamma = 1$ and $\beta = 0$ everywhere: all its responses are 1 in training. Figure 7 shows what training has
# made of
# $\gamma$ and $\beta$.
#
# `responses` measures it, in evaluation, over a batch of pictures.

# %%
for name, deviation in responses(net, batch).items():
    print(f"{name:14} {deviation:.2f}  {'#' * round(20 * deviation)}")

# %% [markdown]
# In each block `bn2` is what is added to the shortcut. In our net it grows towards the head: the last block adds more than any
# other.
#
# For the comparison with a plain net six nets were trained and recorded: 20 layers with and without shortcuts, three seeds each.

# %%
about, records = tutor.recorded("responses")
print(about["what"])
print(f"{about['command']}; {about['machine']}; {about['date']}")
for record in records:
    mean = np.mean(list(record["responses"].values()))
    print(f"{record['model']:9} seed {record['seed']}: {record['test_accuracy']:.1%} right, mean response {mean:.3f}")
draw_responses({model: np.array([list(record["responses"].values()) for record in records if record["model"] == model])
                for model in ("plain20", "resnet20")})

# %% [markdown]
# On average over the layers the residual nets have smaller responses, with each of the three seeds: 0.801 to 0.835 against 0.855
# to 0.885. That is the direction of the paper's figure. But the gap is small, and it is not in every layer. It lies in the first
# half. In the second half the residual nets have peaks, at layers 13, 15 and 19: the last layers of their blocks, which are added
# to the shortcut, where the plain nets stay low until the last layer.
#
# The paper trained for 64,000 steps, these runs had 560, and half the filters. So we say what we see, and no more: "a residual
# branch changes its input little" does not follow from this figure.
#
# ### Exercise 9.5: predict the response
#
# A batch norm layer has `gamma` and `beta`, both `(C,)`. Return the standard deviation of its output in training, over all
# pictures, channels and pixels together. (With one channel it is $|\gamma|$. With several, their means differ too.)

# %%


def response_deviation(gamma, beta):
    ...  # your code


tutor.check("9.5", response_deviation)

# %% [markdown]
# ## Summary
#
# - Filters of the first layer can be drawn as colour pictures. Ours became nearly grey, where colour says nothing.
# - Maps get smaller and more silent from block to block. In the last block a channel can stand for something like "round".
# - Grad-CAM is a backward pass from one logit to one block: `keep_cache=True`, a 1 at the class, and a weighted sum of maps.
# - A heat map must be compared with something: the middle of the picture explained most of ours.
# - The confusion matrix says what is taken for what; the most confident mistakes say where to look. Grad-CAM says where, not why.
# - Response magnitudes are what training makes of batch norm's $\gamma$ and $\beta$. In our short runs residual nets had smaller
#   ones   on average, but not in every layer.
#
# **Where the code lives**
#
# | what | where |
# |---|---|
# | feature maps, class gradients, Grad-CAM, responses | `resnet_np/models/inspect.py` |
# | the answers to many pictures, and the mistakes | `resnet_np/training/answers.py` |
# | the figures | `resnet_np/viz/`: `filters`, `features`, `heat`, `confusion`, `mistakes`, `responses` |
# | the same for your own runs | `resnet-np show RUN gradcam --picture cat.jpg --class cat` |
# | the recorded nets | `tutorials/record.py`, subject `responses` |
#
# **Next**: [10. Make it fast](10_make_it_fast.ipynb)
