"""The fully connected layer in array code. N image, I input feature, O output.

(1) out[n, o] = sum over i of x[n, i] w[o, i] + b[o], that is out = x w^T + b
(2) dx[n, i] = sum over o of dout[n, o] w[o, i], that is dx = dout w
(3) dw[o, i] = sum over n of dout[n, o] x[n, i], that is dw = dout^T x
(4) db[o] = sum over n of dout[n, o], since b is added to every row
"""

import numpy as np


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    return x @ w.T + b  # (1)


def backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return dout @ w, dout.T @ x, dout.sum(axis=0)  # (2), (3), (4)
