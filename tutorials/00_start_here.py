# %% [markdown]
# # 0. Start here
#
# **What you will learn**
#
# - What a picture is to a program: an array of numbers, and how to read its shape `(N, C, H, W)`.
# - What a net must do: turn a picture into ten numbers, one a class.
# - What softmax and cross-entropy do to these ten numbers, digit by digit.
# - How to train the simplest classifier of all, a linear one, and what it cannot see.
#
# **You need**: Python, a little NumPy, and to know what a derivative is.
#
# **Time**: 30 minutes.
#
# Run the cells from top to bottom. Change numbers and run them again: nothing can break.

# %%
# %matplotlib inline
import inspect

import numpy as np

import data_tools
from resnet_np import data, tutor
from resnet_np import functional as F
from resnet_np.kernels.softmax import array as softmax_array
from resnet_np.layers import Linear
from resnet_np.optim import SGD
from resnet_np.viz.bars import scores
from resnet_np.viz.pictures import channels, contact_sheet, signed_maps
from resnet_np.viz.spread import spread

np.set_printoptions(precision=3, suppress=True, linewidth=120)

DATA = "shapes10"  # "cifar10" where you have it

# %% [markdown]
# ## The data
#
# Shapes-10 is a data set that this project draws by itself, in about two seconds. Each picture shows one of ten shapes. Colour,
# size, place and turn are drawn at random, and bars cover parts of the shape. So it is the outline that gives the class away.

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
print("training pictures ", pictures.train_images.shape, pictures.train_images.dtype)
print("training labels   ", pictures.train_labels.shape, pictures.train_labels.dtype)
print("test pictures     ", pictures.test_images.shape)
print("classes           ", ", ".join(pictures.classes))

# %%
contact_sheet(pictures.train_images, pictures.train_labels, pictures.classes, columns=6)

# %% [markdown]
# ## How to read a shape
#
# The training pictures are one array with four axes. Throughout these notebooks, as in the code, they are called
#
# | letter | meaning | here |
# |---|---|---|
# | N | picture | 10,000 |
# | C | channel: red, green, blue | 3 |
# | H | row, counted from the top | 32 |
# | W | column, counted from the left | 32 |
#
# An index takes an axis away. A colon keeps it.

# %%
images = pictures.train_images
print("images                 ", images.shape, "  all pictures")
print("images[0]              ", images[0].shape, "          one picture")
print("images[0, 2]           ", images[0, 2].shape, "             its blue channel")
print("images[0, :, 12, 13]   ", images[0, :, 12, 13].shape, "                a pixel, row 12, column 13:", images[0, :, 12, 13])
print("images[:64]            ", images[:64].shape, "     a batch of 64 pictures")

# %% [markdown]
# ## One picture as numbers
#
# A pixel is three numbers from 0 (dark) to 255 (bright): how much red, green and blue. Below is the first training picture, its
# three channels, and the numbers inside the small square. The net is given nothing but such numbers.

# %%
print("class:", pictures.classes[pictures.train_labels[0]])
print(images[0, 0, 8:15, 12:19], "  the red channel inside the square")
channels(images[0], top=8, left=12)

# %% [markdown]
# ### Exercise 0.1
#
# Write a function that takes pictures `(N, C, H, W)` and returns the mean of each channel of each picture, an array `(N, C)`.
# This is "global average pooling". A ResNet does it at its end, as you will see in notebook 5.


# %%
def channel_means(images):
    ...  # your code


tutor.check("0.1", channel_means)

# %% [markdown]
# ## Numbers of a handy size
#
# Nets learn better from numbers around 0 than from numbers up to 255. The *normaliser* divides by 255, subtracts the mean of each
# channel and divides by its standard deviation. It is measured on the training pictures only.

# %%
normaliser = data.Normaliser.measured(pictures.train_images)
print("mean of each channel               ", normaliser.mean.ravel())
print("standard deviation of each channel ", normaliser.std.ravel())
x = normaliser(images[:8])
print("after it:", x.dtype, x.shape, "from", x.min(), "to", x.max())

