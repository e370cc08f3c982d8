"""Batch norm's arithmetic on one plane: the P pixels of one channel of one image."""

import numpy as np

from resnet_np.kernels.compile import inline, reduction
from resnet_np.kernels.simd import add, broadcast, lanes, load, multiply_add, positive, store, subtract


@reduction
def plane_moments(x):
    """x (P,) -> mean, and sum of the squared deviations from it; in float64 for either dtype, and in two passes:
    the one-pass float32 variance of 1000 + N(0, 1) is off by 6 %."""
    total = 0.0
    for p in range(x.shape[0]):
        total += np.float64(x[p])
    mean = total / x.shape[0]
    squares = 0.0
    for p in range(x.shape[0]):
        deviation = np.float64(x[p]) - mean
        squares += deviation * deviation
    return mean, squares


@reduction
def gradient_moments(dout, x, mean):
    """-> the sums of dout and of dout * (x - mean), planes (P,), in float64."""
    total, moment = 0.0, 0.0
    for p in range(x.shape[0]):
        total += np.float64(dout[p])
        moment += np.float64(dout[p] * (x[p] - mean))
    return total, moment


@reduction
def relu_gradient_moments(dout, x, mean, scale, shift):
    """The same, of dout where the normalised x is positive."""
    total, moment = 0.0, 0.0
    nil = x.dtype.type(0)
    for p in range(x.shape[0]):
        d = nil if (x[p] - mean) * scale + shift <= 0 else dout[p]
        total += np.float64(d)
        moment += np.float64(d * (x[p] - mean))
    return total, moment


@inline
def normalise_plane(x, image, c, affine, adds, same, relu, out):
    """One plane of x, same, out (N, C, P): out = (x - mean) * scale + shift (+ same if `adds`), and 0 where that is <= 0 if `relu`.

    affine (3, C): mean, scale, shift. out may be x. The mean is subtracted first: folded into the shift it would cancel where it is
    large against the deviation.
    """
    channels, pixels = x.shape[1:]
    n, first = lanes(x), (image * channels + c) * pixels
    mean, scale, shift = broadcast(affine, c), broadcast(affine, channels + c), broadcast(affine, 2 * channels + c)
    for p in range(first, first + pixels // n * n, n):
        values = multiply_add(subtract(load(x, p), mean), scale, shift)
        if adds:
            values = add(values, load(same, p))
        if relu:
            values = positive(values)
        store(out, p, values)
    nil = x.dtype.type(0)  # 0 is an integer, and would make a float64 of the choice between it and a float32
    for p in range(pixels // n * n, pixels):
        value = (x[image, c, p] - affine[0, c]) * affine[1, c] + affine[2, c]
        if adds:
            value += same[image, c, p]
        out[image, c, p] = nil if relu and value <= 0 else value  # asked this way round, NaN is kept
