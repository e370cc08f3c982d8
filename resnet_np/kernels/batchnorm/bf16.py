"""Batch normalisation in bf16, compiled by Numba: maps are bf16, channels last; statistics, parameters and sums are not.

    N image   C channel   P = H*W pixels of a plane

A vector is 16 channels of a pixel. Sums run over a block of pixels of one image in float32, and are then added in float64 in the
order of blocks and images, so that their bits do not depend on the number of threads. Maps whose channels are no multiple of 16 go
through float32.
"""

import numpy as np
from numba import prange

from resnet_np.kernels.batchnorm import jit
from resnet_np.kernels.bfloat import (
    LANES,
    add,
    load,
    multiply_add,
    narrow,
    positive,
    splat,
    store,
    subtract,
    where_positive,
    widen,
    zero,
)
from resnet_np.kernels.compile import inline, parallel
from resnet_np.precision import bits, maps, through_float32
from resnet_np.workspace import empty

BLOCK_VALUES = 8192  # pixels times channels that are worked on together: they fit the L1 cache


def suits(x):
    """Whether there are whole vectors of channels."""
    return x.shape[1] % LANES == 0


def statistics(x):
    """x (N, C, H, W) bf16 -> mean (C,), biased variance (C,), float32."""
    if not suits(x):
        return through_float32(jit.statistics)(x)
    moments = empty((2, *x.shape[:2]), np.float64)
    _moments(bits(x), moments)
    return jit.batch_statistics(moments, x.shape[2] * x.shape[3], np.float32)


def normalise(x, mean, inv_std, gamma, beta):
    """(x - mean) * inv_std * gamma + beta, each channel with its own; bf16 again."""
    return normalise_add_relu(x, mean, inv_std, gamma, beta, None, relu=False)


def normalise_add_relu(x, mean, inv_std, gamma, beta, same, *, relu):
    """The same, plus `same` unless it is None, and 0 where that is <= 0 if `relu`; rounded once."""
    if not suits(x):
        return through_float32(jit.normalise_add_relu)(x, mean, inv_std, gamma, beta, same, relu=relu)
    out = maps(x.shape)
    affine = jit.affine_rows(mean, inv_std, gamma, beta)
    _normalise(bits(x), affine, same is not None, bits(x if same is None else same), relu, bits(out))
    return out


def backward(dout, x, mean, inv_std, gamma):
    """Gradients when mean and variance were computed from x -> dx bf16, dgamma, dbeta float32. Derivation: array.py."""
    return _backward(dout, x, mean, inv_std, gamma, None, frozen=False)


def frozen_backward(dout, x, mean, inv_std, gamma):
    """Gradients when mean and variance are constants -> dx, dgamma, dbeta."""
    return _backward(dout, x, mean, inv_std, gamma, None, frozen=True)


def relu_backward(dout, x, mean, inv_std, gamma, beta, *, frozen):
    """The same behind a ReLU of the normalised x -> dx, dgamma, dbeta. Its sign is computed again: x is read anyway."""
    return _backward(dout, x, mean, inv_std, gamma, beta, frozen=frozen)


def _backward(dout, x, mean, inv_std, gamma, beta, *, frozen):
    relu = beta is not None
    if not suits(x):
        if relu:
            return through_float32(jit.relu_backward)(dout, x, mean, inv_std, gamma, beta, frozen=frozen)
        return through_float32(jit.frozen_backward if frozen else jit.backward)(dout, x, mean, inv_std, gamma)
    dx, dgamma, dbeta = maps(x.shape), empty(mean.shape, np.float32), empty(mean.shape, np.float32)
    affine = jit.affine_rows(mean, inv_std, gamma, beta if relu else gamma)
    sums, coefficients = empty((2, *x.shape[:2]), np.float64), empty((2, x.shape[1]), np.float32)
    _gradients(bits(dout), bits(x), affine, inv_std, relu, frozen, sums, coefficients, dgamma, dbeta, bits(dx))
    return dx, dgamma, dbeta


