"""Pooling: mean and largest pixel of a whole map, largest and mean of a window; the contract is in `kernels/__init__.py`.

N image, C channel, H W input, k side of the window, OH OW output; OH = (H + 2 pad - k) // stride + 1.
"""

import numpy as np

from resnet_np.backend import kernels


def global_average_forward(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W) -> out (N, C), the mean over the pixels; of maps in bf16 it is float32."""
    return kernels(__name__, x).global_average_forward(x)


def global_average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    """dout (N, C) -> dx of shape x_shape (N, C, H, W)."""
    return kernels(__name__, dout).global_average_backward(dout, x_shape=x_shape)


def global_max_forward(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (N, C, H, W) -> out (N, C) and the winners, int32 of out's shape: the place h*W + w of the largest pixel in its map.

    Of equal pixels the first wins; a NaN wins against every number. Of maps in bf16 out is float32. The gradient is that of
    `max_backward`, of one window a map.
    """
    return kernels(__name__, x).global_max_forward(x)


def max_forward(x: np.ndarray, *, k: int, stride: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """x (N, C, H, W) -> out (N, C, OH, OW) and the winners, int32 of out's shape: the place h*W + w of each maximum in its map.

    Of equal pixels the first wins; a NaN wins against every number. Padding never wins. pad < k, so every window holds a pixel.
    """
    return kernels(__name__, x).max_forward(x, k=k, stride=stride, pad=pad)


def max_backward(dout: np.ndarray, winners: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    """dout and winners (N, C, OH, OW) -> dx of shape x_shape: a pixel collects the gradient of every window that it won."""
    return kernels(__name__, dout).max_backward(dout, winners, x_shape=x_shape)


def average_forward(x: np.ndarray, *, k: int, stride: int) -> np.ndarray:
    """x (N, C, H, W) -> out (N, C, OH, OW), the mean of every window; no padding."""
    return kernels(__name__, x).average_forward(x, k=k, stride=stride)


def average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...], k: int, stride: int) -> np.ndarray:
    """dout (N, C, OH, OW) -> dx of shape x_shape: a pixel collects a share of every window that saw it."""
    return kernels(__name__, dout).average_backward(dout, x_shape=x_shape, k=k, stride=stride)
