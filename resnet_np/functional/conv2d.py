"""Convolution of a batch of images, as a pair.

N image, C channel in, F filter, H W input, KH KW kernel, OH OW output.
"""

from typing import NamedTuple

import numpy as np

from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import conv


class ConvCache(NamedTuple):
    x: np.ndarray  # (N, C, H, W); the previous layer's output, so it costs nothing
    w: np.ndarray  # (F, C, KH, KW); the parameter itself
    stride: int
    pad: int


class ConvGrads(NamedTuple):
    dx: np.ndarray | None  # (N, C, H, W); None where need_dx was False
    dw: np.ndarray  # (F, C, KH, KW)


def conv2d_forward(x: np.ndarray, w: np.ndarray, *, stride: int = 1, pad: int = 0) -> tuple[np.ndarray, ConvCache]:
    """Cross-correlate a batch with F filters (the filters are not flipped), `pad` zeros on every side.

    x (N, C, H, W), w (F, C, KH, KW), both float32 or both float64, or x bf16 and w float32 -> out (N, F, OH, OW), of x's
    dtype, and a ConvCache.
    OH = (H + 2 pad - KH) // stride + 1. Raises InputError if channels or dtypes differ or the window does not fit.
    He et al. 2015, section 3.3.
    """
    x, w = checks.arrays("conv2d", x=(x, "N C H W"), w=(w, "F C KH KW"))
    stride = checks.whole("conv2d", "stride", stride, least=1)
    pad = checks.whole("conv2d", "pad", pad, least=0)
    output_size(x, w, stride, pad)
    return conv.forward(x, w, stride=stride, pad=pad), ConvCache(x, w, stride, pad)


def conv2d_backward(dout: np.ndarray, cache: ConvCache, *, need_dx: bool = True) -> ConvGrads:
    """dout (N, F, OH, OW) -> dx (N, C, H, W) and dw (F, C, KH, KW).

    need_dx=False leaves dx out: the first layer's input is a picture, which nobody updates.
    Raises InputError if dout does not have the output's shape and dtype.
    """
    x, w, stride, pad = cache
    shape = (x.shape[0], w.shape[0], *output_size(x, w, stride, pad))
    dout = checks.gradient("conv2d_backward", dout, shape, x.dtype)
    dx = conv.input_grad(dout, w, x_shape=x.shape, stride=stride, pad=pad) if need_dx else None
    return ConvGrads(dx, conv.weight_grad(dout, x, w_shape=w.shape, stride=stride, pad=pad))


def output_size(x: np.ndarray, w: np.ndarray, stride: int, pad: int) -> tuple[int, int]:
    """OH and OW. Raises InputError if the window does not fit."""
    rows, columns = x.shape[2] + 2 * pad - w.shape[2], x.shape[3] + 2 * pad - w.shape[3]
    if rows < 0 or columns < 0:
        raise InputError(f"conv2d: a {w.shape[2]}x{w.shape[3]} window does not fit into {x.shape[2]}x{x.shape[3]} "
                         f"pixels padded by {pad}; pad more or use a smaller kernel: x {x.shape}, w {w.shape}")
    return rows // stride + 1, columns // stride + 1
