"""Option A shortcut on the device: array.py with CuPy's functions. Equations as there."""

import numpy as np

from resnet_np.backend import namespace


def forward(x: np.ndarray, *, channels: int, stride: int, before: int) -> np.ndarray:
    N, C, H, W = x.shape
    out = namespace(x).zeros((N, channels, -(-H // stride), -(-W // stride)), x.dtype)
    out[:, before:before + C] = x[:, :, ::stride, ::stride]  # (1)
    return out


def backward(dout: np.ndarray, *, x_shape: tuple[int, ...], stride: int, before: int) -> np.ndarray:
    dx = namespace(dout).zeros(x_shape, dout.dtype)
    dx[:, :, ::stride, ::stride] = dout[:, before:before + x_shape[1]]  # (2)
    return dx
