# %% [markdown]
# # 0. 从这里开始
#
# **你将学到**
#
# - 对程序来说，一张图片是什么：一个由数字组成的数组，以及怎样读懂它的形状 `(N, C, H, W)`。
# - 网络的任务是什么：把一张图片变成十个数，每个类别一个。
# - softmax 和交叉熵对这十个数做了什么，一个数字一个数字地看。
# - 怎样训练最简单的分类器，即线性分类器；以及它看不见什么。
#
# **预备知识**：Python，一点 NumPy，知道什么是导数。
#
# **用时**：30 分钟。
#
# 从上到下依次运行各个单元格。尽管改动里面的数字再运行一遍：不会弄坏任何东西。

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
# ## 数据
#
# Shapes-10 是本项目自己画出来的数据集，生成只要两秒左右。每张图片上有一个图形，共十种图形。颜色、大小、位置、旋转角度都是随机的，
# 还有一些长条遮住图形的一部分。因此，能说明类别的只有轮廓。

# %%
pictures = data_tools.find(DATA, say=print, progress=False)
print("training pictures ", pictures.train_images.shape, pictures.train_images.dtype)
print("training labels   ", pictures.train_labels.shape, pictures.train_labels.dtype)
print("test pictures     ", pictures.test_images.shape)
print("classes           ", ", ".join(pictures.classes))

# %%
contact_sheet(pictures.train_images, pictures.train_labels, pictures.classes, columns=6)

# %% [markdown]
# ## 怎样读懂形状
#
# 训练图片放在一个有四个轴（axis）的数组里。在这套教程和代码中，四个轴一律这样称呼：
#
# | 字母 | 含义 | 这里的大小 |
# |---|---|---|
# | N | 第几张图片 | 10,000 |
# | C | 通道（channel）：红、绿、蓝 | 3 |
# | H | 行，从上往下数 | 32 |
# | W | 列，从左往右数 | 32 |
#
# 给出一个下标，就去掉一个轴；写冒号，就保留这个轴。

# %%
images = pictures.train_images
print("images                 ", images.shape, "  all pictures")
print("images[0]              ", images[0].shape, "          one picture")
print("images[0, 2]           ", images[0, 2].shape, "             its blue channel")
print("images[0, :, 12, 13]   ", images[0, :, 12, 13].shape, "                a pixel, row 12, column 13:", images[0, :, 12, 13])
print("images[:64]            ", images[:64].shape, "     a batch of 64 pictures")

# %% [markdown]
# ## 把一张图片看成数字
#
# 一个像素是三个从 0（暗）到 255（亮）的数，分别表示红、绿、蓝各有多少。下面是第一张训练图片、它的三个通道，以及小方框里的数字。
# 网络得到的就只有这样的数字，别无其他。

# %%
print("class:", pictures.classes[pictures.train_labels[0]])
print(images[0, 0, 8:15, 12:19], "  the red channel inside the square")
channels(images[0], top=8, left=12)

# %% [markdown]
# ### 练习 0.1
#
# 写一个函数：输入图片 `(N, C, H, W)`，返回每张图片每个通道的平均值，即一个 `(N, C)` 的数组。
# 这个操作叫作“全局平均池化”（global average pooling）。ResNet 的末端就有它，笔记本 5 会讲到。


# %%
def channel_means(images):
    ...  # your code


tutor.check("0.1", channel_means)

# %% [markdown]
# ## 大小合适的数字
#
# 网络更容易从 0 附近的数中学习，而不是从最大到 255 的数中学习。*归一化器*（normaliser）先除以 255，再减去每个通道的均值，
# 最后除以每个通道的标准差。均值和标准差只用训练图片来统计。

# %%
normaliser = data.Normaliser.measured(pictures.train_images)
print("mean of each channel               ", normaliser.mean.ravel())
print("standard deviation of each channel ", normaliser.std.ravel())
x = normaliser(images[:8])
print("after it:", x.dtype, x.shape, "from", x.min(), "to", x.max())

# %% [markdown]
# ## 网络的任务是什么
#
# 网络就是一个函数。输入是一批（batch）图片 `x`，形状为 `(N, 3, H, W)`；输出是 *logits*，形状为 `(N, K)`：
# 每张图片、每个类别一个数，这里 K = 10。最大的那个 logit 就是网络的回答。训练就是不断改变函数内部的数，
# 也就是它的*参数*（parameters），
# 直到答对的次数变多。
#
# ## 用数字看 softmax
#
# logits 可以是任意实数。*softmax* 把一行 logits 变成概率 $p$：全都是正数，总和为 1，
#
# $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}} .$$
#
# 以三个 logits 为例，一步一步来：

