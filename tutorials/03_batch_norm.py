# %% [markdown]
# # 3. Batch norm
#
# **What you will learn**
#
# - What batch normalisation computes, and over which values.
# - Its backward pass in six steps, each of them tested while you read.
# - Why training and evaluation differ, and how the running statistics follow the data.
# - What goes wrong with statistics over the batch axis alone.
# - Why a gradient check whose upstream gradient is all ones checks nothing here.
#
# **You need**: notebook 2 (finite differences, the checker).
#
# **Time**: 45 minutes.

# %%
# %matplotlib inline
import inspect

import numpy as np

import data_tools
from resnet_np import functional as F
from resnet_np import tutor
from resnet_np.data import Normaliser, TrainLoader, evaluation_batches
from resnet_np.errors import InputError
from resnet_np.gradcheck import check_entries, check_pair, require
from resnet_np.kernels.batchnorm import array
from resnet_np.layers import BatchNorm2d, Conv2d, GlobalAveragePool, Linear, ReLU, Sequential
from resnet_np.optim import SGD
from resnet_np.training import evaluate, training_step
from resnet_np.viz.spread import spread
from resnet_np.workspace import Workspace

np.set_printoptions(precision=4, suppress=True, linewidth=110)

DATA = "shapes10"  # "cifar10" where you have it

# %% [markdown]
# ## Forward: steps (1) and (2)
#
# A batch norm sits behind every convolution of a ResNet. It takes all the values that one filter has computed, over all N
# pictures and all H x W places: M = N H W numbers. It shifts and scales them to mean 0 and variance 1. Then two learned numbers a
# channel, `gamma` and `beta`, give them any other scale and mean.
#
# $$ \hat{x} = \frac{x - mean}{\sqrt{var + eps}}, \qquad out = gamma \; \hat{x} + beta $$

# %%
rng = np.random.default_rng(0)
N, C, H, W = 4, 2, 3, 3
M = N * H * W
x = rng.standard_normal((N, C, H, W)) * np.array([3, 0.5])[:, None, None] + np.array([10, -1])[:, None, None]
gamma, beta = np.array([1.5, 0.5]), np.array([0.0, 2.0])
eps = 1e-5


def column(values):
    """(C,) -> (C, 1, 1): one number a channel, against (N, C, H, W)."""
    return values[:, None, None]


out, cache = F.batchnorm_forward(x, gamma, beta, eps=eps)
x_hat = (x - column(cache.mean)) * column(cache.inv_std)
print("channel                0         1")
for name, values in (("mean of x", x.mean((0, 2, 3))), ("cache.mean", cache.mean), ("variance of x", x.var((0, 2, 3))),
                     ("cache.var", cache.var), ("mean of x_hat", x_hat.mean((0, 2, 3))),
                     ("variance of x_hat", x_hat.var((0, 2, 3))), ("mean of out", out.mean((0, 2, 3))),
                     ("deviation of out", out.std((0, 2, 3)))):
    print(f"{name:17} {values[0]:9.5f} {values[1]:9.5f}")

# %% [markdown]
# Mean and deviation of the outputs are `beta` and `gamma`, whatever the mean and the scale of `x` were. `eps` is a small number
# that keeps a constant channel from a division by 0; because of it the variance is not 1 exactly.
#
# ### Exercise 3.1
#
# Compute `x_hat` for any `x` of shape (N, C, H, W).

# %%
def normalise(x, eps):
    ...  # your code


tutor.check("3.1", normalise)

# %% [markdown]
# ## Backward, in steps
#
# Here is the derivation as it stands above the code that computes it.

# %%
print(array.__doc__)

# %% [markdown]
# We test each step. `check_entries` compares any gradient with finite differences of any function (notebook 2). So we can hold
# everything but one quantity fixed, and look at one line of the derivation alone.

# %%
dout = rng.standard_normal(x.shape)


def confirm(step, f, arrays, gradients):
    for report in check_entries(f, arrays, gradients, upstream=dout):
        print(f"{step:5} d{report.name:8} relative error {report.error:.0e}")
        require([report])


# (3) what is learned, and the way to x_hat
dbeta = dout.sum((0, 2, 3))
dgamma = (dout * x_hat).sum((0, 2, 3))
dx_hat = column(gamma) * dout
confirm("(3)", lambda x_hat, gamma, beta: column(gamma) * x_hat + column(beta),
        {"x_hat": x_hat, "gamma": gamma, "beta": beta}, {"x_hat": dx_hat, "gamma": dgamma, "beta": dbeta})

