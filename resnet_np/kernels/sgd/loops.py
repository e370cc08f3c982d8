"""The step in plain loops; i runs over all indices."""

import numpy as np


def update(
    w: np.ndarray, grad: np.ndarray, v: np.ndarray, *, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> None:
    for i in np.ndindex(w.shape):
        g = grad[i] + weight_decay * w[i] if weight_decay else grad[i]
        v[i] = momentum * v[i] + g
        w[i] -= lr * (g + momentum * v[i] if nesterov else v[i])