# %% [markdown]
# ## What a net must do
#
# A net is a function. In goes a batch `x` of shape `(N, 3, H, W)`. Out come the *logits*, of shape `(N, K)`: for each picture one
# number a class, here K = 10. The largest logit is the net's answer. Training changes the numbers inside the function, its
# *parameters*, until the answers are right more often.
#
# ## Softmax in numbers
#
# Logits may be any numbers. *Softmax* turns a row of them into probabilities $p$: all positive, with the sum 1,
#
# $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}} .$$
#
# Step by step, for three logits:

# %%
z = np.array([[2.0, 1.0, 0.0]])  # (N, K) with N = 1 and K = 3
e = np.exp(z)
print("logits z     ", z[0])
print("e^z          ", e[0], "  their sum is", round(float(e.sum()), 3))
print("e^z / sum    ", (e / e.sum())[0])
print("the library: ", F.softmax(z)[0])

# %% [markdown]
# Only differences count. Adding the same number to all logits changes nothing, since $e^{z+a} = e^a e^z$, and $e^a$ is cancelled
# by the division. That is useful: $e^{1000}$ is too large for a computer.

# %%
print("logits + 5:       ", F.softmax(z + 5)[0])
print("logits + 10000:   ", F.softmax(z + 10000)[0])
with np.errstate(over="ignore"):
    print("but e^1000 is     ", np.exp(1000.0))

# %% [markdown]
# So the library subtracts the largest logit of each row first. Then the largest exponent is 0. Here is its code, in array form:

# %%
print(inspect.getsource(softmax_array._shifted))
print(inspect.getsource(softmax_array.probabilities))

# %% [markdown]
# ### Exercise 0.2
#
# Write softmax for a batch of logits `(N, K)`. It must survive a logit of 10,000.


# %%
def my_softmax(logits):
    ...  # your code


tutor.check("0.2", my_softmax)

# %% [markdown]
# ## How wrong is an answer? Cross-entropy
#
# We need one number that is small when the net is right. *Cross-entropy* looks at the probability of the true class, the label:
#
# $$\text{loss} = -\log p_{\text{label}}, \qquad \text{for a batch: the mean over its N pictures.}$$
#
# Certain and right costs nothing. Certain and wrong costs much. A net that knows nothing gives every one of ten classes 10 %, which
# costs $-\log 0.1 = \log 10 \approx 2.303$. Remember that number.

# %%
for p in (1.0, 0.9, 0.5, 0.1, 0.01, 0.0001):
    print(f"probability of the true class {p:7.4f}   loss {abs(np.log(p)):6.3f}")

loss, _ = F.softmax_cross_entropy_forward(np.zeros((4, 10)), np.array([3, 1, 4, 1]))
print(f"\nthe library's loss of four pictures with all logits 0: {loss:.6f}    log 10 = {np.log(10):.6f}")

# %% [markdown]
# ### Exercise 0.3
#
# Write cross-entropy: `probabilities` has the shape `(N, K)`, `labels` the shape `(N,)`, whole numbers from 0 to K - 1. Return
# the mean loss of the batch, one number.


# %%
def my_loss(probabilities, labels):
    ...  # your code


tutor.check("0.3", my_loss)

# %% [markdown]
# ## The simplest classifier: linear
#
# Write the 3 x 32 x 32 = 3072 numbers of a picture in a row. Each class has 3072 weights. Its logit is the sum of all products
# "number times weight", plus one number for the class, its *bias*:
#
# $$\text{logits} = x\, w^T + b, \qquad x\ (N, 3072),\quad w\ (10, 3072),\quad b\ (10).$$

# %%
C, H, W = images.shape[1:]
K = len(pictures.classes)
net = Linear(C * H * W, K, rng=np.random.default_rng(0))
print("weight", net.weight.data.shape, " bias", net.bias.data.shape)
x = normaliser(images[:8]).reshape(8, -1)  # -1: whatever is left over, here 3072
logits = net.forward(x, training=False)
print("x", x.shape, " logits", logits.shape)
print(logits)