# %% [markdown]
# Step (4): $\hat{x}$ depends on $x$ in three ways: directly, through the mean, and through `inv_std`. First how the loss depends
# on `inv_std` with the rest held fixed, then on the variance, then on the mean.

# %%
centred = x - column(cache.mean)
dinv_std = (dx_hat * centred).sum((0, 2, 3))
confirm("(4)", lambda inv_std: column(gamma) * centred * column(inv_std), {"inv_std": cache.inv_std}, {"inv_std": dinv_std})

dvar = dinv_std * -0.5 * (cache.var + eps) ** -1.5
confirm("(4)", lambda var: column(gamma) * centred / np.sqrt(column(var) + eps), {"var": cache.var}, {"var": dvar})

dmean = -cache.inv_std * dx_hat.sum((0, 2, 3))
confirm("(4)", lambda mean: column(gamma) * (x - column(mean)) * column(cache.inv_std), {"mean": cache.mean}, {"mean": dmean})
print("the way from the mean through the variance: sum of x - mean, a channel:", centred.sum((0, 2, 3)), "so it adds nothing")

# %% [markdown]
# Now the three ways are added. Each $x$ moves the mean by 1/M, and the variance by $2(x - mean)/M$.

# %%
direct = column(cache.inv_std) * dx_hat
through_var = column(dvar) * 2 * centred / M
through_mean = column(dmean) / M
dx = direct + through_var + through_mean
confirm("(4)", lambda x: F.batchnorm_forward(x, gamma, beta, eps=eps)[0], {"x": x}, {"x": dx})

short = column(gamma * cache.inv_std) * (dout - column(dbeta) / M - x_hat * column(dgamma) / M)
print("(5) the short form differs from the three ways by at most", f"{np.abs(short - dx).max():.0e}")
library = F.batchnorm_backward(dout, cache).dx
print("    and from F.batchnorm_backward by at most             ", f"{np.abs(short - library).max():.0e}")

# %% [markdown]
# Step (6) is the case where the statistics are constants: evaluation, or a frozen layer. Two of the three ways are then closed.

# %%
_, frozen = F.batchnorm_frozen_forward(x, gamma, beta, cache.mean, cache.var, eps=eps)
dx_frozen = F.batchnorm_frozen_backward(dout, frozen).dx
confirm("(6)", lambda x: F.batchnorm_frozen_forward(x, gamma, beta, cache.mean, cache.var, eps=eps)[0], {"x": x}, {"x": dx_frozen})
print("    the largest entry of dx:", f"{np.abs(dx_frozen).max():.3f} frozen, {np.abs(dx).max():.3f} in training;",
      f"the largest difference: {np.abs(dx_frozen - dx).max():.3f}")

# %% [markdown]
# ## What step (5) says
#
# Batch norm undoes every shift and every scaling of its input. So a shift and a scaling of $x$ cannot change the loss, and the
# gradient cannot point in their direction. This gives two identities that need no finite differences: in every channel, `dx` sums
# to 0, and so does `dx` times $\hat{x}$ (apart from `eps`).

# %%
print(f"largest |sum of dx| of a channel:        {np.abs(dx.sum((0, 2, 3))).max():.0e}")
print(f"largest |sum of dx x_hat| of a channel:  {np.abs((dx * x_hat).sum((0, 2, 3))).max():.0e}")
shifted = F.batchnorm_forward(x + 100, gamma, beta, eps=eps)[0]
scaled = F.batchnorm_forward(x * 100, gamma, beta, eps=eps)[0]
print(f"largest change of out if x grows by 100: {np.abs(shifted - out).max():.0e}")
print(f"largest change of out if x is multiplied by 100: {np.abs(scaled - out).max():.0e}")

# %% [markdown]
# That is what step (5) does: it takes `dout` and removes its part along the constant (`dbeta / M`) and its part along $\hat{x}$
# (`x_hat dgamma / M`). A classic bug is to forget this, and to treat mean and variance as constants in training. That is step (6)
# in the place of step (5).
#
# ### Exercise 3.2
#
# Write step (5). `gamma` and `inv_std` have shape (C,), the others (N, C, H, W).

# %%
def input_gradient(dout, x_hat, gamma, inv_std):
    ...  # your code


