"""Pooling compiled by Numba. N image, C channel, H W input, k side of the window, OH OW output.

The global pools are too small for threads: 64 maps of 8x8 an image. The others take an image, or some maps, a loop turn.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.compile import inline, parallel, reduction, serial
from resnet_np.workspace import empty

TOGETHER = 256  # windows of 2x2 that are compared at once, or those of a whole map: in float32 a map of 62 pixels fits the L1 cache


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


def global_max_forward(x):
    """x (N, C, H, W) -> out (N, C), the largest pixel of every plane, and its place, int32 of the same shape."""
    out = empty(x.shape[:2], x.dtype)
    winners = empty(out.shape, np.int32)
    _global_max_forward(x.reshape(*x.shape[:2], -1), out, winners)
    return out, winners


def max_forward(x, *, k, stride, pad):
    """x (N, C, H, W) -> out (N, C, OH, OW), winners int32 of the same shape."""
    images, channels, height, width = x.shape
    out = empty((images, channels, (height + 2 * pad - k) // stride + 1, (width + 2 * pad - k) // stride + 1), x.dtype)
    winners = empty(out.shape, np.int32)
    if (k, stride, pad) == (2, 2, 0):
        places = _first_places(*out.shape[2:], width)
        corners = empty((get_num_threads(), 4, len(places)), x.dtype)
        _max_forward_2x2(x.reshape(images * channels, height, width), places, corners, out.reshape(images * channels, -1),
                         winners.reshape(images * channels, -1))
    else:
        _max_forward(x, k, stride, pad, out, winners)
    return out, winners


def _first_places(oh, ow, width):
    """-> (windows,) int32: where in its map each window of 2x2 begins; repeated for as many maps as have no more than `TOGETHER`
    windows, at least for one."""
    places = (2 * np.arange(oh, dtype=np.int32)[:, None] * np.int32(width) + 2 * np.arange(ow, dtype=np.int32)).ravel()
    return np.tile(places, max(1, TOGETHER // len(places)))


def max_backward(dout, winners, *, x_shape):
    """dout, winners (N, C, OH, OW) -> dx (N, C, H, W): every window's gradient goes to its winner."""
    dx = empty(x_shape, dout.dtype)
    images, channels = x_shape[:2]
    _max_backward(dout.reshape(images, channels, -1), winners.reshape(images, channels, -1), dx.reshape(images, channels, -1))
    return dx


