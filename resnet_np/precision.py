"""bf16: the dtype, how its arrays lie in memory, and how code that knows float32 only computes with it.

A bf16 number is the upper half of a float32: the same range, with 8 bits of precision. In precision "bf16" the maps of a net and
their gradients are bf16, and so are the factors of a convolution's products; their sums, and all that is not a map (parameters,
statistics, features, logits), stay float32. Maps keep the shape (N, C, H, W) that every function sees, but lie channels last in
memory: the array is a view, transposed, of a C-contiguous (N, H, W, C).

The compiled kernels take a batch's statistics of the maps that are stored; code that goes `through_float32` takes them, where one
function does both, before the maps are rounded. Denormal numbers count as 0 where the CPU's instruction says so.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from resnet_np.workspace import empty

BF16 = np.dtype(ml_dtypes.bfloat16)
PRECISIONS = ("float32", "bf16")


def maps(shape: tuple[int, ...]) -> np.ndarray:
    """Uninitialised maps in bf16 of the shape (N, C, H, W), channels last in memory, from the active workspace if there is one."""
    images, channels, height, width = shape
    return empty((images, height, width, channels), np.uint16).view(BF16).transpose(0, 3, 1, 2)


def bits(array: np.ndarray) -> np.ndarray:
    """Maps in bf16, channels last -> the same memory as uint16 (N, H, W, C), C-contiguous: what Numba can work on."""
    return array.transpose(0, 2, 3, 1).view(np.uint16)


def rounded(array: np.ndarray) -> np.ndarray:
    """float32 -> bf16, to nearest even; maps come out channels last."""
    if array.ndim != 4:
        return array.astype(BF16)
    return array.transpose(0, 2, 3, 1).astype(BF16, order="C").transpose(0, 3, 1, 2)


def widened(array: np.ndarray) -> np.ndarray:
    """bf16 -> float32, exactly, C-contiguous."""
    return array.astype(np.float32, order="C")


def through_float32(function: Callable) -> Callable:
    """A kernel for float32 as one for bf16: maps are widened before, filters (float32, four axes) are rounded, and what the kernel
    returns as maps (four axes) is rounded. A weight gradient, which has four axes too, stays float32."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        given = [_factor(value) for value in arguments]
        result = function(*given, **keywords)
        if function.__name__ == "weight_grad":
            return result
        if isinstance(result, tuple):
            return tuple(_rounded_maps(value) for value in result)
        return _rounded_maps(result)

    return wrapper


def _factor(value: Any) -> Any:
    dtype = getattr(value, "dtype", None)
    if dtype == BF16:
        return widened(value)
    return value.astype(BF16).astype(np.float32) if dtype == np.float32 and value.ndim == 4 else value


def _rounded_maps(value: Any) -> Any:
    return rounded(value) if getattr(value, "ndim", 0) == 4 and value.dtype == np.float32 else value


class ThroughFloat32:
    """A module of kernels for float32 as one for bf16: each of its functions goes `through_float32`."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        function = through_float32(getattr(self._module, name))
        setattr(self, name, function)
        return function
