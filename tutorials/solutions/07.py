"""Solutions of notebook 7, Against overfitting."""

import math

import numpy as np


def exercise_07_1(w, weight_decay, lr, steps):
    # Each step subtracts lr * weight_decay * w, so it multiplies by the same factor.
    return w * (1 - lr * weight_decay) ** steps


def exercise_07_2(images, which):
    # Width is the last axis; the copy keeps the caller's pictures as they are.
    out = images.copy()
    out[which] = images[which][..., ::-1]
    return out


def exercise_07_3(labels, K, share):
    # The label keeps 1 - share, and every class, the label too, gets its part of the share: rows still sum to 1.
    return (1 - share) * np.eye(K)[labels] + share / K


def exercise_07_4(accuracies, n, patience):
    # Only what has come so far counts: the highest of it, and the latest epoch within one standard error of that. When that one is
    # `patience` epochs old, as many in a row lay below the bar.
    kept = 1
    for epoch, accuracy in enumerate(accuracies, 1):
        p = max(accuracies[:epoch])
        if accuracy >= p - math.sqrt(p * (1 - p) / n):
            kept = epoch
        if epoch - kept >= patience:
            return kept, epoch
    return kept, len(accuracies)
