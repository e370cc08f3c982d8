"""Solutions of notebook 9, Look inside."""

import numpy as np


def exercise_09_1(w):
    # The largest weight of the filter sets the scale, so that 0 lands in the middle, whatever the size of the weights.
    return (0.5 + 0.5 * w / np.abs(w).max()).transpose(1, 2, 0)


def exercise_09_2(weight, k, OH, OW):
    # Logit k is sum_c weight[k, c] * mean(map c), and each of the OH * OW pixels has 1 / (OH * OW) of the mean.
    return weight[k] / (OH * OW)


def exercise_09_3(maps, gradient):
    # What a channel is worth, times where it is active; what speaks against the class is cut off.
    alpha = gradient.mean((1, 2))
    return np.maximum(np.tensordot(alpha, maps, axes=1), 0)


def exercise_09_4(probabilities, labels, count):
    # First the wrong ones, then their order: right answers are more confident still, and would fill the list.
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1))][:count]


def exercise_09_5(gamma, beta):
    # Inside a channel the deviation is |gamma|; between the channels the means, beta, differ as well.
    return np.sqrt(np.mean(gamma**2) + np.var(beta))
