"""Batch normalisation, channel by channel; the contract is in `kernels/__init__.py`.

N image, C channel, H W pixel; every statistic of a channel is over its N*H*W values.
"""

import numpy as np

from resnet_np.backend import kernels


def statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (N, C, H, W) -> mean (C,), biased variance (C,); summed in float64, returned in x's dtype."""
    return kernels(__name__, x).statistics(x)


def normalise(x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """x (N, C, H, W), the others (C,) -> out (N, C, H, W) = (x - mean) * inv_std * gamma + beta."""
    return kernels(__name__, x).normalise(x, mean, inv_std, gamma, beta)


def backward(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> dx (N, C, H, W), dgamma (C,), dbeta (C,), where mean and inv_std were computed from x and so depend on it."""
    return kernels(__name__, dout).backward(dout, x, mean, inv_std, gamma)


def frozen_backward(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> dx (N, C, H, W), dgamma (C,), dbeta (C,), where mean and inv_std are constants."""
    return kernels(__name__, dout).frozen_backward(dout, x, mean, inv_std, gamma)
