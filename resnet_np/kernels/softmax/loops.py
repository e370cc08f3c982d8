"""Softmax and cross-entropy in plain loops. N image, K class.

p[k] = exp(z[k]) / sum of exp(z[j]), for the logits z of an image; with its targets t, which sum to 1, the loss is
-sum of t[k] log p[k]: -log p[label] where t is 1 at the label and 0 elsewhere. exp(z) overflows
beyond z = 710, but p stays the same when one number is subtracted from every logit: with the largest subtracted, every exp
is at most 1.
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


def cross_entropy_forward(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    N, K = logits.shape
    losses = np.empty(N, logits.dtype)
    for n in range(N):
        top = float(max(logits[n]))
        total = 0.0
        for k in range(K):
            total += math.exp(float(logits[n, k]) - top)
        # -t log(exp(z - top) / total) = t (log(total) - (z - top)), without the exp, which may be 0; and the t sum to 1
        loss = math.log(total)
        for k in range(K):
            if targets[n, k] != 0:
                loss -= float(targets[n, k]) * (float(logits[n, k]) - top)
        losses[n] = loss
    return losses, probabilities(logits)


# d loss[n] / d z[k] = p[k] - t[k], and the mean loss has a share 1 / N of every loss[n].
def cross_entropy_backward(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    N, K = probabilities.shape
    dlogits = np.empty_like(probabilities)
    for n in range(N):
        for k in range(K):
            dlogits[n, k] = (probabilities[n, k] - targets[n, k]) / N
    return dlogits