# %%
z = np.array([[2.0, 1.0, 0.0]])  # (N, K) with N = 1 and K = 3
e = np.exp(z)
print("logits z     ", z[0])
print("e^z          ", e[0], "  their sum is", round(float(e.sum()), 3))
print("e^z / sum    ", (e / e.sum())[0])
print("the library: ", F.softmax(z)[0])

# %% [markdown]
# 起作用的只有差值。给所有 logits 加上同一个数，结果不变，因为 $e^{z+a} = e^a e^z$，而 $e^a$ 在相除时约掉了。
# 这一点很有用：$e^{1000}$ 对计算机来说太大了。

# %%
print("logits + 5:       ", F.softmax(z + 5)[0])
print("logits + 10000:   ", F.softmax(z + 10000)[0])
with np.errstate(over="ignore"):
    print("but e^1000 is     ", np.exp(1000.0))

# %% [markdown]
# 所以，库里先让每一行减去该行最大的 logit。这样，最大的指数就是 0。下面是库中的代码，用数组运算写成：

# %%
print(inspect.getsource(softmax_array._shifted))
print(inspect.getsource(softmax_array.probabilities))

# %% [markdown]
# ### 练习 0.2
#
# 为一批 logits `(N, K)` 写出 softmax。遇到 10,000 这么大的 logit 也必须算得出来。


# %%
def my_softmax(logits):
    ...  # your code


tutor.check("0.2", my_softmax)

# %% [markdown]
# ## 答案错得有多离谱？交叉熵
#
# 我们需要一个数，网络答对时它就小。*交叉熵*（cross-entropy）看的是真实类别（即标签，label）所得到的概率：
#
# $$\text{loss} = -\log p_{\text{label}}, \qquad \text{一批图片的损失：N 张图片的平均值。}$$
#
# 答得有把握而且答对，代价为零；答得有把握却答错，代价很大。一个什么都不知道的网络会给十个类别各 10 % 的概率，
# 代价是 $-\log 0.1 = \log 10 \approx 2.303$。请记住这个数。

# %%
for p in (1.0, 0.9, 0.5, 0.1, 0.01, 0.0001):
    print(f"probability of the true class {p:7.4f}   loss {abs(np.log(p)):6.3f}")

loss, _ = F.softmax_cross_entropy_forward(np.zeros((4, 10)), np.array([3, 1, 4, 1]))
print(f"\nthe library's loss of four pictures with all logits 0: {loss:.6f}    log 10 = {np.log(10):.6f}")

# %% [markdown]
# ### 练习 0.3
#
# 写出交叉熵：`probabilities` 的形状是 `(N, K)`；`labels` 的形状是 `(N,)`，元素是 0 到 K - 1 的整数。返回这一批图片的平均损失，
# 一个数。


# %%
def my_loss(probabilities, labels):
    ...  # your code


tutor.check("0.3", my_loss)

# %% [markdown]
# ## 最简单的分类器：线性分类器
#
# 把一张图片的 3 x 32 x 32 = 3072 个数排成一行。每个类别有 3072 个权重（weight）。该类别的 logit 就是所有“数乘以权重”之和，
# 再加上这个类别自己的一个数，即*偏置*（bias）：
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
# 刚建好的网络，其 logits 是一些小的随机数。下面是第一张图片的 logits，真实类别用橙色标出。

# %%
scores(logits[0], F.softmax(logits)[0], pictures.classes, label=int(pictures.train_labels[0]))

# %% [markdown]
# ### 练习 0.4
#
# 图片有 `C` 个通道、`H` x `W` 个像素，共 `K` 个类别，这样的线性分类器有多少个参数？别忘了偏置。


# %%
def parameters(C, H, W, K):
    ...  # your code


tutor.check("0.4", parameters)