tutor.check("3.2", input_gradient)

# %% [markdown]
# ## A check that checks nothing
#
# A tempting gradient check uses the loss `out.sum()`. Its upstream gradient is 1 everywhere. But the outputs of batch norm sum to
# M beta in each channel, whatever $x$ is. The true gradient of $x$ is 0. Then a backward pass that multiplies by 7, or one that
# returns nothing but zeros, passes too:

# %%
ones = np.ones_like(x)
h, e = 1e-5, np.zeros_like(x)
e[0, 0, 0, 0] = h
numeric = (F.batchnorm_forward(x + e, gamma, beta)[0].sum() - F.batchnorm_forward(x - e, gamma, beta)[0].sum()) / (2 * h)
true = F.batchnorm_backward(ones, cache).dx[0, 0, 0, 0]
print(f"upstream ones: finite difference {numeric:.1e}, backward {true:.1e}, seven times backward {7 * true:.1e}, zero 0")

upstream = rng.standard_normal(x.shape)
true = F.batchnorm_backward(upstream, cache).dx[0, 0, 0, 0]
numeric = (np.sum(upstream * F.batchnorm_forward(x + e, gamma, beta)[0])
           - np.sum(upstream * F.batchnorm_forward(x - e, gamma, beta)[0])) / (2 * h)
print(f"random upstream: finite difference {numeric:.6f}, backward {true:.6f}, seven times backward {7 * true:.6f}, zero 0")

# %% [markdown]
# With random numbers the three are told apart. The checker of this project refuses ones:

# %%
try:
    check_entries(lambda x: F.batchnorm_forward(x, gamma, beta)[0], {"x": x}, {"x": np.zeros_like(x)}, upstream=ones)
except InputError as error:
    print(error)

# %% [markdown]
# And this is what it says of the classic bug, statistics as constants, with a random upstream gradient:

# %%
def as_constants(dout, cache):
    right = F.batchnorm_backward(dout, cache)
    return {"x": column(cache.gamma * cache.inv_std) * dout, "gamma": right.dgamma, "beta": right.dbeta}


for report in check_pair(F.batchnorm_forward, as_constants, {"x": x, "gamma": gamma, "beta": beta}, rng=np.random.default_rng(1)):
    print(report.describe(1e-6))

# %% [markdown]
# ## Training and evaluation
#
# In training, the answer for a picture depends on the other pictures of its batch: they share the mean and the variance. For
# somebody who shows the net one photo that is no good. So the layer keeps *running statistics* while it trains and uses them, as
# constants, when it evaluates.

# %%
layer = BatchNorm2d(1)
picture = np.array([1.0, 2, 3, 4], np.float32).reshape(1, 1, 2, 2)
for name, companion in (("dark", picture - 3), ("bright", picture + 3)):
    batch = np.concatenate([picture, companion])
    trained = F.batchnorm_forward(batch, layer.weight.data, layer.bias.data)[0][0, 0].ravel()
    evaluated = layer.forward(batch, training=False)[0, 0].ravel()
    print(f"{name:6} companion: in training {trained}   in evaluation {evaluated}")

# %% [markdown]
# The running statistics begin at mean 0 and variance 1. Every training batch moves them a little:
#
# $$ running \leftarrow (1 - momentum) \; running + momentum \; batch $$
#
# Here `momentum` is the weight of the *new* batch, 0.1 as a rule. This is PyTorch's convention. Keras calls the weight of the
# *old* value momentum: its 0.9 is our 0.1. We give the layer 60 batches of numbers with mean 3 and variance 4, three times with
# other random numbers, and watch.

# %%
def followed(momentum, seed, steps=60):
    """-> the running mean and variance after each batch of 4 pictures of 2x2."""
    rng, layer = np.random.default_rng(seed), BatchNorm2d(1, momentum=momentum)
    path = [(layer.buffers["running_mean"][0], layer.buffers["running_var"][0])]
    for _ in range(steps):
        layer.forward(rng.normal(3, 2, (4, 1, 2, 2)).astype(np.float32), training=True)
        path.append((layer.buffers["running_mean"][0], layer.buffers["running_var"][0]))
    return np.array(path)


