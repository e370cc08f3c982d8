"""ReLU, as a pair: max(x, 0) on an array of any shape."""

from typing import NamedTuple

import numpy as np

from resnet_np.functional import checks
from resnet_np.kernels import elementwise


class ReLUCache(NamedTuple):
    out: np.ndarray  # the output: it is positive exactly where x was, and it is the next layer's x, so it costs nothing


def relu_forward(x: np.ndarray) -> tuple[np.ndarray, ReLUCache]:
    """x of any shape, float32 or float64, or maps in bf16 -> out (0 where x <= 0, else x) and a ReLUCache.

    A NaN passes through, so that it can be found. Raises InputError for other dtypes.
    """
    x, = checks.arrays("relu", x=(x, "..."))
    out = elementwise.relu_forward(x)
    return out, ReLUCache(out)


def relu_backward(dout: np.ndarray, cache: ReLUCache) -> np.ndarray:
    """dout -> dx: dout where x was positive, else 0. At x = 0, where there is no derivative, 0 (as PyTorch).

    A fresh array: the other branch of a block still needs dout. Raises InputError if dout does not match the output.
    """
    dout = checks.gradient("relu_backward", dout, cache.out.shape, cache.out.dtype)
    return elementwise.relu_backward(dout, cache.out)
