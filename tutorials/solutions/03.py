"""Solutions of notebook 3, Batch norm."""

import numpy as np


def exercise_03_1(x, eps):
    # The axes N, H, W: a filter computes the same thing at every place, so its values belong to one crowd.
    mean = x.mean((0, 2, 3), keepdims=True)
    var = x.var((0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(var + eps)


def exercise_03_2(dout, x_hat, gamma, inv_std):
    # Step (5): what the mean and the variance take back is dout's part along 1 and along x_hat.
    M = dout.size // dout.shape[1]
    dbeta = dout.sum((0, 2, 3), keepdims=True)
    dgamma = (dout * x_hat).sum((0, 2, 3), keepdims=True)
    return (gamma * inv_std)[:, None, None] * (dout - dbeta / M - x_hat * dgamma / M)


def exercise_03_3(running_var, var, count, momentum):
    # A batch's own variance is too small by (count - 1) / count on average, because its mean fits it too well.
    return (1 - momentum) * running_var + momentum * var * count / (count - 1)


def exercise_03_4(gamma, beta, mean, var, eps):
    # With frozen statistics batch norm is a straight line a channel, which could be merged into the convolution before it.
    scale = gamma / np.sqrt(var + eps)
    return scale, beta - mean * scale
