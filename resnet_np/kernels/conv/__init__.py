"""Convolution (cross-correlation) of a batch of images; the contract is in `kernels/__init__.py`.

N image, C channel in, F filter, H W input, KH KW kernel, OH OW output; OH = (H + 2 pad - KH) // stride + 1.
"""

import numpy as np

from resnet_np.backend import kernels


def forward(x: np.ndarray, w: np.ndarray, *, stride: int, pad: int) -> np.ndarray:
    """x (N, C, H, W), w (F, C, KH, KW) -> out (N, F, OH, OW)."""
    return kernels(__name__).forward(x, w, stride=stride, pad=pad)


def input_grad(dout: np.ndarray, w: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    """dout (N, F, OH, OW), w (F, C, KH, KW) -> dx of shape x_shape (N, C, H, W)."""
    return kernels(__name__).input_grad(dout, w, x_shape=x_shape, stride=stride, pad=pad)


def weight_grad(dout: np.ndarray, x: np.ndarray, *, w_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    """dout (N, F, OH, OW), x (N, C, H, W) -> dw of shape w_shape (F, C, KH, KW)."""
    return kernels(__name__).weight_grad(dout, x, w_shape=w_shape, stride=stride, pad=pad)
