"""The fully connected layer in plain loops. N image, I input feature, O output."""

import numpy as np


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    N, I = x.shape
    O = w.shape[0]
    out = np.empty((N, O), x.dtype)
    for n in range(N):
        for o in range(O):
            out[n, o] = b[o]
            for i in range(I):
                out[n, o] += x[n, i] * w[o, i]
    return out


# The same products again: x * w sends dout * w to x and dout * x to w; the bias, added to every image, collects dout.
def backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    N, I = x.shape
    O = w.shape[0]
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(O, w.dtype)
    for n in range(N):
        for o in range(O):
            db[o] += dout[n, o]
            for i in range(I):
                dx[n, i] += dout[n, o] * w[o, i]
                dw[o, i] += dout[n, o] * x[n, i]
    return dx, dw, db
