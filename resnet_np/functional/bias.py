"""A number added to every channel, as a pair.

N image, C channel, H W pixel.
"""

from typing import NamedTuple

import numpy as np

from resnet_np.backend import namespace
from resnet_np.functional import checks
from resnet_np.functional.relu import ReLUCache
from resnet_np.kernels import batchnorm, fused


class BiasCache(NamedTuple):
    x: np.ndarray  # (N, C, H, W), which the gradients do not need, but the kernels of batch norm
    b: np.ndarray  # (C,) the parameter itself
    relu: ReLUCache | None  # None: without ReLU


class BiasGrads(NamedTuple):
    dx: np.ndarray  # (N, C, H, W)
    db: np.ndarray  # (C,)


def bias_forward(x: np.ndarray, b: np.ndarray, *, relu: bool = False) -> tuple[np.ndarray, BiasCache]:
    """x + b, a number a channel; relu: max(x + b, 0), in the same sweep over memory.

    x (N, C, H, W), b (C,), both float32 or both float64, or x bf16 and b float32 -> out (N, C, H, W), of x's dtype, and a
    BiasCache. Raises InputError if channels or dtypes differ.
    """
    x, b = checks.arrays("bias", x=(x, "N C H W"), b=(b, "C"))
    # A batch norm whose mean is 0, whose deviation and gamma are 1: what is left of it is beta. So its kernels serve.
    out = fused.normalise(x, *_mean_deviation_gamma(b), b, None, relu=relu)
    return out, BiasCache(x, b, ReLUCache(out) if relu else None)


def bias_backward(dout: np.ndarray, cache: BiasCache) -> BiasGrads:
    """dout (N, C, H, W) -> dx, which is dout where no ReLU stops it, and db (C,), its sum over N, H and W.

    Raises InputError if dout does not have the output's shape and dtype.
    """
    x, b, relu = cache
    dout = checks.gradient("bias_backward", dout, x.shape, x.dtype)
    mean, inv_std, gamma = _mean_deviation_gamma(b)
    if relu:
        dx, _, db = fused.normalise_relu_backward(dout, relu.out, x, mean, inv_std, gamma, b, frozen=True)
    else:
        dx, _, db = batchnorm.frozen_backward(dout, x, mean, inv_std, gamma)
    return BiasGrads(dx, db)


def _mean_deviation_gamma(b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ones = namespace(b).ones_like(b)
    return namespace(b).zeros_like(b), ones, ones
