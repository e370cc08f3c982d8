"""From a wrong gradient to a likely cause, in words: a gradient that is wrong is often another, well-known one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

CLOSE = 1e-4  # of the largest value: as near as a suspect must come


class Suspect(NamedTuple):
    """A mistake, and how it shows: test(analytic, numeric) is true of arrays that look like it."""

    cause: str
    test: Callable[[np.ndarray, np.ndarray], bool]


def alike(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Equal but for a small part of the largest value, and not both 0."""
    scale = np.abs(theirs).max(initial=0)
    return bool(scale > 0 and np.abs(ours - theirs).max() <= CLOSE * scale)


def is_gradient(cause: str, wrong: np.ndarray) -> Suspect:
    """Suspect `cause` of a backward pass that returns `wrong`."""
    return Suspect(cause, lambda analytic, _: alike(analytic, wrong))


def is_forward(cause: str, gradient: np.ndarray) -> Suspect:
    """Suspect `cause` of a forward pass whose true gradient is `gradient`, while backward belongs to another function."""
    return Suspect(cause, lambda _, numeric: alike(numeric, gradient))


def factors(sizes: Mapping[str, int]) -> list[Suspect]:
    """Suspects for sums that should have been means and the reverse; sizes: {"the batch size": 4, ...}."""
    found = []
    for what, size in sizes.items():
        if size > 2:
            found.append(Suspect(f"{size} times too large: not divided by {what}", _times(size)))
            found.append(Suspect(f"{size} times too small: divided by {what} once too often", _times(1 / size)))
    return found


def assigned(windows: np.ndarray) -> Suspect:
    """Suspect for gradients of overlapping windows; windows: how many of them see each entry."""

    def test(analytic: np.ndarray, numeric: np.ndarray) -> bool:
        wrong = np.abs(analytic - numeric) > CLOSE * np.abs(numeric).max()
        return bool(wrong.any() and not wrong[windows < 2].any() and (windows < 2).any())

    return Suspect("right where one window reaches, wrong where several do: assigned instead of added (= instead of +=)", test)


def likely_cause(analytic: np.ndarray, numeric: np.ndarray, suspects: Sequence[Suspect] = ()) -> str:
    """The first cause that fits a wrong gradient; "" if none does.

    analytic, numeric: whole arrays, or the products with a few directions, which show factors and signs only.
    """
    if not np.isfinite(analytic).all():
        return "NaN or infinity in the backward pass"
    if not np.isfinite(numeric).all():
        return "NaN or infinity in the forward pass"
    for suspect in (*suspects, *_general(numeric)):
        if suspect.test(analytic, numeric):
            return suspect.cause
    factor = float(np.vdot(analytic, numeric)) / max(float(np.vdot(numeric, numeric)), 1e-300)
    told_apart = analytic.size > 1 and abs(factor - 1) > CLOSE  # from no factor at all
    return f"{factor:.6g} times the right value, everywhere" if told_apart and alike(analytic, factor * numeric) else ""


def _general(numeric: np.ndarray) -> Iterator[Suspect]:
    yield Suspect("never computed, or never added to the gradient", lambda analytic, _: not analytic.any())
    yield Suspect("wrong sign", _times(-1))
    yield Suspect("twice too large: counted twice", _times(2))
    if numeric.ndim == 4 and numeric.shape[2:] != (1, 1):
        yield is_gradient("turned by 180 degrees: a convolution where a cross-correlation belongs, or the reverse",
                          numeric[:, :, ::-1, ::-1])
    for i in range(numeric.ndim):
        for j in range(i + 1, numeric.ndim):
            if numeric.shape[i] > 1 and numeric.shape[j] > 1:
                # Of unequal sizes, as it looks after a reshape that hid the mistake
                swapped = numeric.swapaxes(i, j).reshape(numeric.shape)
                yield is_gradient(f"transposed: axes {i} and {j} are exchanged", swapped)
    yield Suspect("some entries are missing: 0 where they should not be, right elsewhere", _partly_missing)


def _times(factor: float) -> Callable[[np.ndarray, np.ndarray], bool]:
    return lambda analytic, numeric: alike(analytic, factor * numeric)


def _partly_missing(analytic: np.ndarray, numeric: np.ndarray) -> bool:
    wrong = np.abs(analytic - numeric) > CLOSE * np.abs(numeric).max()
    return bool(wrong.any() and analytic.any() and not analytic[wrong].any())
