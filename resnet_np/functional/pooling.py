"""Pooling, as pairs: the mean and the largest pixel of a whole map, the largest and the mean of a window.

N image, C channel, H W input, k side of the window, OH OW output; OH = (H + 2 pad - k) // stride + 1.
"""

from typing import NamedTuple

import numpy as np

from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import elementwise, pooling
from resnet_np.precision import BF16


class PoolCache(NamedTuple):
    x_shape: tuple[int, ...]  # (N, C, H, W)
    dtype: np.dtype


class MaxPoolCache(NamedTuple):
    x_shape: tuple[int, ...]  # (N, C, H, W)
    dtype: np.dtype
    winners: np.ndarray  # (N, C, OH, OW) int32: the place h*W + w of each maximum in its map


class GlobalMaxPoolCache(NamedTuple):
    x_shape: tuple[int, ...]  # (N, C, H, W)
    dtype: np.dtype
    winners: np.ndarray  # (N, C) int32: the place h*W + w of the largest pixel of each map


class AveragePoolCache(NamedTuple):
    x_shape: tuple[int, ...]  # (N, C, H, W)
    dtype: np.dtype
    k: int
    stride: int


def global_average_pool_forward(x: np.ndarray) -> tuple[np.ndarray, PoolCache]:
    """x (N, C, H, W), float32 or float64 -> out (N, C), the mean over the pixels, and a PoolCache. Of bf16 maps it is float32.

    Raises InputError for another number of axes or dtype. Lin et al. 2013, section 3.2.
    """
    x, = checks.arrays("global_average_pool", x=(x, "N C H W"))
    return pooling.global_average_forward(x), PoolCache(x.shape, x.dtype)


def global_average_pool_backward(dout: np.ndarray, cache: PoolCache) -> np.ndarray:
    """dout (N, C) -> dx (N, C, H, W). Raises InputError if dout does not have the output's shape and dtype."""
    dout = checks.gradient("global_average_pool_backward", dout, cache.x_shape[:2], _features(cache.dtype))
    dx = pooling.global_average_backward(dout, x_shape=cache.x_shape)
    return elementwise.round_maps(dx) if cache.dtype == BF16 else dx


def global_max_pool_forward(x: np.ndarray) -> tuple[np.ndarray, GlobalMaxPoolCache]:
    """x (N, C, H, W), float32, float64 or bf16 -> out (N, C), the largest pixel of every map, and a GlobalMaxPoolCache.

    Of equal pixels the first wins, row by row; a NaN wins, so that it can be found. Of bf16 maps out is float32. Raises InputError
    for another number of axes or dtype. Oquab et al. 2015, "Is object localization for free?", section 3.2.
    """
    x, = checks.arrays("global_max_pool", x=(x, "N C H W"))
    out, winners = pooling.global_max_forward(x)
    return out, GlobalMaxPoolCache(x.shape, x.dtype, winners)


def global_max_pool_backward(dout: np.ndarray, cache: GlobalMaxPoolCache) -> np.ndarray:
    """dout (N, C) -> dx (N, C, H, W): the gradient goes to the pixel that won, and to no other.

    Raises InputError if dout does not have the output's shape and dtype.
    """
    dout = checks.gradient("global_max_pool_backward", dout, cache.x_shape[:2], _features(cache.dtype))
    dx = pooling.max_backward(dout[:, :, None, None], cache.winners[:, :, None, None], x_shape=cache.x_shape)
    return elementwise.round_maps(dx) if cache.dtype == BF16 else dx


def max_pool_forward(x: np.ndarray, *, k: int, stride: int, pad: int = 0) -> tuple[np.ndarray, MaxPoolCache]:
    """The largest pixel of every k x k window; `pad` pixels of -inf on every side, which never win.

    x (N, C, H, W), float32, float64 or bf16 -> out (N, C, OH, OW) and a MaxPoolCache. Of equal pixels the first wins, row by row,
    as in PyTorch; a NaN wins, so that it can be found. Raises InputError if the window does not fit or pad is above k / 2, where a
    window could hold padding alone. He et al. 2015, table 1: k = 3, stride 2 (and, in its re-implementations, pad 1).
    """
    x, = checks.arrays("max_pool", x=(x, "N C H W"))
    k, stride = checks.whole("max_pool", "k", k, least=1), checks.whole("max_pool", "stride", stride, least=1)
    pad = checks.whole("max_pool", "pad", pad, least=0)
    if 2 * pad > k:
        raise InputError(f"max_pool: pad is {pad} for a {k}x{k} window, expected at most half of it: a window of padding alone "
                         "has no largest pixel")
    _check_fit("max_pool", x, k, pad)
    out, winners = pooling.max_forward(x, k=k, stride=stride, pad=pad)
    return out, MaxPoolCache(x.shape, x.dtype, winners)


def max_pool_backward(dout: np.ndarray, cache: MaxPoolCache) -> np.ndarray:
    """dout (N, C, OH, OW) -> dx (N, C, H, W): each window's gradient goes to the pixel that won, and to no other.

    Raises InputError if dout does not have the output's shape and dtype.
    """
    dout = checks.gradient("max_pool_backward", dout, cache.winners.shape, cache.dtype)
    return pooling.max_backward(dout, cache.winners, x_shape=cache.x_shape)


def average_pool_forward(x: np.ndarray, *, k: int, stride: int) -> tuple[np.ndarray, AveragePoolCache]:
    """The mean of every k x k window, without padding.

    x (N, C, H, W), float32 or float64 -> out (N, C, OH, OW) and an AveragePoolCache. Raises InputError if the window does not fit.
    """
    x, = checks.arrays("average_pool", x=(x, "N C H W"))
    k, stride = checks.whole("average_pool", "k", k, least=1), checks.whole("average_pool", "stride", stride, least=1)
    _check_fit("average_pool", x, k, 0)
    return pooling.average_forward(x, k=k, stride=stride), AveragePoolCache(x.shape, x.dtype, k, stride)


def average_pool_backward(dout: np.ndarray, cache: AveragePoolCache) -> np.ndarray:
    """dout (N, C, OH, OW) -> dx (N, C, H, W): every pixel of a window had the share 1 / k^2 in it.

    Raises InputError if dout does not have the output's shape and dtype.
    """
    N, C, H, W = cache.x_shape
    shape = (N, C, (H - cache.k) // cache.stride + 1, (W - cache.k) // cache.stride + 1)
    dout = checks.gradient("average_pool_backward", dout, shape, cache.dtype)
    return pooling.average_backward(dout, x_shape=cache.x_shape, k=cache.k, stride=cache.stride)


def _features(maps: np.dtype) -> np.dtype:
    """The dtype of what a global pool makes of maps."""
    return np.dtype(np.float32) if maps == BF16 else maps


def _check_fit(operation: str, x: np.ndarray, k: int, pad: int) -> None:
    if min(x.shape[2:]) + 2 * pad < k:
        raise InputError(f"{operation}: a {k}x{k} window does not fit into {x.shape[2]}x{x.shape[3]} pixels padded by {pad}; "
                         f"use a smaller window: x {x.shape}")
