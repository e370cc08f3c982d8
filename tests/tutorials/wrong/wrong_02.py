"""Typical wrong answers to the exercises of notebook 2."""

import numpy as np

from resnet_np.kernels.conv import array


def exercise_02_1(dout, x):
    # the filter turned round: a convolution where a correlation belongs
    OH, OW = dout.shape
    KH, KW = x.shape[0] - OH + 1, x.shape[1] - OW + 1
    return np.array([[np.sum(dout * x[i:i + OH, j:j + OW]) for j in range(KW)] for i in range(KH)])[::-1, ::-1]


def exercise_02_2(H, W, k, stride):
    # assigned instead of added
    counts = np.zeros((H, W))
    for top in range(0, H - k + 1, stride):
        for left in range(0, W - k + 1, stride):
            counts[top:top + k, left:left + k] = 1
    return counts


def exercise_02_3(f, x, h):
    # to the right only
    return (f(x + h) - f(x)) / h


def exercise_02_4(dout, cache):
    # the planted bug itself
    x, w, stride, pad = cache
    N, F, OH, OW = dout.shape
    C, KH, KW = w.shape[1:]
    columns = array.im2col(x, KH, KW, stride=stride, pad=pad)
    dcolumns = (w.reshape(F, -1).T @ dout.reshape(N, F, -1)).reshape(N, C, KH, KW, OH, OW)
    padded = np.zeros((N, C, x.shape[2] + 2 * pad, x.shape[3] + 2 * pad))
    for i in range(KH):
        for j in range(KW):
            padded[:, :, i:i + stride * OH:stride, j:j + stride * OW:stride] = dcolumns[:, :, i, j]
    dw = np.einsum("nfp,nrp->fr", dout.reshape(N, F, -1), columns).reshape(w.shape)
    return {"x": padded[:, :, pad:pad + x.shape[2], pad:pad + x.shape[3]], "w": dw}
