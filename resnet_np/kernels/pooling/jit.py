"""Global average pooling compiled by Numba. Too small for threads: 64 planes of 8x8 an image."""

import numpy as np

from resnet_np.kernels.compile import serial
from resnet_np.workspace import empty


def global_average_forward(x):
    """x (N, C, H, W) -> out (N, C): the mean of every plane, summed in float64."""
    out = empty(x.shape[:2], x.dtype)
    _forward(x.reshape(*x.shape[:2], -1), out)
    return out


def global_average_backward(dout, *, x_shape):
    """dout (N, C) -> dx (N, C, H, W): every pixel had the weight 1 / (H W)."""
    dx = empty(x_shape, dout.dtype)
    _backward(dout, dx.reshape(*x_shape[:2], -1))
    return dx


@serial
def _forward(x, out):
    images, channels, pixels = x.shape
    for n in range(images):
        for c in range(channels):
            total = 0.0
            for p in range(pixels):
                total += np.float64(x[n, c, p])
            out[n, c] = total / pixels


@serial
def _backward(dout, dx):
    images, channels, pixels = dx.shape
    for n in range(images):
        for c in range(channels):
            d = dout[n, c] / pixels
            for p in range(pixels):
                dx[n, c, p] = d
