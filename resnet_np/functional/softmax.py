"""Softmax, and softmax cross-entropy as a pair. N image, K class."""

from typing import NamedTuple

import numpy as np

from resnet_np.backend import like, namespace, on_device
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

    Logits on the device take labels from either memory. There nobody looks at their values, for that would mean to wait: a label
    that is no class makes the loss NaN, and distributions are trusted.

    -> the loss, a scalar of the logits' dtype (on the device, if they are there), and a CrossEntropyCache. No logarithm of a
    probability is taken: it is 0 for a logit 1e4 below the largest. Raises InputError if a label is no class, a row of labels no
    distribution, or sizes differ.
    """
    logits, = checks.arrays("softmax_cross_entropy", logits=(logits, "N K"))
    if not 0 <= smoothing < 1:
        raise InputError(f"softmax_cross_entropy: smoothing is {smoothing!r}, expected a number of at least 0 and below 1")
    targets = like(_targets(labels, logits), logits)
    if smoothing:
        targets = targets * (1 - float(smoothing)) + float(smoothing) / logits.shape[1]
    losses, probabilities = kernels.cross_entropy_forward(logits, targets)
    return losses.mean(dtype=np.float64).astype(logits.dtype), CrossEntropyCache(probabilities, targets)


def softmax_cross_entropy_backward(cache: CrossEntropyCache) -> np.ndarray:
    """-> dlogits (N, K) of the mean loss: divided by N here, and nowhere else."""
    return kernels.cross_entropy_backward(cache.probabilities, cache.targets)


def _targets(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """(N, K) of the logits' dtype, where the labels are: 1 at the label and 0 elsewhere, or the distributions that were given."""
    if on_device(labels):
        return _targets_on_device(labels, logits)
    if isinstance(labels, np.ndarray) and labels.ndim == 2 and labels.dtype == logits.dtype:
        return _checked_distributions(labels, logits.shape)
    targets = np.zeros(logits.shape, logits.dtype)
    targets[np.arange(len(logits)), _checked_labels(labels, *logits.shape)] = 1
    return targets


def _targets_on_device(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The same; a row for a label that is no class is NaN."""
    if not on_device(logits):
        raise InputError("softmax_cross_entropy: expected all arrays on the device or all in the computer's memory: logits in "
                         "memory, labels on the device")
    if labels.ndim == 2 and labels.dtype == logits.dtype:
        return checks.ready(_of_shape(labels, logits.shape))
    classes = namespace(labels).arange(logits.shape[1])
    is_label = _of_integers(labels, len(logits))[:, None] == classes
    return namespace(labels).where(is_label.any(axis=1, keepdims=True), is_label, np.nan).astype(logits.dtype)


def _checked_distributions(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    _of_shape(labels, shape)
    if not (labels >= 0).all() or not np.allclose(labels.sum(axis=1, dtype=np.float64), 1, atol=1e-5):
        raise InputError("softmax_cross_entropy: a row of labels is no distribution, expected numbers >= 0 that sum to 1")
    return checks.ready(labels)


def _of_shape(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if labels.shape != shape:
        raise InputError(f"softmax_cross_entropy: labels {labels.shape} for logits {shape}, expected as many rows and columns")
    return labels


def _checked_labels(labels: np.ndarray, images: int, classes: int) -> np.ndarray:
    _of_integers(labels, images)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"softmax_cross_entropy: labels run from {low} to {high}, expected 0 to {classes - 1}, "
                         f"as logits have {classes} columns")
    return labels.astype(np.int64, copy=False)


def _of_integers(labels: np.ndarray, images: int) -> np.ndarray:
    if not isinstance(labels, np.ndarray) and not on_device(labels) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"softmax_cross_entropy: labels are {getattr(labels, 'dtype', type(labels).__name__)}, expected a NumPy "
                         "array of integers (int64)")
    if labels.shape != (images,):
        raise InputError(f"softmax_cross_entropy: labels {labels.shape} for {images} rows of logits, "
                         f"expected ({images},), one class number each")
    return labels
