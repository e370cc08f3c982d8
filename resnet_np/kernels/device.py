"""How the kernels in the .cu files beside cuda.py are compiled and launched.

A CUDA kernel is what one thread does. Threads come in blocks, whose threads may share memory and wait for each other, and blocks in
a grid. A kernel is launched in one of two ways:

    kernels = Kernels(__file__)                             the functions of cuda.cu, beside cuda.py
    kernels.each("update", w.size, w, ...)                  one thread for each of w's values; a kernel launched like this takes
                                                            `long long count` first, and its last threads, past it, return
    kernels.blocks("statistics", C, 1024, mean, var, ...)   C blocks of 1024 threads; blockIdx.x says which block it is

The source is C++ with the macro REAL for float or double, the dtype of the first array. An array arrives as a pointer to its
values, None as a null pointer, an int or a bool as `int`, a float as REAL. Kernels trust their input: arrays are C-contiguous. An
int beyond 2^31 is refused here; flat indices are `long long`.

CuPy compiles a file when one of its kernels is first launched, with NVRTC, and keeps the code in ~/.cupy/kernel_cache. The sources
include no header files: NVRTC knows those that CuPy shows it, and no others.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resnet_np.backend import cupy
from resnet_np.errors import BackendError

BLOCK = 256  # threads a block, where they have nothing to do with each other
MOST = 1024  # threads that a block may have
LANES = 32  # threads that run in step: a block's threads are a multiple of it


class Kernels:
    """The kernels of the .cu file beside a Python file."""

    def __init__(self, beside: str) -> None:
        self._path = Path(beside).with_suffix(".cu")

    def each(self, name: str, count: int, *arguments: Any) -> None:
        """Launch `count` threads, one for each result, and some idle ones to fill the last block."""
        self._launch(name, -(-count // BLOCK), BLOCK, [np.int64(count)], arguments)

    def blocks(self, name: str, count: int, threads: int, *arguments: Any) -> None:
        """Launch `count` blocks of `threads` threads."""
        self._launch(name, count, threads, [], arguments)

    def _launch(self, name: str, blocks: int, threads: int, first: list[Any], arguments: tuple[Any, ...]) -> None:
        dtype = arguments[0].dtype
        function = compiled(self._path, "double" if dtype == np.float64 else "float", name)
        function((blocks,), (threads,), (*first, *(_argument(value, dtype) for value in arguments)))


@functools.cache
def compiled(path: Path, real: str, name: str) -> Callable[..., None]:
    """The kernel `name` of the file, for REAL = real."""
    return _module(path, real).get_function(name)


@functools.cache
def _module(path: Path, real: str) -> Any:
    return cupy().RawModule(code=path.read_text(encoding="utf-8"), options=(f"-DREAL={real}",))


def forget() -> None:
    """Forget what was compiled: for tests that exchange CuPy."""
    compiled.cache_clear()
    _module.cache_clear()


def _argument(value: Any, dtype: np.dtype) -> Any:
    if value is None:
        return np.uintp(0)
    if isinstance(value, np.ndarray):  # CuPy would pass its bytes, and the kernel follow them as an address
        raise BackendError(f"backend cupy: got an array {value.shape} in the computer's memory, expected one on the device; move "
                           "it with backend.to_device")
    if isinstance(value, int | np.integer):
        return np.int32(value)
    return dtype.type(value) if isinstance(value, float | np.floating) else value


def channel_threads(values: int) -> int:
    """Threads of a block that sums so many values: a power of two, one for eight of them or more."""
    return min(MOST, max(LANES, 1 << (values // 8).bit_length()))


def plane_threads(pixels: int) -> int:
    """Threads of a block that walks over a plane."""
    return min(BLOCK, -(-pixels // LANES) * LANES)
