"""Batch normalisation, as two pairs: with the statistics of the batch, and with frozen ones.

N image, C channel, H W pixel. Ioffe and Szegedy 2015, algorithm 1.
"""

from typing import NamedTuple

import numpy as np

from resnet_np.backend import namespace
from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import batchnorm


class BatchNormCache(NamedTuple):
    x: np.ndarray  # (N, C, H, W); the convolution's output
    mean: np.ndarray  # (C,) of this batch
    var: np.ndarray  # (C,) of this batch, biased; what update_running wants
    inv_std: np.ndarray  # (C,) 1 / sqrt(var + eps)
    gamma: np.ndarray  # (C,) the parameter itself
    beta: np.ndarray  # (C,) the parameter itself


class BatchNormFrozenCache(NamedTuple):
    x: np.ndarray  # (N, C, H, W); the convolution's output
    mean: np.ndarray  # (C,) the running mean
    inv_std: np.ndarray  # (C,) 1 / sqrt(running variance + eps)
    gamma: np.ndarray  # (C,) the parameter itself
    beta: np.ndarray  # (C,) the parameter itself


class BatchNormGrads(NamedTuple):
    dx: np.ndarray  # (N, C, H, W)
    dgamma: np.ndarray  # (C,)
    dbeta: np.ndarray  # (C,)


def batchnorm_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *, eps: float = 1e-5
) -> tuple[np.ndarray, BatchNormCache]:
    """Normalise every channel to mean 0 and variance 1 over N, H and W, then scale by gamma and shift by beta.

    x (N, C, H, W), gamma (C,), beta (C,), all float32 or all float64, or x bf16 and the others float32 -> out (N, C, H, W), of
    x's dtype, and a BatchNormCache.
    The variance is the biased one. Raises InputError if channels or dtypes differ, or if a channel is a single value.
    """
    x, gamma, beta = checks.arrays("batchnorm", x=(x, "N C H W"), gamma=(gamma, "C"), beta=(beta, "C"))
    check_count("batchnorm: x", x.shape)
    mean, var = batchnorm.statistics(x)
    inv_std = inverse_deviation("batchnorm", var, eps)
    return batchnorm.normalise(x, mean, inv_std, gamma, beta), BatchNormCache(x, mean, var, inv_std, gamma, beta)


def batchnorm_backward(dout: np.ndarray, cache: BatchNormCache) -> BatchNormGrads:
    """dout (N, C, H, W) -> dx (N, C, H, W), dgamma (C,), dbeta (C,), through the batch's mean and variance too.

    Raises InputError if dout does not have the output's shape and dtype.
    """
    dout = checks.gradient("batchnorm_backward", dout, cache.x.shape, cache.x.dtype)
    return BatchNormGrads(*batchnorm.backward(dout, cache.x, cache.mean, cache.inv_std, cache.gamma))


def batchnorm_frozen_forward(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray,
    *, eps: float = 1e-5,
) -> tuple[np.ndarray, BatchNormFrozenCache]:
    """Normalise every channel with statistics that are constants: evaluation, and frozen layers in training.

    x (N, C, H, W), the others (C,), all float32 or all float64, or x bf16 and the others float32 -> out (N, C, H, W), of x's dtype,
    and a BatchNormFrozenCache.
    Raises InputError if channels or dtypes differ.
    """
    x, gamma, beta, mean, var = checks.arrays(
        "batchnorm_frozen", x=(x, "N C H W"), gamma=(gamma, "C"), beta=(beta, "C"), running_mean=(running_mean, "C"),
        running_var=(running_var, "C"))
    inv_std = inverse_deviation("batchnorm_frozen", var, eps)
    return batchnorm.normalise(x, mean, inv_std, gamma, beta), BatchNormFrozenCache(x, mean, inv_std, gamma, beta)


def batchnorm_frozen_backward(dout: np.ndarray, cache: BatchNormFrozenCache) -> BatchNormGrads:
    """dout (N, C, H, W) -> dx (N, C, H, W), dgamma (C,), dbeta (C,); nothing flows through mean and variance.

    Raises InputError if dout does not have the output's shape and dtype.
    """
    dout = checks.gradient("batchnorm_frozen_backward", dout, cache.x.shape, cache.x.dtype)
    return BatchNormGrads(*batchnorm.frozen_backward(dout, cache.x, cache.mean, cache.inv_std, cache.gamma))


def update_running(
    running_mean: np.ndarray, running_var: np.ndarray, mean: np.ndarray, var: np.ndarray, count: int,
    *, momentum: float = 0.1,
) -> tuple[np.ndarray, np.ndarray]:
    """Move the running statistics a step towards a batch's; returns fresh arrays (C,) of the same dtype.

    momentum is the weight of the new batch (PyTorch's convention; Keras has the weight of the old one). var is the
    batch's biased variance over `count` = N*H*W values; what is stored is the unbiased one, an estimate for unseen
    pictures.
    Raises InputError if sizes or dtypes differ or count < 2.
    """
    running_mean, running_var, mean, var = checks.arrays(
        "update_running", running_mean=(running_mean, "C"), running_var=(running_var, "C"), mean=(mean, "C"),
        var=(var, "C"))
    count = checks.whole("update_running", "count", count, least=2)
    momentum = float(momentum)  # a Python float: a NumPy float64 scalar would promote float32 statistics
    unbiased = var * (count / (count - 1))
    return (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * unbiased


def check_count(what: str, shape: tuple[int, ...]) -> None:
    """Raises InputError if (N, C, H, W) leaves a channel a single value."""
    if shape[0] * shape[2] * shape[3] == 1:
        raise InputError(f"{what} {shape} has one value a channel, expected at least 2 to take a variance of; "
                         "train with a larger batch or larger maps, or use frozen statistics")


def inverse_deviation(operation: str, var: np.ndarray, eps: float) -> np.ndarray:
    """1 / sqrt(var + eps). Raises InputError if eps is not positive."""
    if not eps > 0:
        raise InputError(f"{operation}: eps is {eps!r}, expected a number > 0; it keeps a constant channel "
                         "from dividing by 0")
    return 1 / namespace(var).sqrt(var + float(eps))
