"""Batch normalisation in plain loops.

N image, C channel, H W pixel; M = N*H*W values a channel. For a value x of channel c:
x_hat = (x - mean[c]) inv_std[c], out = gamma[c] x_hat + beta[c], inv_std = 1 / sqrt(var + eps).
"""

from collections.abc import Iterator

import numpy as np


def channel(c: int, shape: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """The index of every value of channel c: all images, all pixels."""
    N, _, H, W = shape
    for n in range(N):
        for h in range(H):
            for w in range(W):
                yield n, c, h, w


def statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    N, C, H, W = x.shape
    M = N * H * W
    mean, var = np.zeros(C), np.zeros(C)  # float64, whatever x is
    for c in range(C):
        for i in channel(c, x.shape):
            mean[c] += float(x[i])
        mean[c] /= M
        for i in channel(c, x.shape):
            var[c] += (float(x[i]) - mean[c]) ** 2
        var[c] /= M  # biased: divided by M, not M - 1
    return mean.astype(x.dtype), var.astype(x.dtype)


def normalise(x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        for i in channel(c, x.shape):
            x_hat = (x[i] - mean[c]) * inv_std[c]
            out[i] = gamma[c] * x_hat + beta[c]
    return out


def _parameter_grads(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    dgamma, dbeta = np.zeros(x.shape[1]), np.zeros(x.shape[1])  # float64, whatever x is
    for c in range(x.shape[1]):
        for i in channel(c, x.shape):
            x_hat = (x[i] - mean[c]) * inv_std[c]
            dgamma[c] += float(dout[i] * x_hat)
            dbeta[c] += float(dout[i])
    return dgamma.astype(x.dtype), dbeta.astype(x.dtype)


# Training: mean and inv_std move when x[i] moves, so the other values of the channel move too. What is left of the
# gradient has no component along a constant (subtracting the mean removes it) and none along x_hat (dividing by the
# deviation removes it).
def backward(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    N, C, H, W = x.shape
    M = N * H * W
    dgamma, dbeta = _parameter_grads(dout, x, mean, inv_std)
    dx = np.empty_like(x)
    for c in range(C):
        for i in channel(c, x.shape):
            x_hat = (x[i] - mean[c]) * inv_std[c]
            dx[i] = gamma[c] * inv_std[c] * (dout[i] - dbeta[c] / M - x_hat * dgamma[c] / M)
    return dx, dgamma, dbeta


# Frozen: mean and inv_std are constants, so out is a straight line in x.
def frozen_backward(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dgamma, dbeta = _parameter_grads(dout, x, mean, inv_std)
    dx = np.empty_like(x)
    for c in range(x.shape[1]):
        for i in channel(c, x.shape):
            dx[i] = gamma[c] * inv_std[c] * dout[i]
    return dx, dgamma, dbeta
