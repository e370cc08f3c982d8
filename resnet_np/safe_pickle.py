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
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np

from resnet_np.errors import DataError, ResNetNpError
from resnet_np.words import one_line

MAX_OPERATIONS = 1_000_000  # a CIFAR-10 batch holds about 60,000; every one of them may cost up to 100 bytes
_NUMBER = re.compile(r"[|<>=]?([biuf])([1248])")  # plain numbers: neither objects, nor records, nor strings


class Refused(Exception):
    """What a caller's own functions raise to refuse a stream; `load` turns it into one line."""


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
    return load(io.BytesIO(stream), allowed=allowed, what=what)


def load(
    stream: io.BytesIO,
    *,
    allowed: Mapping[str, Any],
    what: str,
    max_operations: int | None = None,
    persistent_load: Callable[[Any], Any] | None = None,
    error: type[ResNetNpError] = DataError,
    advice: str = "Get the file again from where it is published",
) -> Any:
    """`loads` for a format that goes on after its pickle: `stream` is read from where it stands, and stands behind it afterwards.

    max_operations: instead of MAX_OPERATIONS, where the file explains fewer.
    persistent_load: what stands for an object that the pickle only names; without it, such a name is refused.
    error, advice: the class that is raised instead of DataError, and what it tells the user to do.
    """
    start = stream.tell()
    try:
        operations = _inspect(stream, MAX_OPERATIONS if max_operations is None else max_operations)
        end = stream.tell()
        stream.seek(start)
        value = _arrays(_Unpickler(stream, allowed, persistent_load, _Allowance(operations, end - start)).load())
        stream.seek(end)
        return value
    except Refused as refusal:
        raise error(f"{what}: {refusal}; nothing in it was run. {advice}") from None
    except Exception as damage:  # hostile bytes reach every corner of the unpickler: RecursionError, KeyError, …
        raise error(f"{what}: not a valid pickle ({one_line(damage, 100)}); the file is damaged, get it again") from None


class _Allowance:
    """What the arguments of calls may hold together: a pickle can name one long text or list in a thousand calls."""

    def __init__(self, items: int, letters: int) -> None:
        self._items, self._letters = items, letters

    def spend(self, arguments: Iterable[Any]) -> None:
        for argument in arguments:
            if isinstance(argument, str | bytes | bytearray):
                self._letters -= len(argument)
            elif isinstance(argument, list | tuple | dict):
                self._items -= len(argument)
        if self._items < 0 or self._letters < 0:
            raise Refused("the pickle calls functions with more than it holds")


def _dispatch() -> dict[int, Callable[[Any], None]]:
    """What the unpickler does at each operation."""
    table: dict[int, Callable[[Any], None]] = dict(pickle._Unpickler.dispatch)

    def check(operation: bytes, keys: slice) -> None:
        load = table[operation[0]]

        def checked(unpickler: Any) -> None:
            check_keys(unpickler.stack[keys])
            load(unpickler)

        table[operation[0]] = checked

    def refuse(_: Any) -> None:
        raise Refused("the pickle holds a set")  # 200 bytes for each one of the file; no format here has any

    check(pickle.SETITEM, slice(-2, -1))
    check(pickle.SETITEMS, slice(0, None, 2))  # of what came since the mark
    check(pickle.DICT, slice(0, None, 2))
    return table | dict.fromkeys((pickle.EMPTY_SET[0], pickle.ADDITEMS[0], pickle.FROZENSET[0]), refuse)


class _Unpickler(pickle._Unpickler):
    """The unpickler that is written in Python, because the one in C has no hook where keys are hashed.

    The hash of a tuple of tuples of tuples ends the process if they are deep, and takes years if they are shared.
    """

    stack: list[Any]
    dispatch = _dispatch()

    def __init__(
        self,
        stream: io.BytesIO,
        allowed: Mapping[str, Any],
        persistent_load: Callable[[Any], Any] | None,
        allowance: _Allowance,
    ) -> None:
        super().__init__(stream, encoding="bytes")
        self._allowed, self._persistent_load, self._allowance = allowed, persistent_load, allowance

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name not in self._allowed:
            raise Refused(f"the pickle asks for {full_name[:100]!r}, which has no place in such a file")
        found = self._allowed[full_name]
        return _Function(found, self._allowance) if callable(found) and not isinstance(found, type) else found

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent_load is None:
            raise pickle.UnpicklingError("it names an object outside of the pickle")
        return self._persistent_load(pid)


def check_keys(keys: Iterable[Any]) -> None:
    """Before anything out of a stream is hashed: texts, bytes and numbers of 64 bits are quick. Raises Refused."""
    for key in keys:
        plain = key is None or isinstance(key, str | bytes | float) or isinstance(key, int) and abs(key) < 1 << 64
        if not plain:
            raise Refused(f"the pickle has a {type(key).__name__} as the key of a dictionary")


class _Function:
    """A function that a stream may call but not touch: pickle's BUILD would set attributes on a bare one."""

    __slots__ = ("_function", "_allowance")

    def __init__(self, function: Callable[..., Any], allowance: _Allowance) -> None:
        self._function, self._allowance = function, allowance

    def __call__(self, *arguments: Any) -> Any:
        self._allowance.spend(arguments)
        return self._function(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise Refused("the pickle tries to alter a function")


def _inspect(stream: io.BytesIO, max_operations: int) -> int:
    # The unpickler allocates what a length announces before it looks whether that much is there: walking the opcodes
    # first costs 50 ms a batch, and finds where the pickle ends.
    operations = 0
    for operation, argument, _ in pickletools.genops(stream):
        operations += 1
        if operations > max_operations:
            raise Refused(f"the pickle has more than {max_operations:,} operations")
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument is not None and argument > operations:
            raise Refused(f"the pickle stores memo entry {argument} after {operations} operations")
    return operations


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
            raise Refused("the pickle holds an array of objects, strings or records, expected plain numbers")
        self.value = np.dtype(match[1] + match[2])

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if any(part is not None for part in state[2:5]):
            raise Refused("the pickle holds an array of records, expected plain numbers")
        self.value = self.value.newbyteorder(cast(Any, order))


def _build(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Dtype) or order not in ("C", "F"):
        raise Refused("the pickle holds an array whose parts are of the wrong kind")
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(size) is int and 0 <= size < 1 << 63 for size in shape):
        raise Refused("the pickle holds an array of an impossible shape")
    if math.prod(shape) * dtype.value.itemsize != len(raw):
        raise Refused(f"the pickle holds an array of shape {shape} and type {dtype.value} in {len(raw):,} bytes")
    return np.frombuffer(raw, dtype.value).reshape(shape, order=order)


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _Array:
        raise Refused("the pickle reconstructs something that is no array")
    return _Array()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.value = _build(raw, dtype, shape, order)
    return array


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("the pickle encodes something that is no string of bytes")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _arrays(entry) if isinstance(entry, _Array) else entry for key, entry in value.items()}
    if isinstance(value, _Array):
        if value.value is None:
            raise Refused("the pickle holds an array without content")
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
