"""Typical wrong answers to the exercises of notebook 12."""

import numpy as np


def exercise_12_1(points):
    # turns the points, and leaves their variances as they are
    return np.linalg.eigh(points.T @ points / len(points))[1].T


def exercise_12_2(C, k):
    # every filter adds up all channels
    w = np.zeros((C, C, k, k))
    w[:, :, k // 2, k // 2] = 1
    return w


def exercise_12_3(X, a, b, c):
    # the square of each entry in place of the product of matrices
    A = X @ X.T
    return a * X + (b * A + c * A**2) @ X


def exercise_12_4(share, ratio):
    # the mean of the speeds in place of the mean of the seconds
    return share / ratio + (1 - share)


def exercise_12_5(answers):
    # all views alike
    return answers.mean(0)


def exercise_12_6(all_of_it, without):
    # the spread of two groups that have nothing to do with each other
    return without.mean() - all_of_it.mean(), np.sqrt(without.var(ddof=1) + all_of_it.var(ddof=1))
