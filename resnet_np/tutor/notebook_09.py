"""Checks of notebook 9, Look inside."""

from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.models import resnet_cifar
from resnet_np.models.inspect import class_gradient, grad_cam
from resnet_np.training.answers import Answers
from resnet_np.tutor.checking import call, exercise, same
from resnet_np.viz.filters import as_pictures


@exercise("9.1")
def filter_picture(answer: Any) -> str:
    rng = np.random.default_rng(91)
    for KH, KW, scale in ((3, 3, 1.0), (1, 2, 0.01), (7, 7, 20.0)):
        w = scale * rng.standard_normal((3, KH, KW))
        same(call(answer, w), as_pictures(w[None])[0], given=f"w {w.shape} up to {np.abs(w).max():.2g}", tolerance=1e-6,
             hint="divide by the largest absolute weight: -1 to 1; make that 0 to 1, 0.5 for a weight of 0; channels last")
    return "a weight of 0 is mid-grey, and the largest one full colour, however large the weights are"


@exercise("9.2")
def channel_weights(answer: Any) -> str:
    rng, net = np.random.default_rng(92), resnet_cifar(8, width=2, classes=3, seed=5)
    with using("numpy"):
        for side, k in ((8, 0), (16, 2), (32, 1)):
            gradient = class_gradient(net, _picture(rng, side, side), np.array([k])).gradient[0]
            OH, OW = gradient.shape[1:]
            same(call(answer, net.named_parameters()["fc.weight"].data, k, OH, OW), gradient.mean((1, 2)),
                 given=f"k={k}, OH={OH}, OW={OW}", what="alpha",
                 hint="logit k = sum over c of weight[k, c] times the mean of map c; how does one pixel move the mean?")
    return "the same alpha as from the backward pass, at three sizes, and no backward pass was needed"


@exercise("9.3")
def heat(answer: Any) -> str:
    rng = np.random.default_rng(93)
    net = resnet_cifar(8, width=4, classes=3, seed=5)
    with using("numpy"):
        for k in range(3):  # behind the stem the maps are as large as the picture: nothing is stretched
            x = _picture(rng, 6, 8)
            maps, gradient, _ = class_gradient(net, x, np.array([k]), at="stem")
            same(call(answer, maps[0], gradient[0]), grad_cam(net, x, np.array([k]), at="stem")[0],
                 given=f"maps and gradient {maps[0].shape}", what="heat", tolerance=1e-4,
                 hint="one number a channel: the mean of its gradient; the weighted sum of maps; then what is below 0 becomes 0")
    return "your heat maps are those of grad_cam, for three classes"


@exercise("9.4")
def confident_mistakes(answer: Any) -> str:
    rng = np.random.default_rng(94)
    for N, K, count in ((6, 2, 2), (40, 5, 7), (30, 3, 1)):
        probabilities, labels = F.softmax(3 * rng.standard_normal((N, K))), rng.integers(0, K, N)
        same(call(answer, probabilities, labels, count), Answers(probabilities, labels).mistakes()[:count],
             given=f"{N} pictures, {K} classes, count={count}",
             hint="first keep the pictures whose likeliest class is not the label; then sort them by the probability of the answer")
    return "only mistakes, the most confident first"


@exercise("9.5")
def response(answer: Any) -> str:
    rng = np.random.default_rng(95)
    for C in (1, 2, 5):
        gamma, beta = rng.uniform(-2, 2, C), rng.uniform(-1, 1, C)
        with using("numpy"):
            out, _ = F.batchnorm_forward(7 * rng.standard_normal((20, C, 6, 6)) + 3, gamma, beta, eps=1e-12)
        same(call(answer, gamma, beta), out.std(), given=f"{C} channel{'s' * (C > 1)}", tolerance=1e-6,
             hint="variance = mean of squares - square of the mean; in channel c these are gamma_c^2 + beta_c^2 and beta_c")
    return "that is the standard deviation of what batch norm hands on, with any input"


def _picture(rng: np.random.Generator, H: int, W: int) -> np.ndarray:
    return rng.standard_normal((1, 3, H, W)).astype(np.float32)