def average_forward(x, *, k, stride):
    """x (N, C, H, W) -> out (N, C, OH, OW): the mean of every window, summed in float64."""
    images, channels, height, width = x.shape
    out = empty((images, channels, (height - k) // stride + 1, (width - k) // stride + 1), x.dtype)
    _average_forward(x, k, stride, out)
    return out


def average_backward(dout, *, x_shape, k, stride):
    """dout (N, C, OH, OW) -> dx (N, C, H, W): every pixel of a window had the weight 1 / k^2."""
    dx = empty(x_shape, dout.dtype)
    _average_backward(dout, k, stride, dx)
    return dx


@reduction
def _sum(x):
    total = 0.0
    for p in range(x.shape[0]):
        total += np.float64(x[p])
    return total


@serial
def _forward(x, out):
    images, channels, pixels = x.shape
    for n in range(images):
        for c in range(channels):
            out[n, c] = _sum(x[n, c]) / pixels


@serial
def _backward(dout, dx):
    images, channels, pixels = dx.shape
    for n in range(images):
        for c in range(channels):
            d = dout[n, c] / pixels
            for p in range(pixels):
                dx[n, c, p] = d


@serial
def _global_max_forward(x, out, winners):
    images, channels, pixels = x.shape
    for n in range(images):
        for c in range(channels):
            best, winner = x[n, c, 0], np.int32(0)
            for p in range(1, pixels):
                best, winner = _larger(best, winner, x[n, c, p], np.int32(p))
            out[n, c], winners[n, c] = best, winner


@parallel
def _max_forward(x, k, stride, pad, out, winners):
    height, width = x.shape[2:]
    for n in prange(out.shape[0]):
        for c in range(out.shape[1]):
            for oh in range(out.shape[2]):
                top, bottom = max(0, oh * stride - pad), min(height, oh * stride - pad + k)
                for ow in range(out.shape[3]):
                    left, right = max(0, ow * stride - pad), min(width, ow * stride - pad + k)
                    best, winner = x[n, c, top, left], top * width + left  # the first pixel; padding takes no part
                    for ih in range(top, bottom):
                        for iw in range(left, right):
                            value = x[n, c, ih, iw]
                            if value > best or (np.isnan(value) and not np.isnan(best)):
                                best, winner = value, ih * width + iw
                    out[n, c, oh, ow], winners[n, c, oh, ow] = best, winner


@parallel
def _max_forward_2x2(x, places, corners, out, winners):
    """The same for windows of 2x2 side by side: x (M, H, W), out and winners (M, OH * OW). places: see `_first_places`.

    First the windows' corners are put apart, upper left, upper right, lower left, lower right; then they are compared, without a
    branch and however short the rows are, so that LLVM makes vectors of it. Scratch a thread: corners (4, windows).
    """
    width, windows = x.shape[2], out.shape[1]
    rows, columns, group = x.shape[1] // 2, width // 2, len(places) // windows
    for turn in prange((len(x) + group - 1) // group):
        thread, first = get_thread_id(), np.int64(turn) * group
        a, b, c, d = corners[thread, 0], corners[thread, 1], corners[thread, 2], corners[thread, 3]
        end = min(first + group, len(x))
        filled = 0
        for m in range(first, end):
            for oh in range(rows):
                upper, lower = x[m, 2 * oh], x[m, 2 * oh + 1]
                for ow in range(columns):
                    a[filled + ow], b[filled + ow] = upper[2 * ow], upper[2 * ow + 1]
                    c[filled + ow], d[filled + ow] = lower[2 * ow], lower[2 * ow + 1]
                filled += columns
        values, won = out[first:end].reshape(-1), winners[first:end].reshape(-1)
        for i in range(filled):
            best, winner = a[i], places[i]
            best, winner = _larger(best, winner, b[i], places[i] + np.int32(1))
            best, winner = _larger(best, winner, c[i], places[i] + np.int32(width))
            best, winner = _larger(best, winner, d[i], places[i] + np.int32(width + 1))
            values[i], won[i] = best, winner


@inline
def _larger(best, winner, value, place):
    """value and its place, where it is larger than best, or a NaN, the first."""
    wins = (not value <= best) & (best == best)
    return value if wins else best, place if wins else winner


@parallel
def _max_backward(dout, winners, dx):
    for n in prange(dx.shape[0]):
        dx[n] = 0
        for c in range(dx.shape[1]):
            for p in range(dout.shape[2]):
                dx[n, c, winners[n, c, p]] += dout[n, c, p]  # a pixel may have won several windows


@parallel
def _average_forward(x, k, stride, out):
    for n in prange(out.shape[0]):
        for c in range(out.shape[1]):
            for oh in range(out.shape[2]):
                for ow in range(out.shape[3]):
                    total = 0.0
                    for i in range(k):
                        for j in range(k):
                            total += np.float64(x[n, c, oh * stride + i, ow * stride + j])
                    out[n, c, oh, ow] = total / (k * k)


@parallel
def _average_backward(dout, k, stride, dx):
    for n in prange(dx.shape[0]):
        dx[n] = 0
        for c in range(dx.shape[1]):
            for oh in range(dout.shape[2]):
                for ow in range(dout.shape[3]):
                    share = dout[n, c, oh, ow] / (k * k)
                    for i in range(k):
                        for j in range(k):
                            dx[n, c, oh * stride + i, ow * stride + j] += share  # windows overlap where k > stride
