"""Convolution (cross-correlation) of a batch of images; the contract is in `kernels/__init__.py`.

N image, C channel in, F filter, H W input, KH KW kernel, OH OW output; OH = (H + 2 pad - KH) // stride + 1.

A ladder, each rung the oracle of the next. Forward pass of a 3x3 layer of ResNet-20's first stage (16 to 16 channels, 32x32), batch
128, float32, two threads of an AMD EPYC (Zen 4), whose largest sgemm reaches 198 GFLOP/s; 2026-11-24:

    rung        GFLOP/s   what was gained
    loops.py      0.004   nothing yet: the definition, product by product, in Python
    array.py         38   im2col makes it one matrix product, which BLAS does; but the columns are nine times the images
    tiles.py        130   the columns exist 16 at a time, in the cache, and are multiplied at once, by explicit SIMD
    direct.py       160   no columns at all: a tap is a distance in the padded image

loops and array are backends; jit.py is the third: direct.py where rows are whole vectors, else tiles.py.
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
