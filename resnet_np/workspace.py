"""Reused memory for the arrays of a training step.

A step of ResNet-20 at batch 128 makes about 500 MB of arrays. Asked of the operating system afresh each time, their page
faults cost a fifth of the step. A Workspace keeps the memory of arrays that died and hands it out again.

    workspace = Workspace()
    with workspace:                  # every `empty` inside the block is served from the workspace
        loss = step(...)

An array is served again only when the last reference to it, views included, is gone; so nothing that somebody still holds
is ever overwritten, and no function needs to know where its output lives.
"""

import math
from contextvars import ContextVar, Token

import numpy as np
from numpy.typing import DTypeLike

_active: ContextVar["Workspace | None"] = ContextVar("workspace", default=None)
_ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """An uninitialised C-contiguous array, from the active workspace if there is one."""
    workspace = _active.get()
    return np.empty(shape, dtype) if workspace is None else workspace.empty(shape, dtype)


class Workspace:
    """A pool of buffers; `with workspace:` makes it serve `empty` in this thread. Not reentrant.

    The pool never shrinks: it is as large as the largest step so far.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[_Buffer]] = {}
        self._token: Token[Workspace | None] | None = None

    def __enter__(self) -> "Workspace":
        self._token = _active.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        _active.reset(self._token)
        self._token = None

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """An uninitialised C-contiguous array whose memory returns to the pool when its last reference is gone."""
        kind = np.dtype(dtype)
        size = max(1, math.prod(shape)) * kind.itemsize
        free = self._free.setdefault(size, [])
        return np.asarray(_Lease(free.pop() if free else _Buffer(size), free, shape, kind))


class _Buffer:
    """Memory that begins at a cache line, and its address, which NumPy takes a while to tell."""

    __slots__ = ("address", "memory")

    def __init__(self, size: int) -> None:
        self.memory = np.empty(size + _ALIGNMENT, np.uint8)
        self.address = -(-self.memory.ctypes.data // _ALIGNMENT) * _ALIGNMENT


class _Lease:
    """Owns a buffer on behalf of an array: NumPy keeps the lease alive as the base of the array and of its views."""

    __slots__ = ("__array_interface__", "_buffer", "_free")

    def __init__(self, buffer: _Buffer, free: list[_Buffer], shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._buffer, self._free = buffer, free
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": (buffer.address, False)}

    def __del__(self) -> None:
        self._free.append(self._buffer)
