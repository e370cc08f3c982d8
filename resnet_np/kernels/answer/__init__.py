"""A net that only answers, as steps: convolutions with a bias, in which batch norm has disappeared, and pools.

A step reads maps that earlier ones have written and writes one. Map 0 are the pictures, which the first step alone reads; steps
count from 1, and map k is what step k writes. The last is (N, K, 1, 1): the logits of K classes.

The steps are done one after the other by the kernels of the backend in use (array.py, which the others take, too), but for numba:

    jit.py       who answers: one picture or many, one thread or all, for one thread of Python or several
    program.py   the steps for pictures of one size: a table of numbers, all weights in one array, all maps in another
    run.py       all steps of a picture in one call of one kernel, compiled by Numba
    direct.py, tiles.py, pools.py
                 the kinds of steps, as run.py takes them

N image   C channel in   F filter   H W input   KH KW kernel   OH OW output   K classes
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from resnet_np.backend import kernels
from resnet_np.errors import InputError


class Convolution(NamedTuple):
    """y = x * weight + bias, + the map `same` where there is one; then relu(y) where that is wanted.

    weight (F, C, KH, KW) and bias (F,), float32. A linear layer is one of 1x1 pixels.
    """

    source: int
    weight: np.ndarray
    bias: np.ndarray
    stride: int
    pad: int
    same: int | None
    relu: bool


class MaxPool(NamedTuple):
    """The largest of every k x k pixels, then relu where that is wanted. Padding never wins."""

    source: int
    k: int
    stride: int
    pad: int
    relu: bool


class GlobalPool(NamedTuple):
    """(N, C, H, W) -> (N, C, 1, 1): the mean of every map, or its largest pixel."""

    source: int
    largest: bool


Step = Convolution | MaxPool | GlobalPool


class Steps:
    """The steps of a net, and what a backend has made of them for pictures of a shape, the last used at the end."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = tuple(steps)
        self.plans: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        """What was planned is planned again where a copy is used."""
        return Steps, (self.steps,)

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of every map, for pictures of this size. Raises InputError if a map would have no pixel."""
        found = [(height, width)]
        for step in self.steps:
            size = (1, 1)
            if not isinstance(step, GlobalPool):
                kernel = (step.k, step.k) if isinstance(step, MaxPool) else step.weight.shape[2:]
                h, w = ((side + 2 * step.pad - k) // step.stride + 1 for side, k in zip(found[step.source], kernel, strict=True))
                size = h, w
            if min(size) < 1:
                raise InputError(f"prepared net: pictures of {height} x {width} pixels are too small for this net, a map of which "
                                 "would have no pixel")
            found.append(size)
        return found

    def last_readers(self) -> list[int]:
        """For every map, the number of the last step that reads it; 0 for the logits."""
        found = [0] * (len(self.steps) + 1)
        for number, step in enumerate(self.steps, 1):
            found[step.source] = number
            if isinstance(step, Convolution) and step.same is not None:
                found[step.same] = number
        return found


def answer(steps: Steps, x: np.ndarray) -> np.ndarray:
    """x float32 (N, 3, H, W), C-contiguous -> logits float32 (N, K). Raises InputError for pictures that are too small."""
    return kernels(__name__, x).answer(steps, x)
