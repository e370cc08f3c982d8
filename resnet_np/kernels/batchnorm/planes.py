"""Batch norm's arithmetic on one plane: the P pixels of one channel of one image."""

import numpy as np

from resnet_np.kernels.compile import inline


@inline
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


@inline
def normalise_plane(x, mean, scale, shift, adds, same, relu, out):
    """out = (x - mean) * scale + shift (+ same if `adds`), and 0 where that is <= 0 if `relu`. out may be x.

    The mean is subtracted first: folded into `shift` it would cancel where it is large against the deviation.
    """
    nil = x.dtype.type(0)  # 0 is an integer, and would make a float64 of the choice between it and a float32
    if adds and relu:
        for p in range(x.shape[0]):
            value = (x[p] - mean) * scale + shift + same[p]
            out[p] = nil if value <= 0 else value  # asked this way round, NaN is kept
    elif adds:
        for p in range(x.shape[0]):
            out[p] = (x[p] - mean) * scale + shift + same[p]
    elif relu:
        for p in range(x.shape[0]):
            value = (x[p] - mean) * scale + shift
            out[p] = nil if value <= 0 else value
    else:
        for p in range(x.shape[0]):
            out[p] = (x[p] - mean) * scale + shift
