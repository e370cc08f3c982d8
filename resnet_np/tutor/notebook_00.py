"""Checks of 00_start_here."""

from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.layers import Linear
from resnet_np.tutor.checking import call, exercise, same


@exercise("0.1")
def channel_means(answer: Any) -> str:
    rng = np.random.default_rng(1)
    for shape in ((2, 3, 4, 4), (5, 3, 6, 8)):
        images = rng.standard_normal(shape)
        expected, _ = F.global_average_pool_forward(images)
        same(call(answer, images), expected, given=f"images of shape {shape}",
             hint="take the mean over the rows and the columns, axes 2 and 3, and keep pictures and channels")
    return "it is what the library's global average pooling returns"


@exercise("0.2")
def softmax(answer: Any) -> str:
    rng = np.random.default_rng(2)
    for logits, given in ((np.array([[2.0, 1.0, 0.0]]), "one row of three logits"),
                          (rng.standard_normal((4, 10)), "a batch of 4 rows"),
                          (np.array([[10000.0, 9999.0, 0.0]]), "the logits 10000, 9999 and 0")):
        with np.errstate(over="ignore", invalid="ignore"):
            got = call(answer, logits)
        same(got, F.softmax(logits), given=given,
             hint="every row is divided by its own sum (keepdims=True), after its own largest logit was subtracted")
    return "rows of any size agree with the library, and so does a logit of 10,000"


@exercise("0.3")
def cross_entropy(answer: Any) -> str:
    rng = np.random.default_rng(3)
    for N in (1, 2, 7):
        logits, labels = rng.standard_normal((N, 5)), rng.integers(0, 5, N)
        expected, _ = F.softmax_cross_entropy_forward(logits, labels)
        same(call(answer, F.softmax(logits), labels), expected, given=f"N = {N} pictures and K = 5 classes",
             hint="probabilities[np.arange(N), labels] are those of the true classes; take -log of them, then the mean")
    return "batches of 1, 2 and 7 pictures cost what the library says"


@exercise("0.4")
def parameters(answer: Any) -> str:
    for C, H, W, K in ((1, 2, 2, 3), (3, 8, 8, 10), (3, 32, 32, 10)):
        layer = Linear(C * H * W, K, rng=np.random.default_rng(0))
        expected = sum(parameter.data.size for parameter in layer.named_parameters().values())
        same(call(answer, C, H, W, K), expected, given=f"C={C}, H={H}, W={W}, K={K}",
             hint="count the weights of one class, add its bias, and multiply by the number of classes")
    return "the library's layers have as many, 30,730 of them for CIFAR-10 and Shapes-10"
