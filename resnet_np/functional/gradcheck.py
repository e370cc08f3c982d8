"""Finite differences: does a gradient that was derived by hand agree with the function?

Anything can be checked that can be written as `out = f(**arrays)`: a pair, a layer, a net. With a random upstream
gradient u, L = sum(u * out) is a number, and a backward pass that was given u must return dL/darray. Centred
differences give the same without any derivation: (L(a + h) - L(a - h)) / 2h.

    x, w, u = (rng.standard_normal(shape) for shape in ((2, 3, 8, 8), (4, 3, 3, 3), (2, 4, 6, 6)))
    dx, dw = conv2d_backward(u, conv2d_forward(x, w)[1])
    f = lambda x, w: conv2d_forward(x, w)[0]
    require(check_entries(f, {"x": x, "w": w}, {"x": dx, "w": dw}, upstream=u))

Three habits of checks that catch bugs: float64 (float32 has no digits left after the subtraction); a random u (with
u = 1 everywhere the gradient through softmax or batch norm is 0, whatever the code does); inputs away from kinks (at
the corner of a ReLU the two sides have different slopes, and the difference is neither). The first two are enforced.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from resnet_np.errors import InputError

Function = Callable[..., np.ndarray | np.floating]
Arrays = Mapping[str, np.ndarray]

STEP = 1e-5  # times max(1, |value|): errors near 1e-10, half from the curvature (h^2), half from rounding (1e-16 / h)
TOLERANCE = 1e-6  # a correct single operation in float64 is 100 times better
SMALLEST = 1e-8  # a tensor whose gradients are all smaller counts as this large: 0 against 1e-17 is no error


@dataclass(frozen=True)
class TensorError:
    """The worst disagreement within one array."""

    name: str
    error: float  # max|analytic - numeric| / max(max|numeric|, SMALLEST) over the array
    index: tuple[int, ...]  # where it is: an entry of the array, or the number of the random direction
    analytic: float  # the backward pass's value there
    numeric: float  # the finite difference there


def check_entries(
    f: Function, arrays: Arrays, analytic: Arrays, *, upstream: np.ndarray | float,
    entries: int | None = None, rng: np.random.Generator | None = None, h: float = STEP,
) -> list[TensorError]:
    """Compare `analytic` with centred differences, entry by entry; two calls of f an entry.

    f         called as f(**arrays) with one array changed; returns an array or a number
    arrays    the arguments by name; f receives a read-only copy of the one that is changed
    analytic  dL/darray by name, float64, for those arrays that are to be checked
    upstream  random, of f's output's shape: what the backward pass was given; a number where f returns one
    entries   check this many of each array: the largest of `analytic`, which sets the scale, and others drawn by rng

    Returns a TensorError an array. Raises InputError if shapes, names or dtypes do not fit, or upstream is constant.
    """
    _check_arguments(f, arrays, analytic, upstream)
    if entries is not None and rng is None:
        raise InputError("gradcheck: entries without rng, expected a np.random.Generator to draw them with")
    errors = []
    for name, gradient in analytic.items():
        indices = list(np.ndindex(gradient.shape))
        if entries is not None and rng is not None and entries < len(indices):
            others = rng.choice(len(indices), entries - 1, replace=False)
            indices = [indices[i] for i in (int(np.argmax(np.abs(gradient))), *others)]
        numeric = [_difference(f, arrays, name, _unit(gradient.shape, index), upstream, h) for index in indices]
        errors.append(_compare(name, [float(gradient[index]) for index in indices], numeric, indices))
    return errors


def check_directions(
    f: Function, arrays: Arrays, analytic: Arrays, *, upstream: np.ndarray | float,
    rng: np.random.Generator, directions: int = 3, h: float = STEP,
) -> list[TensorError]:
    """Compare `analytic` with centred differences along random directions; two calls of f a direction.

    For large arrays: every entry takes part, but an error in one among many is diluted, so check entries too, on a tiny
    shape. Arguments and result are those of `check_entries`; TensorError.index is the number of the direction.
    """
    _check_arguments(f, arrays, analytic, upstream)
    errors = []
    for name, gradient in analytic.items():
        along = [rng.standard_normal(gradient.shape) for _ in range(directions)]
        along = [direction / np.linalg.norm(direction) for direction in along]
        numeric = [_difference(f, arrays, name, direction, upstream, h) for direction in along]
        products = [float(np.sum(gradient * direction)) for direction in along]
        errors.append(_compare(name, products, numeric, [(i,) for i in range(directions)]))
    return errors


def require(errors: list[TensorError], tolerance: float = TOLERANCE) -> None:
    """Raise AssertionError, naming every array, unless all errors are at most `tolerance`."""
    if not errors:
        raise AssertionError("gradcheck: nothing was checked")
    if all(e.error <= tolerance for e in errors):  # NaN is not
        return
    lines = (f"  {'ok   ' if e.error <= tolerance else 'WRONG'} {e.name}: relative error {e.error:.2e}, "
             f"worst at {e.index}: backward gives {e.analytic:.9g}, finite differences {e.numeric:.9g}" for e in errors)
    raise AssertionError(f"gradcheck: gradients differ by more than {tolerance:g} of the largest\n" + "\n".join(lines))


def _difference(
    f: Function, arrays: Arrays, name: str, direction: np.ndarray, upstream: np.ndarray | float, h: float
) -> float:
    """dL along `direction`, a vector of length 1, from arrays[name]."""
    point = arrays[name]
    step = h * max(1.0, float(np.abs(point[direction != 0]).max())) * direction
    above, below = point + step, point - step
    # Subtract before summing: outputs that did not move then cancel exactly.
    change = _call(f, arrays, name, above) - _call(f, arrays, name, below)
    # Divide by the step that was made, not by the one that was meant: above and below are rounded.
    return float(np.sum(upstream * change) / np.sum((above - below) * direction))


def _call(f: Function, arrays: Arrays, name: str, value: np.ndarray) -> np.ndarray:
    value.setflags(write=False)
    return np.array(f(**{**arrays, name: value}))  # copied: the next call may reuse the memory


def _unit(shape: tuple[int, ...], index: tuple[int, ...]) -> np.ndarray:
    direction = np.zeros(shape)
    direction[index] = 1
    return direction


def _compare(name: str, analytic: list[float], numeric: list[float], indices: list[tuple[int, ...]]) -> TensorError:
    distance = np.abs(np.subtract(analytic, numeric))
    worst = int(np.argmax(distance))  # a NaN, if there is one
    error = distance[worst] / max(np.abs(numeric).max(), SMALLEST)
    return TensorError(name, float(error), indices[worst], float(analytic[worst]), float(numeric[worst]))


def _check_arguments(f: Function, arrays: Arrays, analytic: Arrays, upstream: np.ndarray | float) -> None:
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
    out, given = np.asarray(f(**arrays)), np.asarray(upstream)
    if out.shape != given.shape:
        raise InputError(f"gradcheck: upstream is {given.shape}, expected {out.shape}, like the output of f")
    if out.size > 1 and given.min() == given.max():
        raise InputError(f"gradcheck: upstream is {given.flat[0]:g} everywhere, expected random numbers "
                         "(rng.standard_normal): a constant has gradient 0 through softmax and batch norm")
