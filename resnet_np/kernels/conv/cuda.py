"""Convolution on the device: array.py's matrix product, with columns that lie side by side for a whole slab of images.

N image, C channel in, F filter, R = C*KH*KW values of a window, P = OH*OW windows an image. Equations as in array.py.

array.py multiplies image by image; a GPU wants one large product. So the columns are (R, N*P), and out (F, N*P) is then moved to
(N, F, P). The columns are KH*KW times as large as the images: they exist for a slab of images at a time.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from resnet_np.backend import namespace
from resnet_np.kernels.device import Kernels

SLAB_BYTES = 1 << 28  # columns in memory at a time

_kernels = Kernels(__file__)


def forward(x: np.ndarray, w: np.ndarray, *, stride: int, pad: int) -> np.ndarray:
    N, C, H, W = x.shape
    F, _, KH, KW = w.shape
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    rows = w.reshape(F, -1)
    if _is_pointwise(w.shape, stride, pad):
        return (rows @ x.reshape(N, C, -1)).reshape(N, F, OH, OW)  # (2), with images for columns
    out = namespace(x).empty((N, F, OH * OW), x.dtype)
    for slab in _slabs(N, w.size // F * OH * OW * x.itemsize):
        columns = _im2col(x[slab], w.shape, (OH, OW), stride, pad)
        out[slab] = (rows @ columns).reshape(F, -1, OH * OW).transpose(1, 0, 2)  # (2)
    return out.reshape(N, F, OH, OW)


def input_grad(dout: np.ndarray, w: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    return input_grad_plus(dout, w, None, x_shape=x_shape, stride=stride, pad=pad)


def input_grad_plus(
    dout: np.ndarray, w: np.ndarray, plus: np.ndarray | None, *, x_shape: tuple[int, ...], stride: int, pad: int
) -> np.ndarray:
    """-> dx, and `plus` (N, C, H, W) added to it unless it is None."""
    (N, F, OH, OW), (C, H, W), (KH, KW) = dout.shape, x_shape[1:], w.shape[2:]
    rows = w.reshape(F, -1).T
    if _is_pointwise(w.shape, stride, pad):
        dx = (rows @ dout.reshape(N, F, -1)).reshape(x_shape)  # (3), with images for columns
        if plus is not None:
            dx += plus
        return dx
    dx = namespace(dout).empty(x_shape, dout.dtype)
    for slab in _slabs(N, w.size // F * OH * OW * dout.itemsize):
        dcolumns = rows @ _filters_first(dout[slab])  # (3)
        _kernels.each("col2im", dx[slab].size, dx[slab], dcolumns, None if plus is None else plus[slab],
                      len(dx[slab]), C, H, W, KH, KW, OH, OW, stride, pad)  # (4)
    return dx


def weight_grad(dout: np.ndarray, x: np.ndarray, *, w_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    (_, C, KH, KW), (OH, OW) = w_shape, dout.shape[2:]
    parts = (_filters_first(dout[slab]) @ _im2col(x[slab], w_shape, (OH, OW), stride, pad).T  # (3), over N and P
             for slab in _slabs(len(x), C * KH * KW * OH * OW * x.itemsize))
    dw = next(parts)
    for part in parts:
        dw += part
    return dw.reshape(w_shape)


def _im2col(x: np.ndarray, w_shape: tuple[int, ...], size: tuple[int, int], stride: int, pad: int) -> Any:
    """x (N, C, H, W) -> columns (R, N*P): every image's, side by side."""
    (N, C, H, W), (KH, KW), (OH, OW) = x.shape, w_shape[2:], size
    columns = namespace(x).empty((C * KH * KW, N * OH * OW), x.dtype)
    _kernels.each("im2col", C * N * OH * OW, columns, x, N, C, H, W, KH, KW, OH, OW, stride, pad)
    return columns


def _filters_first(dout: np.ndarray) -> np.ndarray:
    """dout (N, F, OH, OW) -> (F, N*P)."""
    return dout.transpose(1, 0, 2, 3).reshape(dout.shape[1], -1)


def _is_pointwise(w_shape: tuple[int, ...], stride: int, pad: int) -> bool:
    """Whether a window is a pixel: then the columns of an image are the image itself."""
    return w_shape[2:] == (1, 1) and stride == 1 and pad == 0


def _slabs(images: int, image_bytes: int) -> Iterator[slice]:
    """The batch in slices whose columns stay within SLAB_BYTES, one image at least."""
    step = max(1, SLAB_BYTES // image_bytes)
    for start in range(0, images, step):
        yield slice(start, start + step)