# %% [markdown]
# The logits of a fresh net are small random numbers. Here are those of the first picture. The true class is orange.

# %%
scores(logits[0], F.softmax(logits)[0], pictures.classes, label=int(pictures.train_labels[0]))

# %% [markdown]
# ### Exercise 0.4
#
# How many parameters has a linear classifier for pictures of `C` channels and `H` x `W` pixels and `K` classes? Do not forget the
# bias.


# %%
def parameters(C, H, W, K):
    ...  # your code


tutor.check("0.4", parameters)

# %% [markdown]
# ## One step of training
#
# 1. *Forward*: pictures to logits to loss.
# 2. *Backward*: the derivative of the loss with respect to every parameter, its *gradient*. How that is done is notebook 2.
# 3. *Step*: move every parameter a little against its gradient, `w -= lr * dw`. `lr` is the *learning rate*.
#
# That is *stochastic gradient descent*, SGD. Do it once and look at the loss of the same eight pictures before and after.

# %%
labels = pictures.train_labels[:8]
optimiser = SGD(net.named_parameters(), momentum=0.0, weight_decay=0.0)


def loss_of_the_batch():
    loss, _ = F.softmax_cross_entropy_forward(net.forward(x, training=False), labels)
    return loss


print(f"loss before: {loss_of_the_batch():.4f}")
loss, cache = F.softmax_cross_entropy_forward(net.forward(x, training=True), labels)
net.backward(F.softmax_cross_entropy_backward(cache))
print(f"the gradient of the weights has the shape of the weights: {net.weight.grad.shape}")
optimiser.step(lr=0.001)
print(f"loss after:  {loss_of_the_batch():.4f}")

# %% [markdown]
# ## The baseline
#
# Now the same thing many times: 10 *epochs*, each of them once through the training pictures in batches of 100. A tenth of the
# training pictures is held back: on these *validation* pictures we see how good the classifier is on pictures that it has not
# learned. And because a run depends on chance (first weights, order of the pictures), we train three times, with three *seeds*.

# %%
EPOCHS = 10
learned, held_back = data.train_validation_split(len(images))


def accuracy(net, x, labels):
    return 100 * float((net.forward(x, training=False).argmax(axis=1) == labels).mean())


