"""Tensors as files describe them, parts of storages, and the arrays that they become.

A code names the type of the numbers: that of NumPy without its byte order (f4, i8, …), `bf16` or `bool`.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.safe_pickle import Refused

# What lies in the file. NumPy has no bfloat16: it is the upper half of a float32. A byte of a bool may be none of 0 and 1.
STORED = {code: np.dtype(f"<{code}") for code in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1")}
STORED |= {"bf16": np.dtype("<u2"), "bool": np.dtype("u1")}
RESULTS = {code: dtype.newbyteorder("=") for code, dtype in STORED.items()}
RESULTS |= dict.fromkeys(("f8", "bf16"), np.dtype(np.float32)) | {"bool": np.dtype(bool)}
# What arrays and the net that they go to may take together, in bytes: of the file, and beyond, as little files compress well.
TENSOR_SHARE, TENSOR_SLACK = 4, 4 << 20
MAX_AXES = 32


# Named tuples have neither __dict__ nor __setstate__: a pickle that holds one cannot alter it.
class Storage(NamedTuple):
    """`size` numbers of the storage `key` of a file, from number `first` on."""

    key: Hashable
    code: str
    first: int
    size: int


class Tensor(NamedTuple):
    """The numbers of a storage that begin at number `first`, `strides` numbers apart."""

    key: Hashable
    code: str
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def types_of(codes: Iterable[str]) -> str:
    """For a refusal: the types of numbers that a reader takes, as PyTorch and NumPy call them."""
    *others, last = ("bfloat16" if code == "bf16" else np.dtype(code).name for code in codes)
    return f"{', '.join(others)} or {last}"


def view(storage: Any, first: Any, shape: Any, strides: Any) -> Tensor:
    """A part of a storage. Raises Refused if it is none: nothing of it is believed."""
    if not isinstance(storage, Storage):
        raise Refused("a tensor has no storage")
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or not len(shape) == len(strides) <= MAX_AXES:
        raise Refused("a tensor has a shape and strides that do not fit each other")
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in (first, *shape, *strides)):
        raise Refused("a tensor has a shape, strides or an offset that are no positive numbers")
    last = first + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.size:
        raise Refused(f"a tensor reaches to number {last:,} of a storage of {storage.size:,}")
    # One step along an axis of one is never taken, but NumPy multiplies its stride all the same.
    strides = tuple(stride if size > 1 else 0 for size, stride in zip(shape, strides, strict=True))
    return Tensor(storage.key, storage.code, storage.first + first, shape, strides)


def slice_storage(storage: Storage, first: Any, size: Any) -> Storage:
    """A part of a storage that is one itself; old versions of PyTorch had them. Raises Refused if it is none."""
    if not (type(first) is type(size) is int and 0 <= first <= first + size <= storage.size):
        raise Refused(f"a storage begins or ends outside of the {storage.size:,} numbers of another, of which it is a part")
    return storage._replace(first=storage.first + first, size=size)


def check_total(announced: Mapping[str, tuple[str, tuple[int, ...]]], size: int) -> None:
    """Raises CheckpointError if arrays of these codes and shapes, and a net of them, take more than a file of `size` bytes may."""
    counts = [(RESULTS[code], math.prod(shape)) for code, shape in announced.values()]
    total = sum(count * dtype.itemsize for dtype, count in counts)
    net = sum(count * np.dtype(np.float32).itemsize for dtype, count in counts if dtype.kind == "f")
    if total + net > TENSOR_SHARE * size + TENSOR_SLACK:
        raise CheckpointError(f"it announces tensors of {min(total, 1 << 63):,} bytes, too many for a file of {size:,}; if it is "
                              "compressed, save it again without: numpy.savez")


def materialise(tensors: Mapping[str, Tensor], load: Callable[[Any], np.ndarray], size: int) -> dict[str, np.ndarray]:
    """The array of every tensor of a file of `size` bytes: contiguous, of its own memory, of the dtypes of RESULTS.

    load: gives the numbers of a storage by its key, as stored: (n,).
    Raises CheckpointError if they would take more memory than the file explains.
    """
    check_total({name: (tensor.code, tensor.shape) for name, tensor in tensors.items()}, size)
    sharing: dict[Hashable, list[str]] = {}
    for name, tensor in tensors.items():
        sharing.setdefault(tensor.key, []).append(name)
    arrays = dict.fromkeys(tensors, np.empty(0))  # in the order of the names, while storages are read in their own
    for key, names in sharing.items():
        numbers = load(key)
        for name in names:
            arrays[name] = _array(numbers, tensors[name], alone=len(names) == 1)
    return arrays


def _array(numbers: np.ndarray, tensor: Tensor, *, alone: bool) -> np.ndarray:
    if 0 in tensor.shape:
        return np.empty(tensor.shape, RESULTS[tensor.code])
    width = numbers.itemsize
    strides = [stride * width for stride in tensor.strides]
    part: np.ndarray = np.ndarray(tensor.shape, numbers.dtype, numbers, tensor.first * width, strides)  # checks it once more
    whole = alone and part.size == numbers.size and part.flags.c_contiguous
    return convert(part, tensor.code, copy=not whole)


def convert(stored: np.ndarray, code: str, *, copy: bool) -> np.ndarray:
    """Numbers of any strides as they lie in a file -> contiguous ones of RESULTS[code], rounded to the nearest.

    copy: give memory of its own, even where there is nothing to convert.
    """
    if code == "bf16":
        upper = stored.astype(np.uint32, order="C")
        upper <<= 16
        return upper.view(np.float32)
    with np.errstate(all="ignore"):  # what is beyond float32 becomes infinite
        return stored.astype(RESULTS[code], order="C", copy=copy)