batches = range(61)
paths = {momentum: np.array([followed(momentum, seed) for seed in range(3)]) for momentum in (0.1, 0.02, 0.9)}
spread({title: {f"momentum {momentum}": (batches, path[:, :, i]) for momentum, path in paths.items()}
        for i, title in enumerate(("running mean (data: 3)", "running variance (data: 4)"))},
       xlabel="batches seen", ylabel="running statistic")

# %% [markdown]
# With 0.1 the mean has made most of its way after 20 to 30 batches: what is left of the start is $0.9^t$, 12 % after 20 batches.
# With 0.02 it is still on its way after 60. With 0.9, which is what you get if you copy a number from Keras, it arrives at once
# and then trembles with every batch: it remembers hardly more than the last one.

# %%
for momentum, path in paths.items():
    moves = np.abs(np.diff(path[:, 30:, 0], axis=1)).mean()
    print(f"momentum {momentum:<4}  after 60 batches: mean {path[:, -1, 0].mean():.2f}, variance {path[:, -1, 1].mean():.2f};"
          f"  the running mean moves by {moves:.2f} a batch")
print("\n" + inspect.getsource(F.update_running))

# %% [markdown]
# One detail: to normalise, the batch's *biased* variance is used (sum divided by M). What is stored is the *unbiased* one
# (divided by M - 1), because it shall estimate the variance of pictures that are not in the batch.
#
# ### Exercise 3.3
#
# Write the update of the running variance for one channel. `var` is the biased variance of the batch, `count` is M.

# %%
def update(running_var, var, count, momentum):
    ...  # your code


tutor.check("3.3", update)

# %% [markdown]
# ### Exercise 3.4
#
# In evaluation batch norm is a straight line: `out = x * scale + shift`, with one scale and one shift a channel. Return `(scale,
# shift)`, both of shape (C,). (This is how batch norm can vanish into the convolution before it when a net is only used.)

# %%
def fold(gamma, beta, mean, var, eps):
    ...  # your code


tutor.check("3.4", fold)

# %% [markdown]
# ## The wrong axes
#
# Why over N, H and W? A filter computes the same thing at every place, so its values at all places belong together. A tempting
# mistake is to take the statistics over the axis of the batch alone, as one would for a table. Then every pixel of every channel
# is normalised for itself. No shape complains. We need no new code to see it: the library's batch norm on an array whose pixels
# were moved to the channel axis does just that.

# %%
def over_batch_alone(x):
    N = len(x)
    every_pixel_a_channel = x.reshape(N, -1, 1, 1)
    ones, zeros = np.ones(every_pixel_a_channel.shape[1]), np.zeros(every_pixel_a_channel.shape[1])
    return F.batchnorm_forward(every_pixel_a_channel, ones, zeros)[0].reshape(x.shape)


pair = np.array([[9.0, 9, 9, 1, 1, 1, 5, 5, 5], [3.0, 4, 5, 3, 4, 5, 3, 4, 6]]).reshape(2, 1, 3, 3)
print("two pictures\n", np.hstack([pair[0, 0], pair[1, 0]]), sep="")
print("over N, H, W\n", np.hstack(list(F.batchnorm_forward(pair, np.ones(1), np.zeros(1))[0][:, 0])), sep="")
print("over N alone\n", np.hstack(list(over_batch_alone(pair)[:, 0])), sep="")

# %% [markdown]
# With a batch of two, only "more than the other" or "less than the other" is left of every pixel. The bars of the first picture
# and the slope of the second are gone. A larger batch keeps more. But still every place has its own mean and variance, and the
# running statistics need one number a pixel.
#
# How bad is it? We let two small nets learn, which differ in this alone: four convolutions with batch norm, 16x16 pictures, ten
# pictures a batch. The layer with the wrong axes uses the library's pair, on the array seen as above.

# %%
class WrongAxes(BatchNorm2d):
    """Statistics over N alone: each of the C*H*W values of a picture has its own; gamma and beta stay one a channel."""

    def __init__(self, channels, side):
        super().__init__(channels)
        self.side = side
        self.buffers["running_mean"] = np.zeros(channels * side * side, np.float32)
        self.buffers["running_var"] = np.ones(channels * side * side, np.float32)

    def forward(self, x, *, training, keep_cache=None):
        flat = x.reshape(len(x), -1, 1, 1)
        gamma, beta = (np.repeat(p.data, self.side**2) for p in (self.weight, self.bias))
        if training:
            out, cache = F.batchnorm_forward(flat, gamma, beta, eps=self.eps)
            self.follow(cache)
        else:
            out, cache = F.batchnorm_frozen_forward(flat, gamma, beta, *self.buffers.values(), eps=self.eps)
        self._keep(cache, training, keep_cache)
        return out.reshape(x.shape)

    def backward(self, dout):
        dx, dgamma, dbeta = F.batchnorm_backward(dout.reshape(len(dout), -1, 1, 1), self._take())
        self.weight.accumulate(dgamma.reshape(-1, self.side**2).sum(1))
        self.bias.accumulate(dbeta.reshape(-1, self.side**2).sum(1))
        return dx.reshape(dout.shape)


