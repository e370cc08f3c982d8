"""Pooling in plain loops.

N image, C channel, H W input, k side of the window, OH OW output. Output pixel (oh, ow) sees the input pixels
    ih = oh stride + i - pad      iw = ow stride + j - pad      for i, j = 0 ... k - 1, where they exist.
"""

from collections.abc import Iterator

import numpy as np


def global_average_forward(x: np.ndarray) -> np.ndarray:
    N, C, H, W = x.shape
    out = np.empty((N, C), x.dtype)
    for n in range(N):
        for c in range(C):
            total = 0.0
            for h in range(H):
                for w in range(W):
                    total += float(x[n, c, h, w])
            out[n, c] = total / (H * W)
    return out


# Every pixel has the same share 1 / (H W) in the mean.
def global_average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    N, C, H, W = x_shape
    dx = np.empty(x_shape, dout.dtype)
    for n in range(N):
        for c in range(C):
            for h in range(H):
                for w in range(W):
                    dx[n, c, h, w] = dout[n, c] / (H * W)
    return dx


def global_max_forward(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    N, C, H, W = x.shape
    out, winners = np.empty((N, C), x.dtype), np.empty((N, C), np.int32)
    for n, c in np.ndindex(out.shape):
        best = None
        for h, w in np.ndindex(H, W):
            value = x[n, c, h, w]
            if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                best, winners[n, c] = value, h * W + w
        out[n, c] = best
    return out, winners


def window(oh: int, ow: int, shape: tuple[int, ...], k: int, stride: int, pad: int) -> Iterator[tuple[int, int]]:
    """The input pixels (ih, iw) that output pixel (oh, ow) sees, row by row; padding is no pixel."""
    H, W = shape[2:]
    for i in range(k):
        for j in range(k):
            ih, iw = oh * stride + i - pad, ow * stride + j - pad
            if 0 <= ih < H and 0 <= iw < W:
                yield ih, iw


def max_forward(x: np.ndarray, *, k: int, stride: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    N, C, H, W = x.shape
    out = np.empty((N, C, (H + 2 * pad - k) // stride + 1, (W + 2 * pad - k) // stride + 1), x.dtype)
    winners = np.empty(out.shape, np.int32)
    for n, c, oh, ow in np.ndindex(out.shape):
        best = None
        for ih, iw in window(oh, ow, x.shape, k, stride, pad):
            value = x[n, c, ih, iw]
            if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                best = value
                winners[n, c, oh, ow] = ih * W + iw
        out[n, c, oh, ow] = best
    return out, winners


# A small change of the winner changes the maximum as much; a change of any other pixel does not change it at all.
# Windows overlap where k > stride: a pixel may win several, hence `+=`.
def max_backward(dout: np.ndarray, winners: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    W = x_shape[3]
    dx = np.zeros(x_shape, dout.dtype)
    for n, c, oh, ow in np.ndindex(dout.shape):
        ih, iw = divmod(int(winners[n, c, oh, ow]), W)
        dx[n, c, ih, iw] += dout[n, c, oh, ow]
    return dx


def average_forward(x: np.ndarray, *, k: int, stride: int) -> np.ndarray:
    N, C, H, W = x.shape
    out = np.empty((N, C, (H - k) // stride + 1, (W - k) // stride + 1), x.dtype)
    for n, c, oh, ow in np.ndindex(out.shape):
        total = 0.0
        for ih, iw in window(oh, ow, x.shape, k, stride, 0):
            total += float(x[n, c, ih, iw])
        out[n, c, oh, ow] = total / (k * k)
    return out


# Every pixel has the share 1 / k^2 in each window that sees it.
def average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...], k: int, stride: int) -> np.ndarray:
    dx = np.zeros(x_shape, dout.dtype)
    for n, c, oh, ow in np.ndindex(dout.shape):
        for ih, iw in window(oh, ow, x_shape, k, stride, 0):
            dx[n, c, ih, iw] += dout[n, c, oh, ow] / (k * k)
    return dx
