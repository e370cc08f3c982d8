"""ReLU, addition and multiplication in plain loops, on arrays of any shape; i runs over all indices."""

import numpy as np


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
