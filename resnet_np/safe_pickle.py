"""The one restricted unpickler: pickled files are programs, and foreign ones are hostile until parsed.

A caller names the globals that its format needs, as {"module.name": what stands for it here}; anything else in the
stream is refused before it is looked up. Nothing is imported on behalf of a stream, and no code but what the caller
listed runs. NumPy arrays are rebuilt by ARRAYS from shape, dtype and bytes, checked here, so NumPy's own `__setstate__`
never sees hostile state.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from resnet_np.errors import DataError

MAX_OPERATIONS = 1_000_000  # a CIFAR-10 batch holds about 60,000; every one of them may cost up to 100 bytes
_NUMBER = re.compile(r"[|<>=]?([biuf])([1248])")  # plain numbers: neither objects, nor records, nor strings


def loads(stream: bytes, *, allowed: Mapping[str, Any], what: str, max_bytes: int) -> Any:
    """Unpickle `stream`; Python 2's `str` comes back as bytes.

    allowed: the globals that may appear, "module.name" -> the object that stands for it.
    what: names the source in messages.
    Arrays arrive as ndarrays at the top and as values of a dict at the top, which is where file formats keep them.
    Raises DataError for everything that is not such a stream, whatever the unpickler would have raised.
    """
    if len(stream) > max_bytes:
        raise DataError(f"{what}: the pickle has {len(stream):,} bytes, expected at most {max_bytes:,}; "
                        "refusing to read it")
    try:
        _inspect(stream)
        return _arrays(_Unpickler(stream, allowed).load())
    except _Refused as error:
        raise DataError(f"{what}: {error}; nothing in it was run. "
                        "Get the file again from where it is published") from None
    except Exception as error:  # hostile bytes reach every corner of the unpickler: RecursionError, KeyError, …
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataError(f"{what}: not a valid pickle ({reason}); the file is damaged, get it again") from None


class _Refused(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: bytes, allowed: Mapping[str, Any]) -> None:
        super().__init__(io.BytesIO(stream), encoding="bytes")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name not in self._allowed:
            raise _Refused(f"the pickle asks for {full_name[:100]!r}, which has no place in such a file")
        found = self._allowed[full_name]
        return found if isinstance(found, type) else _Function(found)


class _Function:
    """A function that a stream may call but not touch: pickle's BUILD would set attributes on a bare one."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise _Refused("the pickle tries to alter a function")


def _inspect(stream: bytes) -> None:
    # The unpickler allocates what a length or a memo index announces before it looks whether that much is there:
    # walking the opcodes first costs 50 ms a batch and finds both.
    operations = 0
    for operation, argument, _ in pickletools.genops(stream):
        operations += 1
        if operations > MAX_OPERATIONS:
            raise _Refused(f"the pickle has more than {MAX_OPERATIONS:,} operations")
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument is not None and argument > operations:
            raise _Refused(f"the pickle stores memo entry {argument} after {operations} operations")


class _Array:
    """Stands for an ndarray while its state is on the way; `value` once it has come."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran_order, raw = state
        self.value = _build(raw, dtype, shape, "F" if fortran_order else "C")


class _Dtype:
    """Stands for numpy.dtype: plain numbers only."""

    def __init__(self, spec: Any, *_: Any) -> None:
        text = spec.decode("ascii") if isinstance(spec, bytes) else spec
        if not isinstance(text, str) or not (match := _NUMBER.fullmatch(text)):
            raise _Refused("the pickle holds an array of objects, strings or records, expected plain numbers")
        self.value = np.dtype(match[1] + match[2])

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if any(part is not None for part in state[2:5]):
            raise _Refused("the pickle holds an array of records, expected plain numbers")
        self.value = self.value.newbyteorder(cast(Any, order))


def _build(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Dtype) or order not in ("C", "F"):
        raise _Refused("the pickle holds an array whose parts are of the wrong kind")
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(size) is int and size >= 0 for size in shape):
        raise _Refused("the pickle holds an array of an impossible shape")
    if math.prod(shape) * dtype.value.itemsize != len(raw):
        raise _Refused(f"the pickle holds an array of shape {shape} and type {dtype.value} in {len(raw):,} bytes")
    return np.frombuffer(raw, dtype.value).reshape(shape, order=order)


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _Array:
        raise _Refused("the pickle reconstructs something that is no array")
    return _Array()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.value = _build(raw, dtype, shape, order)
    return array


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _Refused("the pickle encodes something that is no string of bytes")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _arrays(entry) if isinstance(entry, _Array) else entry for key, entry in value.items()}
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused("the pickle holds an array without content")
        return value.value
    return value


# numpy.core became numpy._core in NumPy 2; _frombuffer is protocol 5; asked for Python 2's protocol, Python 3
# writes bytes as a call of _codecs.encode, empty ones as a call of bytes.
ARRAYS: Mapping[str, Any] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