@inline
def _block(pixels, channels):
    return max(1, min(pixels, BLOCK_VALUES // channels))


@inline
def _add_lanes(total, at, lanes, buffer):
    """total[at ...] += 16 float32, in float64; buffer (16,)."""
    store(buffer, 0, lanes)
    for lane in range(LANES):
        total[at + lane] += np.float64(buffer[lane])


@inline
def image_moments(x, image, moments):
    """moments (2, N, C): of x (N, H, W, C), the mean and the sum of squared deviations of every plane of an image; in two passes,
    for the one-pass variance of 1000 + N(0, 1) is off by 6 % in float32."""
    height, width, channels = x.shape[1:]
    pixels = height * width
    first, block = image * pixels * channels, _block(pixels, channels)
    mean, squares = moments[0, image], moments[1, image]
    buffer, mean32 = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    mean[:] = 0
    squares[:] = 0
    for start in range(0, pixels, block):
        for c in range(0, channels, LANES):
            total = zero()
            for p in range(start, min(start + block, pixels)):
                total = add(total, widen(x, first + p * channels + c))
            _add_lanes(mean, c, total, buffer)
    for c in range(channels):
        mean[c] /= pixels
    for start in range(0, pixels, block):
        for c in range(0, channels, LANES):
            for lane in range(LANES):
                mean32[lane] = mean[c + lane]
            middle, total = load(mean32, 0), zero()
            for p in range(start, min(start + block, pixels)):
                deviation = subtract(widen(x, first + p * channels + c), middle)
                total = multiply_add(deviation, deviation, total)
            _add_lanes(squares, c, total, buffer)


@parallel
def _moments(x, moments):
    """x (N, H, W, C) -> moments (2, N, C)."""
    for image in prange(x.shape[0]):
        image_moments(x, image, moments)


@parallel
def _normalise(x, affine, adds, same, relu, out):
    """x, same, out (N, H, W, C); affine (3, C): mean, scale, shift."""
    images, height, width, channels = x.shape
    pixels = height * width
    block = _block(pixels, channels)
    for image in prange(images):
        for start in range(0, pixels, block):
            for c in range(0, channels, LANES):
                mean, scale, shift = load(affine, c), load(affine, channels + c), load(affine, 2 * channels + c)
                for p in range(start, min(start + block, pixels)):
                    at = (image * pixels + p) * channels + c
                    value = multiply_add(subtract(widen(x, at), mean), scale, shift)
                    if adds:
                        value = add(value, widen(same, at))
                    if relu:
                        value = positive(value)
                    narrow(out, at, value)


@parallel
def _gradients(dout, x, affine, inv_std, relu, frozen, sums, coefficients, dgamma, dbeta, dx):
    """dout, x, dx (N, H, W, C); affine (3, C): mean, scale, shift. relu: dout counts only where the normalised x is positive.
    Scratch: sums (2, N, C) of dout and of dout * (x - mean) over every plane; coefficients (2, C) of dx."""
    images, height, width, channels = x.shape
    pixels = height * width
    block = _block(pixels, channels)
    for image in prange(images):
        buffer = np.empty(LANES, np.float32)
        sums[0, image], sums[1, image] = 0, 0
        for start in range(0, pixels, block):
            for c in range(0, channels, LANES):
                mean, scale, shift = load(affine, c), load(affine, channels + c), load(affine, 2 * channels + c)
                total, moment = zero(), zero()
                for p in range(start, min(start + block, pixels)):
                    at = (image * pixels + p) * channels + c
                    d, deviation = widen(dout, at), subtract(widen(x, at), mean)
                    if relu:
                        d = where_positive(multiply_add(deviation, scale, shift), d)
                    total, moment = add(total, d), multiply_add(d, deviation, moment)
                _add_lanes(sums[0, image], c, total, buffer)
                _add_lanes(sums[1, image], c, moment, buffer)
    count = images * pixels
    for c in range(channels):
        total64, moment64 = 0.0, 0.0
        for image in range(images):
            total64 += sums[0, image, c]
            moment64 += sums[1, image, c]
        dbeta[c] = total64
        dgamma[c] = moment64 * inv_std[c]
        coefficients[0, c] = 0.0 if frozen else total64 / count
        coefficients[1, c] = 0.0 if frozen else moment64 * inv_std[c] * inv_std[c] / count
    for image in prange(images):
        for start in range(0, pixels, block):
            for c in range(0, channels, LANES):
                mean, scale, shift = load(affine, c), load(affine, channels + c), load(affine, 2 * channels + c)
                middle, slope, nothing = load(coefficients, c), load(coefficients, channels + c), splat(np.float32(0))
                for p in range(start, min(start + block, pixels)):
                    at = (image * pixels + p) * channels + c
                    d, deviation = widen(dout, at), subtract(widen(x, at), mean)
                    if relu:
                        d = where_positive(multiply_add(deviation, scale, shift), d)
                    d = subtract(subtract(d, middle), multiply_add(deviation, slope, nothing))
                    narrow(dx, at, multiply_add(d, scale, nothing))
