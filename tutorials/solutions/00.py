"""Solutions of 00_start_here."""

import numpy as np


def exercise_00_1(images):
    # Axes 2 and 3 are rows and columns: averaging over them leaves a number a picture and channel.
    return images.mean(axis=(2, 3))


def exercise_00_2(logits):
    # The largest exponent is 0 after the subtraction, so no exp overflows; the quotient is the same.
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def exercise_00_3(probabilities, labels):
    # Row n is asked for its column labels[n]; the mean makes the loss independent of the batch size.
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


def exercise_00_4(C, H, W, K):
    # Each class has a weight for every number of the picture, and one bias.
    return (C * H * W + 1) * K
