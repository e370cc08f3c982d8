"""What `torch.save` wrote before PyTorch 1.6, one after the other:

    pickles of MAGIC, of PROTOCOL, of what machine it was, of the object, of the list of the storages' keys
    and for each key the count of its numbers (int64), and the numbers
"""

import io
from typing import Any

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign import state_dict, torch_pickle
from resnet_np.models.foreign.source import Source, damaged, pickle_bytes
from resnet_np.models.foreign.tensors import STORED, Storage, materialise
from resnet_np.words import one_line

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
COUNT = np.dtype("<i8")


def read(source: Source) -> dict[str, np.ndarray]:
    """The arrays of the state dict. Raises CheckpointError."""
    source.seek(0)
    head = io.BytesIO(source.read(pickle_bytes(source.size)))  # what follows the pickles is numbers, and is not walked over
    magic, protocol, machine = (torch_pickle.load(head, source, what="its head") for _ in range(3))
    if type(magic) is not int or magic != MAGIC:
        raise CheckpointError("it is a pickle that torch.save did not write, expected weights as PyTorch saves them")
    if type(protocol) is not int or protocol != PROTOCOL:
        raise damaged(f"it has the protocol {one_line(_short(protocol))}, expected {PROTOCOL}")
    if not isinstance(machine, dict) or machine.get("little_endian", machine.get(b"little_endian")) is not True:
        raise CheckpointError("it was written on a big-endian machine; save it again on another")
    storages: dict[str, Storage] = {}
    content = torch_pickle.load(head, source, what="its pickle", persistent_load=torch_pickle.storages(storages))
    keys = torch_pickle.load(head, source, what="its list of storages")
    places = _places(source, head.tell(), keys, storages)

    def load(key: str) -> np.ndarray:
        if key not in places:
            raise damaged(f"it lacks the storage {one_line(key, 30)!r}")
        return source.array(places[key], storages[key].size, STORED[storages[key].code])

    return materialise(state_dict.choose(content), load, source.size)


def _places(source: Source, position: int, keys: Any, storages: dict[str, Storage]) -> dict[str, int]:
    """Where the numbers of each storage begin. Everything to the end of the file must be one."""
    if not isinstance(keys, list) or not all(isinstance(key, str | bytes) for key in keys):
        raise damaged("its list of storages is none")
    places: dict[str, int] = {}
    for key in map(torch_pickle.text, keys):
        if key not in storages or key in places:
            raise damaged(f"its list names a storage {one_line(key, 30)!r} that it does not have")
        count, storage = int(source.array(position, 1, COUNT)[0]), storages[key]
        if count != storage.size:
            raise damaged(f"its storage {one_line(key, 30)!r} has {count:,} numbers, expected {storage.size:,}")
        places[key] = position + COUNT.itemsize
        position = places[key] + count * STORED[storage.code].itemsize
    if position != source.size:
        raise damaged(f"it has {source.size:,} bytes, expected {position:,}")
    return places


def _short(value: Any) -> str:
    return str(value) if type(value) is int and abs(value) < 1 << 64 else f"of a {type(value).__name__}"
