"""Softmax and cross-entropy; the contract is in `kernels/__init__.py`. N image, K class."""

import numpy as np

from resnet_np.backend import kernels


def probabilities(logits: np.ndarray) -> np.ndarray:
    """logits (N, K) -> probabilities (N, K); every row sums to 1."""
    return kernels(__name__, logits).probabilities(logits)


def cross_entropy_forward(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """logits (N, K), targets (N, K), rows that sum to 1 -> losses (N,), probabilities (N, K)."""
    return kernels(__name__, logits).cross_entropy_forward(logits, targets)


def cross_entropy_backward(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-> dlogits (N, K) of the mean loss."""
    return kernels(__name__, probabilities).cross_entropy_backward(probabilities, targets)