# %% [markdown]
# ## 训练一步
#
# 1. *前向传播*（forward）：从图片算到 logits，再算到损失。
# 2. *反向传播*（backward）：求损失对每一个参数的导数，即*梯度*（gradient）。具体怎么求，是笔记本 2 的内容。
# 3. *更新*（step）：让每个参数逆着梯度的方向移动一小步，`w -= lr * dw`。`lr` 是*学习率*（learning rate）。
#
# 这就是*随机梯度下降*（stochastic gradient descent，SGD）。先做一步，比较同样八张图片在更新前后的损失。

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
# ## 基线
#
# 现在把同样的事重复很多遍：训练 10 *轮*（epoch），每一轮把训练图片以 100 张为一批完整过一遍。
# 我们留出十分之一的训练图片不参与学习：
# 在这些*验证*（validation）图片上，可以看出分类器对没有学过的图片表现如何。此外，一次训练的结果与偶然因素有关
# （初始权重、图片的顺序），所以我们用三个*随机种子*（seed）训练三次。

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
# 每条线是三次不同随机种子的训练中居中的那个值，阴影从最差延伸到最好。两条线之间的差距就是*过拟合*（overfitting）：
# 学到的东西里，有一部分只对训练图片成立。笔记本 7 专门讨论它。
#
# *测试*（test）图片是第三部分，只在最后看一次。上面打印的就是测试准确率。
#
# 结果比瞎猜好，但算不上好。任何称得上网络的东西都必须超过它。
#
# ## 它学到了什么，又看不见什么？
#
# 图片中的每一个数，在每个类别里都对应一个权重。所以，一个类别的权重可以画成一张图（这里把三个通道加在了一起）。
# 图片在红色处亮、在蓝色处暗时，logit 就大。

# %%
signed_maps(net.weight.data.reshape(K, C, H, W).sum(axis=1), pictures.classes)

# %% [markdown]
# 可以看出圆环中间的洞和沙漏的细腰。但是每个类别只有一个模板，却要同时适应同一种图形的所有大小、位置和角度。这不可能做得好。
#
# 还有更深层的原因：**对线性分类器来说，图片只是一串数字，顺序无关紧要**。做个实验：把所有图片的像素打乱，每张图片的打乱方式相同。
# 这样一来，人就什么也认不出来了。

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
# 线性分类器根本不受影响。它从来没有用到“两个像素相邻”这一信息。而边缘、拐角、轮廓都是由相邻像素构成的，所以它对这些视而不见。
#
# *卷积*（convolution）会看相邻的像素，而且在图片的每个位置用的是同一组权重。这就是下一个笔记本的内容。
#
# ## 路线图
#
# | 笔记本 | 问题 |
# |---|---|
# | 0. 从这里开始 | 图片是什么？网络的任务是什么？ |
# | 1. 卷积的四种写法 | 网络怎样看相邻的像素？怎样算得快？ |
# | 2. 手写反向传播 | 梯度从哪里来？怎么知道它算对了？ |
# | 3. 批归一化 | 为什么每一层的数都要重新缩放？ |
# | 4. 残差连接 | 把输入加到输出上，有什么好处？ |
# | 5. 搭建 ResNet-20 | 这些部件怎样组成论文中的网络？ |
# | 6. 训练 | 学习率怎么选？曲线说明了什么？ |
# | 7. 对抗过拟合 | 训练图片很少时，什么办法有用？ |
# | 8. 微调 | 训练好的网络怎样学会新东西？ |
# | 9. 看看内部 | 网络学到了什么？在哪里会出错？ |
# | 10. 让它变快 | 在你的机器上，速度受什么限制？ |
# | 11. 深度与宽度 | 网络应该多大？ |
#
# ## 小结
#
# - 图片是一个数组 `(N, C, H, W)`。给出一个下标，就去掉一个轴。
# - 网络把图片变成 logits `(N, K)`，softmax 再把 logits 变成概率。
# - 交叉熵是真实类别概率的 $-\log$，对一批图片取平均。对十个类别一无所知，代价是 $\log 10$。
# - 训练一步包括前向传播、反向传播、更新。
# - 线性分类器比瞎猜好，但它把图片当成一串数字：像素打乱与否，对它毫无区别。
#
# ## 代码在哪里
#
# | 内容 | 文件 |
# |---|---|
# | Shapes-10 | `data_tools/shapes10.py` |
# | 归一化器、数据划分、分批 | `resnet_np/data/` |
# | softmax 和交叉熵 | `resnet_np/functional/softmax.py`、`resnet_np/kernels/softmax/array.py` |
# | 线性层 | `resnet_np/layers/basic.py`、`resnet_np/kernels/linear/array.py` |
# | SGD | `resnet_np/optim/sgd.py` |
#
# **下一步**：`01_convolution.ipynb`
