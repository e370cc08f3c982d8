"""Dropout, as a pair, on an array of any shape."""

from typing import NamedTuple

import numpy as np

from resnet_np.backend import like
from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import elementwise


class DropoutCache(NamedTuple):
    mask: np.ndarray  # of x's shape and dtype: 0 where a value was dropped, 1 / (1 - rate) where it was kept


def dropout_forward(x: np.ndarray, *, rate: float, rng: np.random.Generator) -> tuple[np.ndarray, DropoutCache]:
    """Set every value to 0 with probability `rate`; divide those that stay by 1 - rate, so that the expectation is x.

    x of any shape, float32 or float64 -> out of the same shape, and a DropoutCache. For training only: evaluation uses x as it is,
    which needs no factor because of that division. Raises InputError if rate is not in [0, 1).
    Srivastava et al. 2014, section 4; the division in training instead of in evaluation: section 10.
    """
    x, = checks.arrays("dropout", x=(x, "..."))
    if not 0 <= rate < 1:
        raise InputError(f"dropout: rate is {rate!r}, expected a number of at least 0 and below 1")
    mask = (rng.random(x.shape) >= rate).astype(x.dtype)
    mask /= x.dtype.type(1 - rate)
    mask = like(mask, x)
    return elementwise.multiply(x, mask), DropoutCache(mask)


def dropout_backward(dout: np.ndarray, cache: DropoutCache) -> np.ndarray:
    """dout -> dx: dout * mask, because the mask did not depend on x.

    Raises InputError if dout does not have the output's shape and dtype.
    """
    dout = checks.gradient("dropout_backward", dout, cache.mask.shape, cache.mask.dtype)
    return elementwise.multiply(dout, cache.mask)
