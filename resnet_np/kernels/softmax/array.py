"""Softmax and cross-entropy in array code. N image, K class; z the logits of an image.

(1) p[k] = exp(z[k]) / sum_j exp(z[j]). Replacing z by z - max(z) multiplies both by exp(-max(z)): p is the same, and no
    exp overflows.
(2) loss = -log p[label] = log(sum_j exp(z[j])) - z[label], again with z - max(z); no logarithm of a p that may be 0.
(3) d log(sum_j exp(z[j])) / d z[k] = exp(z[k]) / sum_j exp(z[j]) = p[k], so d loss / d z[k] = p[k] - [k is the label].
(4) The mean over N images: dlogits = (p - one_hot(labels)) / N.
"""

import numpy as np


def probabilities(logits: np.ndarray) -> np.ndarray:
    e = np.exp(_shifted(logits))
    return e / e.sum(axis=1, keepdims=True)  # (1)


def cross_entropy_forward(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z = _shifted(logits)
    e = np.exp(z)
    total = e.sum(axis=1)
    losses = np.log(total) - z[np.arange(len(labels)), labels]  # (2)
    return losses, e / total[:, None]


def cross_entropy_backward(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    dlogits = probabilities.copy()
    dlogits[np.arange(len(labels)), labels] -= 1  # (3)
    dlogits /= len(labels)  # (4)
    return dlogits


def _shifted(logits: np.ndarray) -> np.ndarray:
    return logits - logits.max(axis=1, keepdims=True)
