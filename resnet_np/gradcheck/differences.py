"""Finite differences: does a gradient that was derived by hand agree with the function?

Anything can be checked that can be written as `out = f(**arrays)`: a pair, a layer, a net. With a random upstream
gradient u, L = sum(u * out) is a number, and a backward pass that was given u must return dL/darray. Centred
differences give the same without any derivation: (L(a + h) - L(a - h)) / 2h.

    x, w, u = (rng.standard_normal(shape) for shape in ((2, 3, 8, 8), (4, 3, 3, 3), (2, 4, 6, 6)))
    dx, dw = conv2d_backward(u, conv2d_forward(x, w)[1])
    f = lambda x, w: conv2d_forward(x, w)[0]
    require(check_entries(f, {"x": x, "w": w}, {"x": dx, "w": dw}, upstream=u))

Three habits of checks that catch bugs: float64 (float32 has no digits left after the subtraction); a random u (with
u = 1 everywhere the gradient through softmax or batch norm is 0, whatever the code does); no step across a kink (at the
corner of a ReLU the two sides have different slopes, and the difference is neither). All three are enforced.

A kink is recognised by what caused it, never by the size of an error: a function that has kinks returns an `Evaluation` with the
masks that decided (which inputs of a ReLU were positive, which pixel won a max pool). Where a mask at a + h or a - h is not that at
a, the step is shortened, and at the shortest the entry is skipped, or another direction drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from resnet_np.errors import InputError
from resnet_np.gradcheck.causes import Suspect, likely_cause


class Evaluation(NamedTuple):
    """What a function with kinks returns."""

    out: Any  # an array or a number
    masks: tuple[np.ndarray, ...]  # every choice that was made on the way; equal masks, equal formula


Function = Callable[..., Any]  # called as f(**arrays); returns an array, a number, or an Evaluation
Arrays = Mapping[str, np.ndarray]
Suspects = Mapping[str, Sequence[Suspect]]

# Steps, times max(1, |value|), tried in this order until no kink is crossed. At 1e-5 errors are near 1e-10, half from the curvature
# (h^2), half from rounding (1e-16 / h); at 1e-8 rounding costs 1e-8.
STEPS = (1e-5, 1e-6, 1e-7, 1e-8)
TOLERANCE = 1e-6  # a correct single operation in float64 is 100 times better
SMALLEST = 1e-8  # a tensor whose gradients are all smaller counts as this large: 0 against 1e-17 is no error
MOST_KINKS = 0.01  # of a tensor's entries
MOST_DRAWS = 20  # directions drawn for one that crosses no kink


@dataclass(frozen=True)
class TensorReport:
    """What was found for one array."""

    name: str
    error: float  # max|analytic - numeric| / max(max|numeric|, SMALLEST) over the array
    index: tuple[int, ...]  # where it is: an entry of the array, or the number of the random direction
    analytic: float  # the backward pass's value there
    numeric: float  # the finite difference there
    differences: int  # how many were compared
    kinks: int = 0  # entries skipped, or directions drawn again, because every step crossed a kink
    cause: str = ""  # of an error: what it looks like
    failure: str = ""  # why the comparison means nothing, if so

    def passes(self, tolerance: float) -> bool:
        return not self.failure and self.error <= tolerance  # NaN is not

    def describe(self, tolerance: float) -> str:
        """One line for a person."""
        if self.passes(tolerance):
            skipped = f", {self.kinks} skipped or drawn again at kinks" if self.kinks else ""
            return f"ok    {self.name}: relative error {self.error:.1e}, {self.differences} differences{skipped}"
        values = (f"relative error {self.error:.2e}, worst at {self.index}: backward gives {self.analytic:.9g}, "
                  f"finite differences {self.numeric:.9g}")
        return f"WRONG {self.name}: " + "; ".join(filter(None, [self.failure or values, self.cause]))


def check_entries(
    f: Function, arrays: Arrays, analytic: Arrays, *, upstream: np.ndarray | float,
    entries: int | None = None, rng: np.random.Generator | None = None, suspects: Suspects | None = None,
) -> list[TensorReport]:
    """Compare `analytic` with centred differences, entry by entry; two calls of f an entry.

    f         called as f(**arrays) with one array changed; returns an array, a number, or an Evaluation
    arrays    the arguments by name; f receives a read-only copy of the one that is changed
    analytic  dL/darray by name, float64, for those arrays that are to be checked
    upstream  random, of f's output's shape: what the backward pass was given; a number where f returns one
    entries   check this many of each array: the largest of `analytic`, which sets the scale, and others drawn by rng
    suspects  by array: causes to try on a gradient that is wrong, before the general ones

    Returns a TensorReport an array. More than 1 % of entries on a kink is a failure. Raises InputError if shapes, names or dtypes
    do not fit, or upstream is constant.
    """
    masks = _check_arguments(f, arrays, analytic, upstream)
    if entries is not None and rng is None:
        raise InputError("gradcheck: entries without rng, expected a np.random.Generator to draw them with")
    reports = []
    for name, gradient in analytic.items():
        indices = list(np.ndindex(gradient.shape))
        if entries is not None and rng is not None and entries < len(indices):
            largest = indices.pop(int(np.argmax(np.abs(gradient))))
            indices = [largest, *(indices[i] for i in rng.choice(len(indices), entries - 1, replace=False))]
        numeric: dict[tuple[int, ...], float] = {}
        for index in indices:
            difference = _difference(f, arrays, name, _unit(gradient.shape, index), upstream, masks)
            if difference is not None:
                numeric[index] = difference
        kinks = len(indices) - len(numeric)
        failure = ""
        if kinks > MOST_KINKS * len(indices):
            failure = f"{kinks} of {len(indices)} entries lie on a kink, expected at most 1 %: check it at other values"
        if not np.isfinite(gradient).all():  # at a skipped entry too
            failure = "backward gives NaN or infinity"
        whole = gradient if len(numeric) == gradient.size else None
        reports.append(_compare(name, {index: float(gradient[index]) for index in numeric}, numeric, kinks, failure,
                                whole, (suspects or {}).get(name, ())))
    return reports


def check_directions(
    f: Function, arrays: Arrays, analytic: Arrays, *, upstream: np.ndarray | float,
    rng: np.random.Generator, directions: int = 3, suspects: Suspects | None = None,
) -> list[TensorReport]:
    """Compare `analytic` with centred differences along random directions; two calls of f a direction.

    For large arrays: every entry takes part, but an error in one among many is diluted, so check entries too, on a tiny
    shape. A direction that crosses a kink at every step is drawn again, 20 times at most; after that the check has failed.
    Arguments and result are those of `check_entries`; TensorReport.index is the number of the direction.
    """
    masks = _check_arguments(f, arrays, analytic, upstream)
    reports = []
    for name, gradient in analytic.items():
        products: dict[tuple[int, ...], float] = {}
        numeric: dict[tuple[int, ...], float] = {}
        kinks, failure = 0, ""
        for i in range(directions):
            for _ in range(MOST_DRAWS):
                direction = rng.standard_normal(gradient.shape)
                direction /= np.linalg.norm(direction)
                difference = _difference(f, arrays, name, direction, upstream, masks)
                if difference is not None:
                    products[i,], numeric[i,] = float(np.sum(gradient * direction)), difference
                    break
                kinks += 1
            else:
                failure = f"{MOST_DRAWS} directions drawn, and each crossed a kink at every step down to {STEPS[-1]:g}"
        reports.append(_compare(name, products, numeric, kinks, failure, None, (suspects or {}).get(name, ())))
    return reports


def require(reports: list[TensorReport], tolerance: float = TOLERANCE) -> None:
    """Raise AssertionError, naming every array, unless all errors are at most `tolerance`."""
    if not reports:
        raise AssertionError("gradcheck: nothing was checked")
    if all(report.passes(tolerance) for report in reports):
        return
    lines = (f"  {report.describe(tolerance)}" for report in reports)
    raise AssertionError(f"gradcheck: gradients differ by more than {tolerance:g} of the largest\n" + "\n".join(lines))


def _difference(
    f: Function, arrays: Arrays, name: str, direction: np.ndarray, upstream: np.ndarray | float, masks: tuple[np.ndarray, ...]
) -> float | None:
    """dL along `direction`, a vector of length 1, from arrays[name]; None if every step crosses a kink."""
    point = arrays[name]
    size = max(1.0, float(np.abs(point[direction != 0]).max()))
    for h in STEPS:
        step = h * size * direction
        above, below = point + step, point - step
        out_above, masks_above = _call(f, arrays, name, above)
        out_below, masks_below = _call(f, arrays, name, below)
        if _same(masks_above, masks) and _same(masks_below, masks):
            # Subtract before summing: outputs that did not move then cancel exactly. Divide by the step that was made, not by the
            # one that was meant: above and below are rounded.
            return float(np.sum(upstream * (out_above - out_below)) / np.sum((above - below) * direction))
    return None


def _call(f: Function, arrays: Arrays, name: str, value: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    value.setflags(write=False)
    return _evaluate(f, {**arrays, name: value})


def _evaluate(f: Function, arrays: Arrays) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    result = f(**arrays)
    out, masks = result if isinstance(result, Evaluation) else (result, ())
    return np.array(out), tuple(np.array(mask) for mask in masks)  # copied: the next call may reuse the memory


def _same(masks: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...]) -> bool:
    return all(np.array_equal(mask, other) for mask, other in zip(masks, others, strict=True))


def _unit(shape: tuple[int, ...], index: tuple[int, ...]) -> np.ndarray:
    direction = np.zeros(shape)
    direction[index] = 1
    return direction


def _compare(
    name: str, analytic: dict[tuple[int, ...], float], numeric: dict[tuple[int, ...], float], kinks: int, failure: str,
    whole: np.ndarray | None, suspects: Sequence[Suspect],
) -> TensorReport:
    """whole: the gradient, if every entry of it was compared; a cause is then looked for in the whole array."""
    if not numeric:
        return TensorReport(name, np.nan, (), np.nan, np.nan, 0, kinks, "", failure)
    indices, ours, theirs = list(numeric), np.array(list(analytic.values())), np.array(list(numeric.values()))
    distance = np.abs(ours - theirs)
    worst = int(np.argmax(distance))  # a NaN, if there is one
    error = float(distance[worst] / max(np.abs(theirs).max(), SMALLEST))
    cause = ""
    if not error <= TOLERANCE:
        shape = ours.shape if whole is None else whole.shape
        # Suspects are whole arrays: they cannot be told from a few entries, or from products with directions
        cause = likely_cause(ours.reshape(shape), theirs.reshape(shape), () if whole is None else suspects)
    return TensorReport(name, error, indices[worst], float(ours[worst]), float(theirs[worst]), len(ours), kinks, cause, failure)


def _check_arguments(f: Function, arrays: Arrays, analytic: Arrays, upstream: np.ndarray | float) -> tuple[np.ndarray, ...]:
    """-> the masks of f at the arguments themselves."""
    for name, gradient in analytic.items():
        if name not in arrays:
            raise InputError(f"gradcheck: a gradient for {name!r}, but the arrays are {', '.join(arrays)}")
        array = arrays[name]
        if gradient.shape != array.shape:
            raise InputError(f"gradcheck: the gradient of {name} is {gradient.shape}, "
                             f"expected {array.shape}, like {name}")
        if array.dtype != np.float64 or gradient.dtype != np.float64:
            raise InputError(f"gradcheck: {name} is {array.dtype} and its gradient {gradient.dtype}, expected float64; "
                             "float32 has no digits left after the subtraction")
    out, masks = _evaluate(f, arrays)
    given = np.asarray(upstream)
    if out.shape != given.shape:
        raise InputError(f"gradcheck: upstream is {given.shape}, expected {out.shape}, like the output of f")
    if out.size > 1 and given.min() == given.max():
        raise InputError(f"gradcheck: upstream is {given.flat[0]:g} everywhere, expected random numbers "
                         "(rng.standard_normal); a constant has gradient 0 through softmax and batch norm")
    return masks
