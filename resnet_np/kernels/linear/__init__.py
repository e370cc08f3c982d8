"""The fully connected layer; the contract is in `kernels/__init__.py`. N image, I input feature, O output."""

import numpy as np

from resnet_np.backend import kernels


def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """x (N, I), w (O, I), b (O,) -> out (N, O)."""
    return kernels(__name__, x).forward(x, w, b)


def backward(dout: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dout (N, O) -> dx (N, I), dw (O, I), db (O,)."""
    return kernels(__name__, dout).backward(dout, x, w)