def small_net(norm, seed):
    rng, layers, channels = np.random.default_rng(seed), {}, 3
    for i, (filters, side) in enumerate(((8, 16), (16, 8), (16, 8), (32, 4))):
        layers[f"conv{i}"] = Conv2d(channels, filters, 3, stride=2 if i in (1, 3) else 1, pad=1, rng=rng)
        layers[f"bn{i}"] = WrongAxes(filters, side) if norm == "over N alone" else BatchNorm2d(filters)
        layers[f"relu{i}"] = ReLU()
        channels = filters
    return Sequential(**layers, pool=GlobalAveragePool(), fc=Linear(channels, 10, rng=rng))


# %%
pictures = data_tools.find(DATA, say=print, progress=False)
normaliser = Normaliser.measured(pictures.train_images)


def learn(norm, seed, *, count=2000, epochs=4, batch=10):
    """-> the mean loss of each quarter of an epoch, and the test accuracy."""
    net, memory = small_net(norm, seed), Workspace()
    loader = TrainLoader(pictures.train_images[:count], pictures.train_labels[:count], normaliser, batch_size=batch, seed=seed,
                         augment=False, image_size=16)
    optimiser = SGD(net.named_parameters(), momentum=0.9, weight_decay=1e-4)
    losses = []
    for t in range(1, epochs * loader.steps_per_epoch + 1):
        images, labels = loader.batch(t)
        losses.append(training_step(net, optimiser, images, labels, lr=0.02, workspace=memory).loss)
    test = evaluate(net, evaluation_batches(pictures.test_images, pictures.test_labels, normaliser, batch_size=250, image_size=16),
                    classes=10)
    return np.reshape(losses, (4 * epochs, -1)).mean(1), test.top1


runs = {norm: [learn(norm, seed) for seed in range(3)] for norm in ("over N, H, W", "over N alone")}
for norm, results in runs.items():
    print(f"{norm:13} test accuracy, three seeds: " + ", ".join(f"{100 * accuracy:.1f} %" for _, accuracy in results))

# %%
epochs = (np.arange(16) + 0.5) / 4
spread({"Statistics over which axes? Three seeds": {norm: (epochs, np.array([losses for losses, _ in results]))
                                                   for norm, results in runs.items()}},
       xlabel="epoch", ylabel="training loss", levels={"guessing, ln 10": float(np.log(10))})

# %% [markdown]
# The net with the right axes leaves guessing behind in the first epoch, and the seeds agree. The net with the wrong axes has
# hardly begun to learn after four. It runs, it raises no error, its gradients are those of the function that it computes, and it
# is a worse net: this bug shows in no gradient check, only in a comparison with a reference, or in a test of the statistics
# themselves.
#
# ## Summary
#
# - Batch norm normalises each channel over N, H and W, and lets `gamma` and `beta` choose scale and mean again.
# - Backward goes three ways: directly, through the mean, and through the variance. Together: `dout` without its part along 1 and
#   along $\hat{x}$, times `gamma inv_std`. So `dx` sums to 0 in every channel.
# - An upstream gradient of ones lies exactly in the part that is removed. It checks nothing; random numbers do.
# - In evaluation running statistics take the batch's place. `momentum` is the weight of the new batch here and in PyTorch, of the
#   old value in Keras.
# - Statistics over the batch axis alone are another function. No shape shows it.
#
# ## Where the code lives
#
# - `resnet_np/kernels/batchnorm/array.py`: the derivation and the array code; `loops.py`, `jit.py`: the same in loops, and
#   compiled
# - `resnet_np/functional/batchnorm.py`: the pairs, `update_running`
# - `resnet_np/layers/basic.py`: the layer `BatchNorm2d`
#
# ## Next
#
# Notebook 4, the residual connection.
