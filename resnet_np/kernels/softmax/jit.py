"""Softmax and cross-entropy compiled by Numba. N image, K class. Too small for threads."""

import math

from resnet_np.kernels.compile import serial
from resnet_np.workspace import empty


def probabilities(logits):
    """logits (N, K) -> probabilities (N, K)."""
    out = empty(logits.shape, logits.dtype)
    _probabilities(logits, out)
    return out


def cross_entropy_forward(logits, labels):
    """logits (N, K), labels (N,) -> losses (N,), probabilities (N, K). loss = log sum exp(logits) - logits[label]."""
    losses, out = empty(logits.shape[:1], logits.dtype), empty(logits.shape, logits.dtype)
    _cross_entropy(logits, labels, losses, out)
    return losses, out


def cross_entropy_backward(probabilities, labels):
    """d mean loss / d logits = (probabilities - one_hot(labels)) / N."""
    dlogits = empty(probabilities.shape, probabilities.dtype)
    _backward(probabilities, labels, dlogits)
    return dlogits


@serial
def _probabilities(logits, out):
    images, classes = logits.shape
    for n in range(images):
        largest = logits[n, 0]
        for k in range(1, classes):
            largest = max(largest, logits[n, k])
        total = 0.0
        for k in range(classes):
            total += math.exp(logits[n, k] - largest)
        for k in range(classes):
            out[n, k] = math.exp(logits[n, k] - largest) / total


@serial
def _cross_entropy(logits, labels, losses, out):
    images, classes = logits.shape
    for n in range(images):
        largest = logits[n, 0]
        for k in range(1, classes):
            largest = max(largest, logits[n, k])
        total = 0.0
        for k in range(classes):
            total += math.exp(logits[n, k] - largest)
        for k in range(classes):
            out[n, k] = math.exp(logits[n, k] - largest) / total
        losses[n] = math.log(total) - (logits[n, labels[n]] - largest)  # never log(p): p may be 0


@serial
def _backward(probabilities, labels, dlogits):
    images, classes = probabilities.shape
    for n in range(images):
        for k in range(classes):
            dlogits[n, k] = (probabilities[n, k] - (1 if k == labels[n] else 0)) / images
