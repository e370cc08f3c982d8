"""What `torch.save` wrote before PyTorch 0.2: a tar of three members.

    storages    pickle of their count; for each: pickle of (key, device, class), int64 count, numbers; pickle of the list of parts
    tensors     pickle of their count; for each: pickle of (key, storage, class), int64 axes, shape, strides, int64 offset
    pickle      the object, which names tensors by key
"""

import io
import struct
import tarfile
from typing import Any

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign import state_dict, torch_pickle
from resnet_np.models.foreign.source import Source, damaged, listing, pickle_bytes
from resnet_np.models.foreign.tensors import MAX_AXES, STORED, Storage, Tensor, materialise, slice_storage, view
from resnet_np.safe_pickle import Refused
from resnet_np.words import one_line

MEMBERS = ("storages", "tensors", "pickle")
EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE)  # times and owners, which do not matter here
NAME = 1024  # bytes of the pickle before each storage, at most; 100 are usual
MAX_COUNT = 20_000  # storages or tensors; the deepest published ResNet, of 1,202 layers, has 7,000


def read(source: Source) -> dict[str, np.ndarray]:
    """The arrays of the state dict. Raises CheckpointError."""
    spans = _members(source)
    storages, places = _storages(source, *spans["storages"])
    tensors = _tensors(_head(source, *spans["tensors"]), source, storages)

    def named(key: Any) -> Any:
        if (found := tensors.get(int(torch_pickle.text(key)))) is None:
            raise Refused("the pickle names a tensor that the file does not have")
        return found

    content = torch_pickle.load(_head(source, *spans["pickle"]), source, what="its pickle", persistent_load=named)

    def load(key: int) -> np.ndarray:
        return source.array(places[key], storages[key].size, STORED[storages[key].code])

    return materialise(state_dict.choose(content), load, source.size)


def _members(source: Source) -> dict[str, tuple[int, int]]:
    """Where each member begins and ends. The library reads headers, but follows neither links nor lengths."""
    spans: dict[str, tuple[int, int]] = {}
    position = 0
    while position + tarfile.BLOCKSIZE <= source.size:
        source.seek(position)
        block = source.read(tarfile.BLOCKSIZE)
        if not any(block):
            break
        try:
            header = tarfile.TarInfo.frombuf(block, "ascii", "replace")
        except tarfile.HeaderError as error:
            raise damaged(f"it has a damaged header at byte {position:,} ({one_line(error)})") from None
        start, stop = position + tarfile.BLOCKSIZE, position + tarfile.BLOCKSIZE + header.size
        if header.size < 0 or stop > source.size:
            raise damaged(f"it ends after {source.size:,} bytes, expected {stop:,}: it was cut short")
        if header.type not in EXTENSIONS:
            name = header.name.removeprefix("./")
            if not header.isreg() or name not in MEMBERS or name in spans:
                raise CheckpointError(f"it is a tar with the member {one_line(header.name, 60)!r}, expected files named "
                                      f"{', '.join(MEMBERS)}, once each; if it is an archive of weights, unpack it")
            spans[name] = start, stop
        position = stop + -header.size % tarfile.BLOCKSIZE
    if len(spans) < len(MEMBERS):
        raise CheckpointError(f"it is a tar of {listing(spans)}, expected {', '.join(MEMBERS)}; it was cut short or is damaged")
    return spans


def _head(source: Source, start: int, stop: int) -> io.BytesIO:
    """A member that is names and structure."""
    limit = pickle_bytes(source.size)
    if stop - start > limit:
        raise CheckpointError(f"it has a member of {stop - start:,} bytes, expected at most {limit:,} for names and shapes")
    source.seek(start)
    return io.BytesIO(source.read(stop - start))


def _storages(source: Source, start: int, stop: int) -> tuple[dict[int, Storage], dict[int, int]]:
    """Storages by key, and where the numbers of each begin; parts of storages have their number in the whole one's."""
    storages: dict[int, Storage] = {}
    places: dict[int, int] = {}

    def unpickle(length: int) -> Any:
        nonlocal start
        source.seek(start)
        stream = io.BytesIO(source.read(min(length, stop - start)))
        value = torch_pickle.load(stream, source, what="its storages")
        start += stream.tell()
        return value

    for _ in range(_count(unpickle(NAME))):
        key, _, kind = _fields(unpickle(NAME), 3)
        code, count = _code(kind), int(source.array(start, 1, np.dtype("<i8"))[0])
        places[_key(key)] = start + 8
        start += 8 + count * STORED[code].itemsize
        if count < 0 or start > stop:
            raise damaged(f"it has a storage of {count:,} numbers, more than it holds")
        storages[key] = Storage(key, code, 0, count)
    for part in _fields(unpickle(pickle_bytes(source.size)), None):
        key, whole, first, size = _fields(part, 4)
        storages[_key(key)] = _refusing(slice_storage, _known(storages, whole), first, size)
    return storages, places


def _tensors(stream: io.BytesIO, source: Source, storages: dict[int, Storage]) -> dict[int, Tensor]:
    tensors: dict[int, Tensor] = {}
    for _ in range(_count(torch_pickle.load(stream, source, what="its tensors"))):
        key, storage, _ = _fields(torch_pickle.load(stream, source, what="its tensors"), 3)
        (axes,) = struct.unpack("<i4x", stream.read(8))  # its upper half was never written
        if not 0 <= axes <= MAX_AXES:
            raise damaged(f"it has a tensor of {axes} axes, expected at most {MAX_AXES}")
        numbers = struct.unpack(f"<{2 * axes + 1}q", stream.read(16 * axes + 8))
        shape, strides, first = numbers[:axes], numbers[axes:-1], numbers[-1]
        tensors[_key(key)] = _refusing(view, _known(storages, storage), first, shape, strides)
    return tensors


def _refusing(build: Any, *arguments: Any) -> Any:
    try:
        return build(*arguments)
    except Refused as refusal:
        raise damaged(str(refusal)) from None


def _code(kind: Any) -> str:
    return _refusing(torch_pickle.code_of, kind)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise damaged(f"it announces a number of storages or tensors that is not one, or beyond {MAX_COUNT:,}")
    return value


def _fields(value: Any, count: int | None) -> Any:
    if not isinstance(value, list | tuple) or count not in (None, len(value)):
        raise damaged("it describes a storage or a tensor in an unknown way")
    return value


def _key(value: Any) -> int:
    if type(value) is not int or abs(value) >= 1 << 64:
        raise damaged("it has a storage or a tensor whose key is no number")
    return value


def _known(storages: dict[int, Storage], key: Any) -> Storage:
    if (found := storages.get(_key(key))) is None:
        raise damaged("it uses a storage that it does not have")
    return found
