"""What `torch.save` writes since PyTorch 1.6: a zip of one pickle and one member for each storage.

    <name>/data.pkl     the object; it names storages by key
    <name>/data/<key>   their numbers
    <name>/byteorder    `little` or `big`; only newer versions write it
"""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign import state_dict, torch_pickle
from resnet_np.models.foreign.source import Source, damaged, listing, pickle_bytes
from resnet_np.models.foreign.tensors import STORED, Storage, materialise
from resnet_np.models.foreign.zip_archive import read_member
from resnet_np.words import one_line

PICKLE = "/data.pkl"


def read(source: Source, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> dict[str, np.ndarray]:
    """The arrays of the state dict. Raises CheckpointError."""
    root = _root(members)
    if any(name.startswith(f"{root}/code/") for name in members):
        raise CheckpointError("it is a TorchScript program, expected weights. With PyTorch: "
                              "torch.save(torch.jit.load(path).state_dict(), new_path)")
    order = members.get(f"{root}/byteorder")
    if order is not None and (order.file_size > 6 or read_member(archive, order).tobytes() != b"little"):
        raise CheckpointError("it was written on a big-endian machine; save it again on another")
    pickled = members[root + PICKLE]
    if pickled.file_size > pickle_bytes(source.size):
        raise CheckpointError(f"its data.pkl has {pickled.file_size:,} bytes, expected at most {pickle_bytes(source.size):,}")
    storages: dict[str, Storage] = {}
    stream = io.BytesIO(read_member(archive, pickled).tobytes())
    content = torch_pickle.load(stream, source, what="data.pkl", persistent_load=torch_pickle.storages(storages))

    def load(key: str) -> np.ndarray:
        storage, member = storages[key], members.get(f"{root}/data/{key}")
        if member is None:
            raise damaged(f"it lacks the storage {one_line(key, 30)!r}")
        if member.file_size != storage.size * STORED[storage.code].itemsize:
            raise damaged(f"its storage {one_line(key, 30)!r} has {member.file_size:,} bytes, "
                          f"expected {storage.size:,} numbers of type {storage.code}")
        return read_member(archive, member).view(STORED[storage.code])

    return materialise(state_dict.choose(content), load, source.size)


def _root(members: Mapping[str, zipfile.ZipInfo]) -> str:
    """The folder that holds everything: its name is that of the file when it was written."""
    roots = [name.removesuffix(PICKLE) for name in members if name.endswith(PICKLE) and name.count("/") == 1]
    if len(roots) != 1:
        raise CheckpointError(f"it is a zip of {listing(members)}, expected one data.pkl as torch.save writes it, "
                              "or the .npy members of an .npz file")
    return roots[0]