def train_linear(x, labels, *, seed, lr=0.002, batch=100):
    """x (N, 3072) of all training pictures -> the net, and its accuracy (%) on both parts after every epoch."""
    rng = np.random.default_rng(seed)
    net = Linear(x.shape[1], K, rng=rng)
    optimiser = SGD(net.named_parameters(), momentum=0.9, weight_decay=0.01)
    parts = [(x[part], labels[part]) for part in (learned, held_back)]
    history = []
    for epoch in range(EPOCHS):
        for pick in rng.permutation(learned)[:len(learned) // batch * batch].reshape(-1, batch):
            for parameter in net.named_parameters().values():
                parameter.zero_grad()
            _, cache = F.softmax_cross_entropy_forward(net.forward(x[pick], training=True), labels[pick])
            net.backward(F.softmax_cross_entropy_backward(cache))
            optimiser.step(lr * (1 - epoch / EPOCHS))  # smaller and smaller steps
        history.append([accuracy(net, *part) for part in parts])
    return net, np.array(history).T


def three_seeds(images, test_images):
    """-> the last net, and two lines for the figure: accuracy on learned and on held-back pictures, (3, EPOCHS) each."""
    x, x_test = (normaliser(part).reshape(len(part), -1) for part in (images, test_images))
    histories = []
    for seed in range(3):
        net, history = train_linear(x, pictures.train_labels, seed=seed)
        histories.append(history)
        print(f"seed {seed}: test accuracy {accuracy(net, x_test, pictures.test_labels):.1f} %")
    epochs = np.arange(1, EPOCHS + 1)
    learned_lines, held_back_lines = np.swapaxes(histories, 0, 1)
    return net, {"pictures it learned": (epochs, learned_lines), "pictures held back": (epochs, held_back_lines)}


net, lines = three_seeds(images, pictures.test_images)
spread({"A linear classifier": lines}, xlabel="epoch", ylabel="accuracy (%)", levels={"guessing": 100 / K})

# %% [markdown]
# A line is the middle one of three runs with different seeds. The shade reaches from the worst to the best. The gap between the two
# lines is *overfitting*: some of what was learned is true of the training pictures only. Notebook 7 is about that.
#
# The *test* pictures are a third part. They are looked at once, at the end. Their accuracy is printed above.
#
# Better than guessing, and not good. Any net that deserves the name must beat it.
#
# ## What did it learn, and what can it not see?
#
# Each class has a weight for every number of a picture. So the weights of a class can be drawn as a picture (here the sum over
# the three channels). A logit is large where the picture is bright on red and dark on blue.

# %%
signed_maps(net.weight.data.reshape(K, C, H, W).sum(axis=1), pictures.classes)

# %% [markdown]
# The hole of the ring and the waist of the hourglass can be seen. But one template a class must fit all sizes, places and turns
# of a shape at once. That cannot work well.
#
# There is a deeper reason. **To a linear classifier a picture is a list of numbers, in any order.** An experiment: shuffle the
# pixels of all pictures, every picture in the same way. You would not recognise anything any more.

# %%
shuffle = np.random.default_rng(7).permutation(H * W)
shuffled = images.reshape(len(images), C, H * W)[:, :, shuffle].reshape(images.shape)
contact_sheet(shuffled[:600], pictures.train_labels[:600], pictures.classes[:3], columns=6)

# %%
test_images = pictures.test_images
shuffled_test = test_images.reshape(len(test_images), C, H * W)[:, :, shuffle].reshape(test_images.shape)
_, shuffled_lines = three_seeds(shuffled, shuffled_test)
both = {"As they are": lines, "Pixels shuffled": shuffled_lines}
spread(both, xlabel="epoch", ylabel="accuracy (%)", levels={"guessing": 100 / K})

# %% [markdown]
# The linear classifier does not mind at all. It never used that two pixels are neighbours. Edges, corners and outlines are made of
# neighbours, and so it is blind to them.
#
# A *convolution* looks at neighbours, and at every place of the picture with the same weights. That is the next notebook.
#
# ## The map
#
# | notebook | question |
# |---|---|
# | 0. Start here | What is a picture, what must a net do? |
# | 1. Convolution four ways | How does a net look at neighbours, and how is that made fast? |
# | 2. Backward by hand | Where do gradients come from, and how do you know that they are right? |
# | 3. Batch norm | Why does every layer get its numbers rescaled? |
# | 4. The residual connection | What is gained by adding the input to the output? |
# | 5. Build ResNet-20 | How do the parts become the net of the paper? |
# | 6. Train it | How is the learning rate chosen, and what do curves tell? |
# | 7. Against overfitting | What helps when training pictures are few? |
# | 8. Fine-tuning | How does a trained net learn something new? |
# | 9. Look inside | What has the net learned, and where does it fail? |
# | 10. Make it fast | What limits the speed on your machine? |
# | 11. Depth and width | How large should a net be? |
#
# ## Summary
#
# - Pictures are an array `(N, C, H, W)`. An index takes an axis away.
# - A net turns pictures into logits `(N, K)`. Softmax turns logits into probabilities.
# - Cross-entropy is $-\log$ of the true class's probability, as a mean over the batch. Ignorance of ten classes costs $\log 10$.
# - A training step is forward, backward, step.
# - A linear classifier beats guessing, but it takes a picture for a list of numbers: shuffled pixels are all the same to it.
#
# ## Where the code lives
#
# | what | file |
# |---|---|
# | Shapes-10 | `data_tools/shapes10.py` |
# | normaliser, split, batches | `resnet_np/data/` |
# | softmax and cross-entropy | `resnet_np/functional/softmax.py`, `resnet_np/kernels/softmax/array.py` |
# | the linear layer | `resnet_np/layers/basic.py`, `resnet_np/kernels/linear/array.py` |
# | SGD | `resnet_np/optim/sgd.py` |
#
# **Next**: `01_convolution.ipynb`
