"""Solutions of 01_convolution."""

import numpy as np


def exercise_01_1(x, w, oh, ow):
    # One window of all channels, weight by weight on its pixels, and everything added up.
    _, KH, KW = w.shape
    return (x[:, oh:oh + KH, ow:ow + KW] * w).sum()


def exercise_01_2(size, kernel, stride, pad):
    # How often the window can move inside the padded picture, and the place where it starts.
    return (size + 2 * pad - kernel) // stride + 1


def exercise_01_3(x, KH, KW):
    # Windows row by row; stacked along axis 1, each flattened window is a column.
    H, W = x.shape
    return np.stack([x[oh:oh + KH, ow:ow + KW].ravel() for oh in range(H - KH + 1) for ow in range(W - KW + 1)], axis=1)


def exercise_01_4(N, C, KH, KW, OH, OW):
    # Rows times columns of the matrix, for each picture, 4 bytes a number.
    return N * (C * KH * KW) * (OH * OW) * 4


def exercise_01_5(d, g):
    # Sums first, then four products, then sums again: that the six products come out is multiplied out by hand.
    m0 = (d[0] - d[2]) * g[0]
    m1 = (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2
    m2 = (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2
    m3 = (d[3] - d[1]) * g[2]
    return m0 + m1 + m2, m1 - m2 + m3
