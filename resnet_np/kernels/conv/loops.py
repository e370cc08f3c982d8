"""Convolution in plain loops.

N image, C channel in, F filter, H W input, KH KW kernel, OH OW output. Small letters are indices into these:
through kernel tap (kh, kw), output pixel (oh, ow) sees input pixel (ih, iw),
    ih = oh stride + kh - pad      iw = ow stride + kw - pad.
"""

from collections.abc import Iterator

import numpy as np


def products(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: int, pad: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Every product x * w that the convolution consists of, as three indices: into out, into x, into w.

    Pixels in the padding are 0, so products with them are left out.
    """
    N, C, H, W = x_shape
    F, _, KH, KW = w_shape
    OH = (H + 2 * pad - KH) // stride + 1
    OW = (W + 2 * pad - KW) // stride + 1
    for n in range(N):
        for f in range(F):
            for oh in range(OH):
                for ow in range(OW):
                    for c in range(C):
                        for kh in range(KH):
                            for kw in range(KW):
                                ih = oh * stride + kh - pad
                                iw = ow * stride + kw - pad
                                if 0 <= ih < H and 0 <= iw < W:
                                    yield (n, f, oh, ow), (n, c, ih, iw), (f, c, kh, kw)


def forward(x: np.ndarray, w: np.ndarray, *, stride: int, pad: int) -> np.ndarray:
    N, _, H, W = x.shape
    F, _, KH, KW = w.shape
    out = np.zeros((N, F, (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1), x.dtype)
    for in_out, in_x, in_w in products(x.shape, w.shape, stride, pad):
        out[in_out] += x[in_x] * w[in_w]
    return out


# The same products again. d(x w)/dx = w: every product that a pixel took part in sends its share of dout back to the
# pixel, and a pixel under several windows collects several shares, hence `+=`.
def input_grad(dout: np.ndarray, w: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    dx = np.zeros(x_shape, dout.dtype)
    for in_out, in_x, in_w in products(x_shape, w.shape, stride, pad):
        dx[in_x] += dout[in_out] * w[in_w]
    return dx


# d(x w)/dw = x: a weight collects from every image and every position of its window.
def weight_grad(dout: np.ndarray, x: np.ndarray, *, w_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    dw = np.zeros(w_shape, dout.dtype)
    for in_out, in_x, in_w in products(x.shape, w_shape, stride, pad):
        dw[in_w] += dout[in_out] * x[in_x]
    return dw
