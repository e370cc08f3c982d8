"""Solutions of notebook 6, Train it."""

import math

import numpy as np


def exercise_06_1(t, T, lr):
    # cos goes from 1 to -1 between 0 and pi; adding 1 and halving makes that 1 to 0.
    return lr * (1 + math.cos(math.pi * t / T)) / 2


def exercise_06_2(w, grad, velocity, lr, momentum):
    # The velocity remembers old gradients, each weaker by the factor momentum a step; the weights follow the new velocity.
    velocity = momentum * velocity + grad
    return w - lr * velocity, velocity


def exercise_06_3(records):
    # The highest is partly luck, so a smaller difference than its standard error decides nothing; the latest has learned longest.
    p = max(record["validation_accuracy"] for record in records)
    error = math.sqrt(p * (1 - p) / records[0]["validation_count"])
    return max(record["epoch"] for record in records if record["validation_accuracy"] >= p - error)


def exercise_06_4(matrix):
    # Right answers lie on the diagonal; a row holds all pictures of one true class.
    right = np.diag(matrix)
    return right.sum() / matrix.sum(), right / matrix.sum(axis=1)
