"""Typical wrong answers to 01_convolution."""

import numpy as np


def exercise_01_1(x, w, oh, ow):
    _, KH, KW = w.shape
    return (x[:, oh:oh + KH, ow:ow + KW] * w[:, ::-1, ::-1]).sum()  # a filter that is turned


def exercise_01_2(size, kernel, stride, pad):
    return (size + pad - kernel) // stride + 1  # padding on one side only


def exercise_01_3(x, KH, KW):
    H, W = x.shape
    return np.stack([x[oh:oh + KH, ow:ow + KW].ravel() for oh in range(H - KH + 1) for ow in range(W - KW + 1)])  # windows as rows


def exercise_01_4(N, C, KH, KW, OH, OW):
    return N * C * KH * KW * OH * OW  # numbers, not bytes


def exercise_01_5(d, g):
    m0 = (d[0] - d[2]) * g[0]
    m1 = (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2
    m2 = (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2
    m3 = (d[1] - d[3]) * g[2]  # a sign
    return m0 + m1 + m2, m1 - m2 + m3
