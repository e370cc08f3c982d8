"""Checks of notebook 7, Against overfitting."""

from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.functional.parameter import Parameter
from resnet_np.optim import SGD
from resnet_np.tutor.checking import call, exercise, same, wrong


@exercise("7.1")
def faded(answer: Any) -> str:
    for w, weight_decay, lr, steps in ((2.0, 0.5, 0.1, 1), (-1.0, 0.1, 0.5, 20), (3.0, 0.0, 0.1, 5), (1.0, 5e-4, 0.1, 1000)):
        weight = Parameter(np.array([w]), decay=True)
        optimiser = SGD({"w": weight}, momentum=0.0, weight_decay=weight_decay)
        for _ in range(steps):
            optimiser.step(lr)
        same(call(answer, w, weight_decay, lr, steps), weight.data[0], tolerance=1e-9,
             given=f"w={w}, weight_decay={weight_decay}, lr={lr}, steps={steps}",
             hint="one step takes lr * weight_decay * w away, of the w that is left: by which factor does w shrink?")
    return "the weight is where the library's SGD leaves it, after 1 step and after 1,000"


@exercise("7.2")
def mirrored(answer: Any) -> str:
    rng = np.random.default_rng(72)
    for shape in ((4, 3, 2, 5), (2, 1, 3, 3)):
        images, which = rng.standard_normal(shape), np.arange(shape[0]) % 2 == 1
        got = call(answer, images, which)
        given = f"images {shape} and which={which.tolist()}"
        same(got, np.where(which[:, None, None, None], np.flip(images, 3), images), given=given,
             hint="left and right is the last axis, W; take a copy, and change only the images where `which` is True")
    return "the right images are mirrored, left to right, and yours are as they were"


@exercise("7.3")
def smoothed(answer: Any) -> str:
    for labels, K, share in ((np.array([0, 3]), 5, 0.1), (np.array([2, 2, 0]), 3, 0.3), (np.array([1]), 4, 0.0)):
        _, cache = F.softmax_cross_entropy_forward(np.zeros((len(labels), K)), labels, smoothing=share)
        same(call(answer, labels, K, share), cache.targets, given=f"labels={labels.tolist()}, K={K}, share={share}",
             hint="the share is spread over all K classes, the label's own among them; each row sums to 1")
    return "your targets are those of the library's loss"


# Accuracies, n, patience -> kept, last. Each differs from what a typical mistake gives; none lies exactly at the bar, where the
# last bit of a float would decide. The standard error at 80 % of 20 pictures is 8.9 points.
_STOPS: tuple[tuple[tuple[float, ...], int, int, tuple[int, int]], ...] = (
    ((0.3, 0.5, 0.4, 0.45, 0.4, 0.6), 10_000, 3, (2, 5)),  # what comes later is never seen
    ((0.3, 0.5, 0.4, 0.6, 0.5), 10_000, 3, (4, 5)),  # patience not used up
    ((0.4, 0.8, 0.75, 0.5, 0.75, 0.6, 0.7, 0.9), 20, 2, (5, 7)),  # patience begins anew with the fifth, which is no higher
    ((0.4, 0.8, 0.75, 0.5, 0.75, 0.6, 0.7, 0.9), 5000, 2, (2, 4)),  # the same accuracies, of more pictures
    ((0.8, 0.75, 0.7, 0.65, 0.6), 20, 3, (2, 5)),  # the bar is below the highest, and does not sink with the epoch kept last
    ((0.5, 0.5, 0.5, 0.5), 1000, 2, (4, 4)), ((0.1, 0.2, 0.3), 1000, 1, (3, 3)))


@exercise("7.4")
def stop(answer: Any) -> str:
    for accuracies, n, patience, expected in _STOPS:
        given = f"accuracies {accuracies}, n={n:,} and patience {patience}"
        got = call(answer, list(accuracies), n, patience)
        if not isinstance(got, tuple | list) or len(got) != 2:
            wrong(f"for {given} expected two numbers, the kept epoch and the last one", hint="return kept, last")
        for value, target, what in zip(got, expected, ("the kept epoch", "the last epoch"), strict=True):
            same(value, target, given=given, what=what, tolerance=1e-9,
                 hint="after each epoch: if it reaches p - sqrt(p (1 - p) / n), p the highest so far, keep it; if not, and the "
                      "kept one is `patience` epochs old, stop")
    return "it stops when it must, goes on when it may, and what lies within one standard error counts as equally good"
