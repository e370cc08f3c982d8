"""The step in array code: one sweep over memory a line."""

import numpy as np


def update(
    w: np.ndarray, grad: np.ndarray, v: np.ndarray, *, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> None:
    g = grad + weight_decay * w if weight_decay else grad  # (1)
    v *= momentum  # (2)
    v += g
    w -= lr * (g + momentum * v if nesterov else v)  # (3)
