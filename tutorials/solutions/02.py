"""Solutions of notebook 2, Backward by hand."""

import numpy as np

from resnet_np.kernels.conv import array


def exercise_02_1(dout, x):
    # Each weight is used once in every window, so its gradient has one term a window: a correlation of x with dout.
    OH, OW = dout.shape
    KH, KW = x.shape[0] - OH + 1, x.shape[1] - OW + 1
    dw = np.zeros((KH, KW))
    for i in range(KH):
        for j in range(KW):
            dw[i, j] = np.sum(dout * x[i:i + OH, j:j + OW])
    return dw


def exercise_02_2(H, W, k, stride):
    # Every window adds 1 to each of its pixels, which is col2im with columns full of ones.
    counts = np.zeros((H, W))
    for top in range(0, H - k + 1, stride):
        for left in range(0, W - k + 1, stride):
            counts[top:top + k, left:left + k] += 1
    return counts


def exercise_02_3(f, x, h):
    # Both sides: the terms with h^2 cancel in the difference, and the error shrinks with h^2 where one side's shrinks with h.
    return (f(x + h) - f(x - h)) / (2 * h)


def exercise_02_4(dout, cache):
    # += where the windows overlap: a pixel lies in several windows, and every one of them sends a gradient back.
    x, w, stride, pad = cache
    N, F, OH, OW = dout.shape
    C, KH, KW = w.shape[1:]
    columns = array.im2col(x, KH, KW, stride=stride, pad=pad)
    dcolumns = (w.reshape(F, -1).T @ dout.reshape(N, F, -1)).reshape(N, C, KH, KW, OH, OW)
    padded = np.zeros((N, C, x.shape[2] + 2 * pad, x.shape[3] + 2 * pad))
    for i in range(KH):
        for j in range(KW):
            padded[:, :, i:i + stride * OH:stride, j:j + stride * OW:stride] += dcolumns[:, :, i, j]
    dx = padded[:, :, pad:pad + x.shape[2], pad:pad + x.shape[3]]
    dw = np.einsum("nfp,nrp->fr", dout.reshape(N, F, -1), columns).reshape(w.shape)
    return {"x": dx, "w": dw}
