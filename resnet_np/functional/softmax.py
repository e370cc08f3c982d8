"""Softmax, and softmax cross-entropy as a pair. N image, K class."""

from typing import NamedTuple

import numpy as np

from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import softmax as kernels


class CrossEntropyCache(NamedTuple):
    probabilities: np.ndarray  # (N, K)
    labels: np.ndarray  # (N,) int64


def softmax(logits: np.ndarray) -> np.ndarray:
    """logits (N, K), float32 or float64 -> probabilities (N, K); exact for logits of +-1e4 and far beyond.

    Raises InputError for another number of axes or dtype.
    """
    logits, = checks.arrays("softmax", logits=(logits, "N K"))
    return kernels.probabilities(logits)


def softmax_cross_entropy_forward(logits: np.ndarray, labels: np.ndarray) -> tuple[np.floating, CrossEntropyCache]:
    """Mean over the batch of -log(probability of the label).

    logits (N, K), float32 or float64; labels (N,), integers from 0 to K - 1 -> the loss, a NumPy scalar of the logits'
    dtype, and a CrossEntropyCache. No logarithm of a probability is taken: it is 0 for a logit 1e4 below the largest.
    Raises InputError if a label is no class or the numbers of images differ.
    """
    logits, = checks.arrays("softmax_cross_entropy", logits=(logits, "N K"))
    labels = _checked_labels(labels, *logits.shape)
    losses, probabilities = kernels.cross_entropy_forward(logits, labels)
    return logits.dtype.type(losses.mean(dtype=np.float64)), CrossEntropyCache(probabilities, labels)


def softmax_cross_entropy_backward(cache: CrossEntropyCache) -> np.ndarray:
    """-> dlogits (N, K) of the mean loss: divided by N here, and nowhere else."""
    return kernels.cross_entropy_backward(cache.probabilities, cache.labels)


def _checked_labels(labels: np.ndarray, images: int, classes: int) -> np.ndarray:
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        kind = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise InputError(f"softmax_cross_entropy: labels are {kind}, expected a NumPy array of integers (int64)")
    if labels.shape != (images,):
        raise InputError(f"softmax_cross_entropy: labels {labels.shape} for {images} rows of logits, "
                         f"expected ({images},), one class number each")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"softmax_cross_entropy: labels run from {low} to {high}, expected 0 to {classes - 1}, "
                         f"as logits have {classes} columns")
    return checks.ready(labels.astype(np.int64, copy=False))
