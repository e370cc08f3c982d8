"""Softmax and cross-entropy in array code. N image, K class; z the logits of an image, t its targets, which sum to 1.

(1) p[k] = exp(z[k]) / sum_j exp(z[j]). Replacing z by z - max(z) multiplies both by exp(-max(z)): p is the same, and no
    exp overflows.
(2) loss = -sum_k t[k] log p[k] = log(sum_j exp(z[j])) - sum_k t[k] z[k], again with z - max(z); no logarithm of a p that may be 0.
    With t = 1 at the label and 0 elsewhere it is -log p[label].
(3) d log(sum_j exp(z[j])) / d z[k] = exp(z[k]) / sum_j exp(z[j]) = p[k], so d loss / d z[k] = p[k] - t[k].
(4) The mean over N images: dlogits = (p - t) / N.
"""

import numpy as np


def probabilities(logits: np.ndarray) -> np.ndarray:
    e = np.exp(_shifted(logits))
    return e / e.sum(axis=1, keepdims=True)  # (1)


def cross_entropy_forward(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z = _shifted(logits)
    e = np.exp(z)
    total = e.sum(axis=1)
    losses = np.log(total) - (targets * np.where(targets == 0, 0, z)).sum(axis=1)  # (2); 0 times a logit of -inf is 0 here
    return losses, e / total[:, None]


def cross_entropy_backward(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    dlogits = probabilities - targets  # (3)
    dlogits /= len(targets)  # (4)
    return dlogits


def _shifted(logits: np.ndarray) -> np.ndarray:
    return logits - logits.max(axis=1, keepdims=True)
