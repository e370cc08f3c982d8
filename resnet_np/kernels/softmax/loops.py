"""Softmax and cross-entropy in plain loops. N image, K class.

p[k] = exp(z[k]) / sum of exp(z[j]), for the logits z of an image; the loss is -log p[label]. exp(z) overflows beyond
z = 710, but p stays the same when one number is subtracted from every logit: with the largest subtracted, every exp is
at most 1.
"""

import math

import numpy as np


def probabilities(logits: np.ndarray) -> np.ndarray:
    N, K = logits.shape
    out = np.empty_like(logits)
    for n in range(N):
        top = float(max(logits[n]))
        total = 0.0
        for k in range(K):
            total += math.exp(float(logits[n, k]) - top)
        for k in range(K):
            out[n, k] = math.exp(float(logits[n, k]) - top) / total
    return out


def cross_entropy_forward(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    N, K = logits.shape
    losses = np.empty(N, logits.dtype)
    for n in range(N):
        top = float(max(logits[n]))
        total = 0.0
        for k in range(K):
            total += math.exp(float(logits[n, k]) - top)
        # -log(exp(z[label] - top) / total), without the exp, which may be 0
        losses[n] = math.log(total) - (float(logits[n, labels[n]]) - top)
    return losses, probabilities(logits)


# d loss[n] / d z[k] = p[k] - (1 if k is the label else 0), and the mean loss has a share 1 / N of every loss[n].
def cross_entropy_backward(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    N, K = probabilities.shape
    dlogits = np.empty_like(probabilities)
    for n in range(N):
        for k in range(K):
            dlogits[n, k] = (probabilities[n, k] - (1 if k == labels[n] else 0)) / N
    return dlogits
