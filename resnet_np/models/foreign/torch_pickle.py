"""What pickles of PyTorch may hold: tensors, dictionaries of them, and a few harmless things that people save beside."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from resnet_np import safe_pickle
from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.source import Source, pickle_operations
from resnet_np.models.foreign.tensors import Storage, Tensor, slice_storage, types_of, view
from resnet_np.safe_pickle import Refused
from resnet_np.words import one_line

WHOLE_NET = (
    "it holds a whole pickled net, or another module of PyTorch, which is a program; expected weights alone. Where its source code "
    "is, torch.load(path, map_location='cpu', weights_only=False) reads it, and torch.save(net.state_dict(), new_path) saves the "
    "weights of the net in it"
)
ADVICE = "With PyTorch, torch.save(model.float().state_dict(), path) writes a file that can be read"
CODES = {
    "Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": "bf16", "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1",
    "Byte": "u1", "Bool": "bool",
}
UNREADABLE = ("ComplexFloat", "ComplexDouble", "QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")


class Kind(NamedTuple):
    """Stands for a class of storages."""

    name: str
    code: str


class Dtype(NamedTuple):
    """Stands for a type of numbers."""

    name: str


class Ignored:
    """Stands for what is no tensor: it takes what a pickle gives to it, and forgets it."""

    __slots__ = ()

    def __new__(cls, *_: Any, **__: Any) -> "Ignored":
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass


class Mapping(dict):
    """Stands for OrderedDict: takes entries, but no attributes, such as the `_metadata` of a state dict."""

    __slots__ = ()

    def __setstate__(self, _: Any) -> None:
        pass


def _ordered_dict(items: Any = ()) -> Mapping:
    if not isinstance(items, list | tuple) or not all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
        raise Refused("the pickle holds an OrderedDict that is not made of pairs")
    safe_pickle.check_keys(item[0] for item in items)
    return Mapping(items)


def _tensor(
    storage: Any, first: Any, shape: Any, strides: Any, _: Any = None, __: Any = None, flags: Any = None
) -> Tensor:
    if isinstance(flags, dict) and any(flags.values()):  # torch._neg_view, x.conj(): the numbers are not those of the tensor
        raise Refused(f"the pickle holds a tensor whose {one_line(next(iter(flags)), 30)} bit is set; save it after .resolve_neg()")
    return view(storage, first, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise Refused("the pickle holds a parameter that is no tensor")
    return tensor


def _refuse_rare(*arguments: Any) -> Tensor:
    """What came later than the classes of storages: float8, and unsigned integers of several bytes."""
    name = next((argument.name for argument in arguments if isinstance(argument, Dtype)), "unknown")
    raise Refused(f"the pickle holds {name} numbers, expected {types_of(CODES.values())}")


def _refuse_sparse(*_: Any) -> Tensor:
    raise Refused(f"the pickle holds a sparse tensor, expected dense ones of {types_of(CODES.values())}")


def _refuse_quantised(*_: Any) -> Tensor:
    raise Refused(f"the pickle holds a quantised tensor, expected {types_of(CODES.values())}")


def _names(prefixes: str, names: str) -> list[str]:
    return [f"{prefix}.{name}" for prefix in prefixes.split() for name in names.split()]


DTYPES = [
    *"float64 float32 float16 bfloat16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool".split(),
    *"complex128 complex64 complex32 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu".split(),
    *"float4_e2m1fn_x2 qint8 quint8 qint32 quint4x2 quint2x4 bits1x8 bits2x4 bits4x2 bits8 bits16".split(),
]
HARMLESS = [
    *_names("torch", "device Size"),
    *_names("torch torch.cuda", " ".join(f"{name}Tensor" for name in CODES)),
    *_names("builtins __builtin__", "set frozenset list dict tuple int float bool str complex slice"),
    *_names("collections", "Counter defaultdict"),
    *_names("datetime", "datetime date timedelta"),
    *_names("pathlib", "PosixPath WindowsPath PurePosixPath PureWindowsPath"),
    *_names("numpy.core.multiarray numpy._core.multiarray", "scalar"),
    "argparse.Namespace",
    "torch.serialization._get_layout",
]
ALLOWED: dict[str, Any] = {
    **safe_pickle.ARRAYS,
    **dict.fromkeys(HARMLESS, Ignored),
    **{f"torch.{name}Storage": Kind(name, code) for name, code in CODES.items()},
    **{f"torch.{name}Storage": Kind(name, "") for name in UNREADABLE},
    **dict.fromkeys(("torch.UntypedStorage", "torch.storage.UntypedStorage"), Kind("Untyped", "u1")),
    **dict.fromkeys(_names("torch._utils", "_rebuild_tensor _rebuild_tensor_v2"), _tensor),
    **dict.fromkeys(_names("torch._utils", "_rebuild_parameter _rebuild_parameter_with_state"), _parameter),
    **{f"torch.{name}": Dtype(name) for name in DTYPES},
    "torch._utils._rebuild_tensor_v3": _refuse_rare,
    "torch._utils._rebuild_sparse_tensor": _refuse_sparse,
    "torch._utils._rebuild_qtensor": _refuse_quantised,
    "collections.OrderedDict": _ordered_dict,
}


def load(stream: io.BytesIO, source: Source, *, what: str, persistent_load: Callable[[Any], Any] | None = None) -> Any:
    """The next pickle of `stream`, which is a part of `source`. Raises CheckpointError; runs nothing."""
    start = stream.tell()
    try:
        return safe_pickle.load(
            stream,
            allowed=ALLOWED,
            what=what,
            max_operations=min(pickle_operations(source.size), safe_pickle.MAX_OPERATIONS),
            persistent_load=persistent_load,
            error=CheckpointError,
            advice=ADVICE,
        )
    except CheckpointError:
        # The class of a net comes first, and may have any name; those of its layers follow.
        if b"torch.nn.modules." in stream.getbuffer()[start:].tobytes():
            raise CheckpointError(WHOLE_NET) from None
        raise


def storages(found: dict[str, Storage]) -> Callable[[Any], Storage]:
    """The persistent_load of files that name their storages within the pickle; collects them in `found`, by key."""
    return partial(_storage, found)


def _storage(found: dict[str, Storage], name: Any) -> Storage:
    # ("storage", class, key, device, size), in the old stream followed by None or (key, first, size) of a part of it
    if not isinstance(name, tuple) or len(name) not in (5, 6) or text(name[0]) != "storage":
        raise Refused("the pickle names an object outside of it that is no storage")
    code, key, size, part = code_of(name[1]), text(name[2]), name[4], name[5] if len(name) == 6 else None
    if type(size) is not int or not 0 <= size < 1 << 63:
        raise Refused("the pickle names a storage whose size is no positive number")
    storage = Storage(key, code, 0, size)
    if found.setdefault(key, storage) != storage:
        raise Refused(f"the pickle names the storage {one_line(key, 30)!r} twice, with different sizes or types")
    if part is None:
        return storage
    if not isinstance(part, tuple) or len(part) != 3:
        raise Refused("the pickle holds a part of a storage that is none")
    return slice_storage(storage, part[1], part[2])


def code_of(kind: Any) -> str:
    """The code of the numbers in a storage of this class. Raises Refused if it is none, or of numbers that are not read."""
    if not isinstance(kind, Kind):
        raise Refused("the pickle holds a storage of an unknown kind")
    if not kind.code:
        raise Refused(f"the pickle holds {kind.name} numbers, expected {types_of(CODES.values())}")
    return kind.code


def text(value: Any) -> str:
    """What Python 2 wrote as `str` has arrived as bytes. Raises Refused if it is neither."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise Refused(f"the pickle has a {type(value).__name__} where a name is expected")
    return value
