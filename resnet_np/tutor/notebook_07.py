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


@exercise("7.4")
def stop(answer: Any) -> str:
    cases = (((0.3, 0.5, 0.4, 0.45, 0.4, 0.6), 3, (2, 5)), ((0.3, 0.5, 0.4, 0.6, 0.5), 3, (4, 5)),
             ((0.5, 0.5, 0.5, 0.5), 2, (1, 3)),
             ((0.1, 0.2, 0.3), 1, (3, 3)))
    for accuracies, patience, expected in cases:
        given = f"accuracies {accuracies} and patience {patience}"
        got = call(answer, list(accuracies), patience)
        if not isinstance(got, tuple | list) or len(got) != 2:
            wrong(f"for {given} expected two numbers, the kept epoch and the last one", hint="return kept, last")
        for value, target, what in zip(got, expected, ("the kept epoch", "the last epoch"), strict=True):
            same(value, target, given=given, what=what, tolerance=1e-9,
                 hint="after each epoch: if it is better, keep it; if not, and the kept one is `patience` epochs old, stop")
    return "it stops when it must, goes on to the end when it may, and an equal accuracy is no better one"
