"""The fully connected layer, as a pair. N image, I input feature, O output."""

from typing import NamedTuple

import numpy as np

from resnet_np.functional import checks
from resnet_np.kernels import linear


class LinearCache(NamedTuple):
    x: np.ndarray  # (N, I); the pooled features
    w: np.ndarray  # (O, I); the parameter itself


class LinearGrads(NamedTuple):
    dx: np.ndarray  # (N, I)
    dw: np.ndarray  # (O, I)
    db: np.ndarray  # (O,)


def linear_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, LinearCache]:
    """x (N, I), w (O, I), b (O,), all float32 or all float64 -> out (N, O) = x w^T + b and a LinearCache.

    Raises InputError if sizes or dtypes differ.
    """
    x, w, b = checks.arrays("linear", x=(x, "N I"), w=(w, "O I"), b=(b, "O"))
    return linear.forward(x, w, b), LinearCache(x, w)


def linear_backward(dout: np.ndarray, cache: LinearCache) -> LinearGrads:
    """dout (N, O) -> dx (N, I), dw (O, I), db (O,).

    Raises InputError if dout does not have the output's shape and dtype.
    """
    x, w = cache
    dout = checks.gradient("linear_backward", dout, (x.shape[0], w.shape[0]), x.dtype)
    return LinearGrads(*linear.backward(dout, x, w))
