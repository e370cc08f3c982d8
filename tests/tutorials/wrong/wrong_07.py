"""Typical wrong answers to notebook 7."""

import numpy as np


def exercise_07_1(w, weight_decay, lr, steps):
    return w - steps * lr * weight_decay * w  # as if the weight stayed as large as it was


def exercise_07_2(images, which):
    out = images.copy()
    out[which] = images[which][:, :, ::-1]  # upside down
    return out


def exercise_07_3(labels, K, share):
    targets = np.full((len(labels), K), share / K)
    targets[np.arange(len(labels)), labels] = 1 - share  # the label's own part of the share is lost
    return targets


def exercise_07_4(accuracies, n, patience):
    p = max(accuracies)  # looks into the future
    kept = max(epoch for epoch, accuracy in enumerate(accuracies, 1) if accuracy >= p - (p * (1 - p) / n) ** 0.5)
    return kept, min(kept + patience, len(accuracies))
