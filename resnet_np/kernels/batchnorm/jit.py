"""Batch normalisation compiled by Numba, with the addition and the ReLU behind it where `kernels/fused` asks for them.

    N image   C channel   P = H*W pixels of a plane

Sums run over one plane of one image at a time and are added over the images in order, so that their bits do not depend on the
number of threads. They are kept in float64 for either dtype.
"""

import numpy as np
from numba import prange

from resnet_np.kernels.batchnorm.planes import gradient_moments, normalise_plane, plane_moments, relu_gradient_moments
from resnet_np.kernels.compile import parallel, serial
from resnet_np.workspace import empty


def statistics(x):
    """x (N, C, H, W) -> mean (C,), biased variance (C,)."""
    moments = empty((2, *x.shape[:2]), np.float64)
    _moments(_planes(x), moments)
    return batch_statistics(moments, x.shape[2] * x.shape[3], x.dtype)


def batch_statistics(moments, pixels, dtype):
    """moments (2, N, C): mean and sum of squared deviations of every plane -> mean (C,), biased variance (C,) of all N planes."""
    mean, var = empty(moments.shape[2:], dtype), empty(moments.shape[2:], dtype)
    _batch_statistics(moments, pixels, mean, var)
    return mean, var


def normalise(x, mean, inv_std, gamma, beta):
    """(x - mean) * inv_std * gamma + beta, each channel with its own."""
    return normalise_add_relu(x, mean, inv_std, gamma, beta, None, relu=False)


def normalise_add_relu(x, mean, inv_std, gamma, beta, same, *, relu):
    """The same, plus `same` unless it is None, and 0 where that is <= 0 if `relu`."""
    out = empty(x.shape, x.dtype)
    affine = affine_rows(mean, inv_std, gamma, beta)
    _normalise(_planes(x), affine, same is not None, _planes(x if same is None else same), relu, _planes(out))
    return out


def affine_rows(mean, inv_std, gamma, beta):
    """(3, C): mean, scale and shift of `normalise_plane`."""
    rows = empty((3, len(mean)), mean.dtype)
    rows[0], rows[1], rows[2] = mean, inv_std * gamma, beta
    return rows


def backward(dout, x, mean, inv_std, gamma):
    """Gradients when mean and variance were computed from x -> dx, dgamma, dbeta. Derivation: array.py."""
    return _backward(dout, x, mean, inv_std, gamma, gamma, relu=False, frozen=False)


def frozen_backward(dout, x, mean, inv_std, gamma):
    """Gradients when mean and variance are constants -> dx, dgamma, dbeta."""
    return _backward(dout, x, mean, inv_std, gamma, gamma, relu=False, frozen=True)


def relu_backward(dout, x, mean, inv_std, gamma, beta, *, frozen):
    """The same behind a ReLU of the normalised x -> dx, dgamma, dbeta. Its sign is computed again: x is read anyway."""
    return _backward(dout, x, mean, inv_std, gamma, beta, relu=True, frozen=frozen)


def _backward(dout, x, mean, inv_std, gamma, beta, *, relu, frozen):
    dx, dgamma, dbeta = empty(x.shape, x.dtype), empty(mean.shape, x.dtype), empty(mean.shape, x.dtype)
    sums, coefficients = empty((2, *x.shape[:2]), np.float64), empty((2, x.shape[1]), x.dtype)
    _gradients(_planes(dout), _planes(x), mean, inv_std, gamma, beta, relu, frozen, sums, coefficients, dgamma, dbeta, _planes(dx))
    return dx, dgamma, dbeta


def _planes(x):
    return x.reshape(*x.shape[:2], -1)


@parallel
def _moments(x, moments):
    """x (N, C, P) -> moments (2, N, C)."""
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            moments[0, n, c], moments[1, n, c] = plane_moments(x[n, c])


@serial
def _batch_statistics(moments, pixels, mean, var):
    images, channels = moments.shape[1:]
    for c in range(channels):
        total = 0.0
        for n in range(images):
            total += moments[0, n, c]
        batch_mean = total / images
        squares = 0.0
        for n in range(images):  # the deviations within the planes, and those between the planes
            deviation = moments[0, n, c] - batch_mean
            squares += moments[1, n, c] + pixels * deviation * deviation
        mean[c], var[c] = batch_mean, squares / (images * pixels)


@parallel
def _normalise(x, affine, adds, same, relu, out):
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            normalise_plane(x, n, c, affine, adds, same, relu, out)


@parallel
def _gradients(dout, x, mean, inv_std, gamma, beta, relu, frozen, sums, coefficients, dgamma, dbeta, dx):
    """dout, x, dx (N, C, P). relu: dout counts only where the normalised x is positive. Scratch: sums (2, N, C) of dout and of
    dout * (x - mean) over every plane; coefficients (2, C) of dx, kept in an array so that they have its dtype."""
    images, channels, pixels = x.shape
    nil = x.dtype.type(0)  # 0 is an integer, and would make a float64 of the choice between it and a float32
    for n in prange(images):
        for c in range(channels):
            if relu:
                total, moment = relu_gradient_moments(dout[n, c], x[n, c], mean[c], inv_std[c] * gamma[c], beta[c])
            else:
                total, moment = gradient_moments(dout[n, c], x[n, c], mean[c])
            sums[0, n, c], sums[1, n, c] = total, moment
    count = images * pixels
    for c in range(channels):
        total, moment = 0.0, 0.0
        for n in range(images):
            total += sums[0, n, c]
            moment += sums[1, n, c]
        dbeta[c] = total
        dgamma[c] = moment * inv_std[c]
        coefficients[0, c] = total / count
        coefficients[1, c] = moment * inv_std[c] * inv_std[c] / count
    for n in prange(images):
        for c in range(channels):
            m, scale, shift, mean_d, slope = mean[c], gamma[c] * inv_std[c], beta[c], coefficients[0, c], coefficients[1, c]
            if relu:
                for p in range(pixels):
                    d = nil if (x[n, c, p] - m) * scale + shift <= 0 else dout[n, c, p]
                    dx[n, c, p] = scale * d if frozen else scale * (d - mean_d - (x[n, c, p] - m) * slope)
            else:
                for p in range(pixels):
                    d = dout[n, c, p]
                    dx[n, c, p] = scale * d if frozen else scale * (d - mean_d - (x[n, c, p] - m) * slope)
