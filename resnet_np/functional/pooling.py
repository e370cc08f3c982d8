"""Global average pooling, as a pair. N image, C channel, H W pixel."""

from typing import NamedTuple

import numpy as np

from resnet_np.functional import checks
from resnet_np.kernels import pooling


class PoolCache(NamedTuple):
    x_shape: tuple[int, ...]  # (N, C, H, W)
    dtype: np.dtype


def global_average_pool_forward(x: np.ndarray) -> tuple[np.ndarray, PoolCache]:
    """x (N, C, H, W), float32 or float64 -> out (N, C), the mean over the pixels, and a PoolCache.

    Raises InputError for another number of axes or dtype. Lin et al. 2013, section 3.2.
    """
    x, = checks.arrays("global_average_pool", x=(x, "N C H W"))
    return pooling.global_average_forward(x), PoolCache(x.shape, x.dtype)


def global_average_pool_backward(dout: np.ndarray, cache: PoolCache) -> np.ndarray:
    """dout (N, C) -> dx (N, C, H, W). Raises InputError if dout does not have the output's shape and dtype."""
    dout = checks.gradient("global_average_pool_backward", dout, cache.x_shape[:2], cache.dtype)
    return pooling.global_average_backward(dout, x_shape=cache.x_shape)
