"""Global average pooling; the contract is in `kernels/__init__.py`. N image, C channel, H W pixel."""

import numpy as np

from resnet_np.backend import kernels


def global_average_forward(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W) -> out (N, C), the mean over the pixels."""
    return kernels(__name__).global_average_forward(x)


def global_average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    """dout (N, C) -> dx of shape x_shape (N, C, H, W)."""
    return kernels(__name__).global_average_backward(dout, x_shape=x_shape)
