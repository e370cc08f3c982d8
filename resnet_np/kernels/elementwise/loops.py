"""ReLU, addition, multiplication and rounding in plain loops, on arrays of any shape; i runs over all indices."""

import math

import numpy as np

from resnet_np.precision import BF16


def relu_forward(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    for i in np.ndindex(x.shape):
        out[i] = 0 if x[i] <= 0 else x[i]  # in this order, because NaN <= 0 is False
    return out


# out is positive exactly where x was, so the output is all that has to be kept.
def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    dx = np.empty_like(dout)
    for i in np.ndindex(out.shape):
        dx[i] = 0 if out[i] <= 0 else dout[i]
    return dx


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = np.empty_like(a)
    for i in np.ndindex(a.shape):
        out[i] = a[i] + b[i]
    return out


# Dropout: out = x * mask, and as the mask does not depend on x, dx = dout * mask.
def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = np.empty_like(a)
    for i in np.ndindex(a.shape):
        out[i] = a[i] * b[i]
    return out


# bf16 has 8 significant bits: 2^8 times the number, once its exponent is taken off, is rounded to a whole number (ties to even).
def round_maps(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    for i in np.ndindex(x.shape):
        value = float(x[i])
        if math.isfinite(value):
            exponent = max(math.frexp(value)[1], -125)  # below that lie the denormal numbers, whose steps are all the same
            value = round(value * 2.0 ** (8 - exponent)) * 2.0 ** (exponent - 8)
        out[i] = value if abs(value) < 2.0**128 or math.isnan(value) else math.copysign(math.inf, value)
    return np.ascontiguousarray(out.transpose(0, 2, 3, 1)).astype(BF16).transpose(0, 3, 1, 2)
