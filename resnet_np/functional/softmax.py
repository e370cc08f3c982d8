"""Softmax, and softmax cross-entropy as a pair. N image, K class."""

from typing import NamedTuple

import numpy as np

from resnet_np.backend import like, on_device
from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import softmax as kernels


class CrossEntropyCache(NamedTuple):
    probabilities: np.ndarray  # (N, K)
    targets: np.ndarray  # (N, K); rows that sum to 1


def softmax(logits: np.ndarray) -> np.ndarray:
    """logits (N, K), float32 or float64 -> probabilities (N, K); exact for logits of +-1e4 and far beyond.

    Raises InputError for another number of axes or dtype.
    """
    logits, = checks.arrays("softmax", logits=(logits, "N K"))
    return kernels.probabilities(logits)


def softmax_cross_entropy_forward(
    logits: np.ndarray, labels: np.ndarray, *, smoothing: float = 0.0
) -> tuple[np.floating, CrossEntropyCache]:
    """Mean over the batch of -log(probability of the label), or of its expectation over a distribution of labels.

    logits     (N, K), float32 or float64
    labels     (N,) integers from 0 to K - 1, or (N, K) of the logits' dtype: a distribution an image, as mixup makes them
    smoothing  share of every target that is spread evenly over all K classes, in [0, 1). Szegedy et al. 2015 ("Rethinking the
               Inception architecture"), section 7.

    The labels are in the computer's memory, wherever the logits are.

    -> the loss, a scalar of the logits' dtype (on the device, if they are there), and a CrossEntropyCache. No logarithm of a
    probability is taken: it is 0 for a logit 1e4 below the largest. Raises InputError if a label is no class, a row of labels no
    distribution, or sizes differ.
    """
    logits, = checks.arrays("softmax_cross_entropy", logits=(logits, "N K"))
    targets = like(_targets(labels, logits, smoothing), logits)
    losses, probabilities = kernels.cross_entropy_forward(logits, targets)
    return losses.mean(dtype=np.float64).astype(logits.dtype), CrossEntropyCache(probabilities, targets)


def softmax_cross_entropy_backward(cache: CrossEntropyCache) -> np.ndarray:
    """-> dlogits (N, K) of the mean loss: divided by N here, and nowhere else."""
    return kernels.cross_entropy_backward(cache.probabilities, cache.targets)


def _targets(labels: np.ndarray, logits: np.ndarray, smoothing: float) -> np.ndarray:
    """(N, K) of the logits' dtype: 1 at the label and 0 elsewhere, or the distributions that were given; then smoothed."""
    if on_device(labels):
        raise InputError("softmax_cross_entropy: labels are on the device, expected in the computer's memory, where they are "
                         "checked; move them with backend.to_host")
    if not 0 <= smoothing < 1:
        raise InputError(f"softmax_cross_entropy: smoothing is {smoothing!r}, expected a number of at least 0 and below 1")
    if isinstance(labels, np.ndarray) and labels.ndim == 2 and labels.dtype == logits.dtype:
        targets = _checked_distributions(labels, logits.shape)
    else:
        targets = np.zeros(logits.shape, logits.dtype)
        targets[np.arange(len(logits)), _checked_labels(labels, *logits.shape)] = 1
    if smoothing:
        targets = (1 - float(smoothing)) * targets + float(smoothing) / logits.shape[1]
    return targets


def _checked_distributions(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if labels.shape != shape:
        raise InputError(f"softmax_cross_entropy: labels {labels.shape} for logits {shape}, expected as many rows and columns")
    if not (labels >= 0).all() or not np.allclose(labels.sum(axis=1, dtype=np.float64), 1, atol=1e-5):
        raise InputError("softmax_cross_entropy: a row of labels is no distribution, expected numbers >= 0 that sum to 1")
    return checks.ready(labels)


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
    return labels.astype(np.int64, copy=False)
