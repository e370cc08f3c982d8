"""Pooling in bf16, compiled by Numba: maps are bf16, channels last; the features of global pools are float32.

N image, C channel, H W input, k side of the window, OH OW output.
"""

import numpy as np
from numba import prange

from resnet_np.kernels.bfloat import to_bits, to_float
from resnet_np.kernels.compile import parallel
from resnet_np.kernels.pooling import jit
from resnet_np.precision import bits, maps, through_float32
from resnet_np.workspace import empty


def global_average_forward(x):
    """x (N, C, H, W) bf16 -> out (N, C) float32: the mean of every plane."""
    out = empty(x.shape[:2], np.float32)
    _forward(bits(x), out)
    return out


def global_max_forward(x):
    """x (N, C, H, W) bf16 -> out (N, C) float32: the largest pixel of every plane; and its place, int32 of the same shape."""
    out, winners = empty(x.shape[:2], np.float32), empty(x.shape[:2], np.int32)
    _global_max_forward(bits(x), out, winners)
    return out, winners


def max_forward(x, *, k, stride, pad):
    """x (N, C, H, W) -> out (N, C, OH, OW), winners int32 of the same shape, channels last in memory too."""
    images, channels, height, width = x.shape
    out = maps((images, channels, (height + 2 * pad - k) // stride + 1, (width + 2 * pad - k) // stride + 1))
    winners = empty(bits(out).shape, np.int32)
    _max_forward(bits(x), k, stride, pad, bits(out), winners)
    return out, winners.transpose(0, 3, 1, 2)


def max_backward(dout, winners, *, x_shape):
    """dout, winners (N, C, OH, OW) -> dx (N, C, H, W): every window's gradient goes to its winner."""
    dx = maps(x_shape)
    images, channels, height, width = x_shape
    sums = empty((images, height * width, channels), np.float32)
    _max_backward(bits(dout), winners.transpose(0, 2, 3, 1), sums, bits(dx))
    return dx


average_forward = through_float32(jit.average_forward)
average_backward = through_float32(jit.average_backward)


@parallel
def _forward(x, out):
    images, height, width, channels = x.shape
    for n in prange(images):
        totals = np.zeros(channels, np.float64)
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    totals[c] += np.float64(to_float(x[n, i, j, c]))
        for c in range(channels):
            out[n, c] = totals[c] / (height * width)


@parallel
def _global_max_forward(x, out, winners):
    images, height, width, channels = x.shape
    for n in prange(images):
        for c in range(channels):
            out[n, c], winners[n, c] = to_float(x[n, 0, 0, c]), 0
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    best, value = out[n, c], to_float(x[n, i, j, c])
                    wins = (not value <= best) & (best == best)  # of equals the first; a NaN
                    out[n, c] = value if wins else best
                    winners[n, c] = i * width + j if wins else winners[n, c]


@parallel
def _max_forward(x, k, stride, pad, out, winners):
    height, width, channels = x.shape[1:]
    for n in prange(out.shape[0]):
        best = np.empty(channels, np.float32)
        for oh in range(out.shape[1]):
            top, bottom = max(0, oh * stride - pad), min(height, oh * stride - pad + k)
            for ow in range(out.shape[2]):
                left, right = max(0, ow * stride - pad), min(width, ow * stride - pad + k)
                for c in range(channels):  # the first pixel; padding takes no part
                    best[c], winners[n, oh, ow, c] = to_float(x[n, top, left, c]), top * width + left
                for ih in range(top, bottom):
                    for iw in range(left, right):
                        for c in range(channels):
                            value = to_float(x[n, ih, iw, c])
                            if value > best[c] or (value != value and best[c] == best[c]):  # a NaN wins
                                best[c], winners[n, oh, ow, c] = value, ih * width + iw
                for c in range(channels):
                    out[n, oh, ow, c] = to_bits(best[c])


@parallel
def _max_backward(dout, winners, sums, dx):
    """Scratch: sums (N, H*W, C) float32."""
    images, height, width, channels = dx.shape
    for n in prange(images):
        sums[n] = 0
        for oh in range(dout.shape[1]):
            for ow in range(dout.shape[2]):
                for c in range(channels):
                    sums[n, winners[n, oh, ow, c], c] += to_float(dout[n, oh, ow, c])  # a pixel may have won several windows
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    dx[n, i, j, c] = to_bits(sums[n, i * width + j, c])
