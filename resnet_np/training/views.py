"""One answer for a picture out of several views of it.

A net trained on shifted crops and mirror images has learned that they show the same thing, but not quite: its answers differ, and
their average is usually better than each. The idea is that of Krizhevsky et al. 2012 (section 4.1, ten crops); the six views and
their weights are those of airbench94 (Jordan 2024, section 3.5). They cost six forward passes.
"""

from collections.abc import Callable, Iterator

import numpy as np

from resnet_np.backend import like, namespace, to_host
from resnet_np.errors import InputError

# (rows down, columns to the right) of the shift, and its weight; a view and its mirror image share it
SHIFTS = (((0, 0), 1 / 2), ((-1, -1), 1 / 4), ((1, 1), 1 / 4))


def wanted(views: int) -> bool:
    """Whether there is more to answer for than the picture as it is. Raises InputError for a number of views that there is not."""
    if views not in (1, 6):
        raise InputError(f"views: got {views}, expected 1 or 6")
    return views == 6


def six(x: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """x (N, 3, H, W) -> six views of its shape with their weights, which add up to 1; the first is x itself.

    The picture, the picture shifted by a pixel up and to the left, and down and to the right; each as it is and as its mirror
    image. Where a shift uncovers a pixel, its neighbour's neighbour is mirrored into it ("reflect"), so that no edge appears.
    Raises InputError for pictures with a side of one pixel, which have no neighbour to mirror.
    """
    if min(x.shape[2:]) < 2:
        raise InputError(f"views: got pictures {x.shape}, expected at least 2 x 2 pixels")
    for (down, right), weight in SHIFTS:
        view = x if down == right == 0 else _shifted(_shifted(x, down, axis=2), right, axis=3)
        yield view, weight / 2
        yield namespace(x).ascontiguousarray(view[..., ::-1]), weight / 2


def average(answer: Callable[[np.ndarray], np.ndarray], x: np.ndarray, single: np.ndarray) -> np.ndarray:
    """The weighted mean of answer(view) (N, K) over the six views of x, on the host, in float64; `single` is answer(x), known."""
    total = np.zeros(single.shape)
    for number, (view, weight) in enumerate(six(x)):
        total += weight * (to_host(answer(view)) if number else single)
    return total


def _shifted(x: np.ndarray, by: int, *, axis: int) -> np.ndarray:
    """x, moved by one pixel along the axis."""
    last = x.shape[axis] - 1
    source = np.abs(np.arange(last + 1) - by)  # reflected at the first pixel ...
    return x.take(like(last - np.abs(last - source), x), axis=axis)  # ... and at the last
