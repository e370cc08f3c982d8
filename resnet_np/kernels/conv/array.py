"""Convolution in array code: a matrix product with im2col's columns.

N image, C channel in, F filter, H W input, KH KW kernel, OH OW output.
R = C*KH*KW is what one window sees, P = OH*OW the number of windows.

(1) A window, flattened, is a column of R values; im2col puts the P columns of an image side by side: columns (R, P).
(2) With the weights flattened the same way, w (F, R), the convolution is out (F, P) = w @ columns.
(3) For a product A @ B the gradients are dA = dout @ B^T and dB = A^T @ dout, so
        dw (F, R) = sum over images of dout @ columns^T,      dcolumns (R, P) = w^T @ dout.
(4) im2col copies: column entry <- pixel. Its adjoint col2im adds: pixel += every entry that was copied from it. A pixel
    lies in up to KH*KW windows, and by the chain rule it collects the gradient of every copy.

The columns are KH*KW times as large as the images, so they exist for a slab of images at a time.
"""

from collections.abc import Iterator

import numpy as np

SLAB_BYTES = 1 << 24  # columns in memory at a time; 16 MiB fits in the last-level cache


def im2col(x: np.ndarray, kh: int, kw: int, *, stride: int, pad: int) -> np.ndarray:
    """x (N, C, H, W) -> columns (N, C*kh*kw, OH*OW): column p holds what window p sees."""
    N, C, H, W = x.shape
    OH, OW = _output_size(H, W, kh, kw, stride, pad)
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    columns = np.empty((N, C, kh, kw, OH, OW), x.dtype)
    for i in range(kh):
        for j in range(kw):
            columns[:, :, i, j] = padded[:, :, i:i + stride * OH:stride, j:j + stride * OW:stride]
    return columns.reshape(N, C * kh * kw, OH * OW)


def col2im(columns: np.ndarray, *, x_shape: tuple[int, ...], kh: int, kw: int, stride: int, pad: int) -> np.ndarray:
    """columns (N, C*kh*kw, OH*OW) -> x_shape (N, C, H, W): a pixel is the sum of its copies. The adjoint of im2col."""
    N, C, H, W = x_shape
    OH, OW = _output_size(H, W, kh, kw, stride, pad)
    columns = columns.reshape(N, C, kh, kw, OH, OW)
    padded = np.zeros((N, C, H + 2 * pad, W + 2 * pad), columns.dtype)
    for i in range(kh):
        for j in range(kw):
            padded[:, :, i:i + stride * OH:stride, j:j + stride * OW:stride] += columns[:, :, i, j]
    return np.ascontiguousarray(padded[:, :, pad:pad + H, pad:pad + W])


def forward(x: np.ndarray, w: np.ndarray, *, stride: int, pad: int) -> np.ndarray:
    N, _, H, W = x.shape
    F, _, KH, KW = w.shape
    OH, OW = _output_size(H, W, KH, KW, stride, pad)
    out = np.empty((N, F, OH * OW), x.dtype)
    for slab in _slabs(x.shape, w.shape, OH * OW, x.itemsize):
        out[slab] = w.reshape(F, -1) @ im2col(x[slab], KH, KW, stride=stride, pad=pad)  # (2)
    return out.reshape(N, F, OH, OW)


def input_grad(dout: np.ndarray, w: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    _, F, OH, OW = dout.shape
    KH, KW = w.shape[2:]
    dx = np.empty(x_shape, dout.dtype)
    for slab in _slabs(x_shape, w.shape, OH * OW, dout.itemsize):
        dcolumns = w.reshape(F, -1).T @ dout[slab].reshape(-1, F, OH * OW)  # (3)
        shape = (len(dcolumns), *x_shape[1:])
        dx[slab] = col2im(dcolumns, x_shape=shape, kh=KH, kw=KW, stride=stride, pad=pad)  # (4)
    return dx


def weight_grad(dout: np.ndarray, x: np.ndarray, *, w_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    _, F, OH, OW = dout.shape
    KH, KW = w_shape[2:]
    dw = np.zeros((F, x.shape[1] * KH * KW), dout.dtype)
    for slab in _slabs(x.shape, w_shape, OH * OW, dout.itemsize):
        columns = im2col(x[slab], KH, KW, stride=stride, pad=pad)
        dw += np.tensordot(dout[slab].reshape(-1, F, OH * OW), columns, axes=((0, 2), (0, 2)))  # (3), over N and P
    return dw.reshape(w_shape)


def _output_size(height: int, width: int, kh: int, kw: int, stride: int, pad: int) -> tuple[int, int]:
    return (height + 2 * pad - kh) // stride + 1, (width + 2 * pad - kw) // stride + 1


def _slabs(x_shape: tuple[int, ...], w_shape: tuple[int, ...], pixels: int, itemsize: int) -> Iterator[slice]:
    """The batch in slices whose columns stay within SLAB_BYTES, one image at least."""
    C, KH, KW = w_shape[1:]
    images = max(1, SLAB_BYTES // (C * KH * KW * pixels * itemsize))
    for start in range(0, x_shape[0], images):
        yield slice(start, start + images)
