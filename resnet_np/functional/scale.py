"""A constant factor, as a pair, on an array of any shape."""

from typing import NamedTuple

import numpy as np

from resnet_np.backend import namespace
from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import elementwise


class ScaleCache(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype
    factor: float


def scale_forward(x: np.ndarray, *, factor: float) -> tuple[np.ndarray, ScaleCache]:
    """x of any shape, float32 or float64 -> factor * x, and a ScaleCache. Raises InputError for a factor that is not finite.

    Logits are divided so by a "temperature" (Hinton et al. 2015, section 2): a fresh net is then less sure of itself, and the
    weights below learn more slowly.
    """
    x, = checks.arrays("scale", x=(x, "..."))
    if not np.isfinite(factor):
        raise InputError(f"scale: factor is {factor!r}, expected a finite number")
    return elementwise.multiply(x, namespace(x).full_like(x, factor)), ScaleCache(x.shape, x.dtype, factor)


def scale_backward(dout: np.ndarray, cache: ScaleCache) -> np.ndarray:
    """dout -> dx = factor * dout. Raises InputError if dout does not have the output's shape and dtype."""
    dout = checks.gradient("scale_backward", dout, cache.shape, cache.dtype)
    return elementwise.multiply(dout, namespace(dout).full_like(dout, cache.factor))
