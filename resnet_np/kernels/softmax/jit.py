"""Softmax and cross-entropy compiled by Numba. N image, K class. Too small for threads."""

import math

from resnet_np.kernels.compile import inline, serial
from resnet_np.workspace import empty


def probabilities(logits):
    """logits (N, K) -> probabilities (N, K)."""
    out = empty(logits.shape, logits.dtype)
    _probabilities(logits, out)
    return out


def cross_entropy_forward(logits, targets):
    """logits, targets (N, K) -> losses (N,), probabilities (N, K). loss = log sum exp(logits) - sum targets * logits."""
    losses, out = empty(logits.shape[:1], logits.dtype), empty(logits.shape, logits.dtype)
    _cross_entropy(logits, targets, losses, out)
    return losses, out


def cross_entropy_backward(probabilities, targets):
    """d mean loss / d logits = (probabilities - targets) / N."""
    dlogits = empty(probabilities.shape, probabilities.dtype)
    _backward(probabilities, targets, dlogits)
    return dlogits


@inline
def _softmax_row(logits, n, out):
    """Write the probabilities of image n; return the largest logit, and the sum of exp(logits - largest)."""
    largest = logits[n, 0]
    for k in range(1, logits.shape[1]):
        largest = max(largest, logits[n, k])
    total = 0.0
    for k in range(logits.shape[1]):
        total += math.exp(logits[n, k] - largest)
    for k in range(logits.shape[1]):
        out[n, k] = math.exp(logits[n, k] - largest) / total
    return largest, total


@serial
def _probabilities(logits, out):
    for n in range(logits.shape[0]):
        _softmax_row(logits, n, out)


@serial
def _cross_entropy(logits, targets, losses, out):
    for n in range(logits.shape[0]):
        largest, total = _softmax_row(logits, n, out)
        loss = math.log(total)  # never log(p): p may be 0
        for k in range(logits.shape[1]):
            if targets[n, k] != 0:
                loss -= targets[n, k] * (logits[n, k] - largest)
        losses[n] = loss


@serial
def _backward(probabilities, targets, dlogits):
    images, classes = probabilities.shape
    for n in range(images):
        for k in range(classes):
            dlogits[n, k] = (probabilities[n, k] - targets[n, k]) / images
