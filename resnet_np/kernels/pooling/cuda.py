"""Pooling on the device: the means in array code, the maxima in cuda.cu. Equations as in array.py.

N image, C channel, H W input, k side of the window, OH OW output.
"""

import numpy as np

from resnet_np.backend import namespace
from resnet_np.kernels.device import LANES, Kernels
from resnet_np.kernels.pooling.array import _places, global_average_forward

__all__ = ["average_backward", "average_forward", "global_average_backward", "global_average_forward",
           "global_max_forward", "max_backward", "max_forward"]

_kernels = Kernels(__file__)


def global_average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    H, W = x_shape[2:]
    return namespace(dout).broadcast_to((dout / (H * W))[:, :, None, None], x_shape).copy()  # (2)


def global_max_forward(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # The map as one window. Not by argmax: of two NaNs CuPy's need not give the first.
    N, C, H, W = x.shape
    out, winners = namespace(x).empty((N, C), x.dtype), namespace(x).empty((N, C), np.int32)
    _kernels.each("max_forward", out.size, out, winners, x, H, W, 1, 1, max(H, W), 1, 0)  # (3)
    return out, winners


def max_forward(x: np.ndarray, *, k: int, stride: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    N, C, H, W = x.shape
    shape = (N, C, (H + 2 * pad - k) // stride + 1, (W + 2 * pad - k) // stride + 1)
    out, winners = namespace(x).empty(shape, x.dtype), namespace(x).empty(shape, np.int32)
    _kernels.each("max_forward", out.size, out, winners, x, H, W, *shape[2:], k, stride, pad)  # (3)
    return out, winners


def max_backward(dout: np.ndarray, winners: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    (N, C, H, W), (OH, OW) = x_shape, dout.shape[2:]
    dx = namespace(dout).empty(x_shape, dout.dtype)
    _kernels.blocks("max_backward", N * C, LANES, dx, dout, winners, OH * OW, H * W)  # (4)
    return dx


def average_forward(x: np.ndarray, *, k: int, stride: int) -> np.ndarray:
    OH, OW = ((size - k) // stride + 1 for size in x.shape[2:])
    total = namespace(x).zeros((*x.shape[:2], OH, OW), np.float64)
    for _, seen in _places(x, k, stride):
        total += seen
    return (total / (k * k)).astype(x.dtype)  # (5)


def average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...], k: int, stride: int) -> np.ndarray:
    dx = namespace(dout).zeros(x_shape, dout.dtype)
    for _, seen in _places(dx, k, stride):
        seen += dout / (k * k)  # (6); seen is a view of dx
    return dx
