"""ReLU, addition and multiplication in array code, on arrays of any shape.

(1) out = x where x > 0, else 0; so d out / d x = 1 where x > 0, else 0 (at x = 0, where there is no derivative, 0 too).
(2) x > 0 exactly where out > 0: dx = dout where out > 0, else 0.
(3) Dropout is out = x * mask, with a mask that does not depend on x, so dx = dout * mask: one function for both ways.
"""

import numpy as np

from resnet_np.precision import rounded


def relu_forward(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)  # (1); maximum, unlike fmax, lets NaN through


def relu_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    return np.where(out <= 0, dout.dtype.type(0), dout)  # (2); dout * (out > 0) would turn inf into NaN


def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a + b


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a * b  # (3)


def round_maps(x: np.ndarray) -> np.ndarray:
    return rounded(x)
