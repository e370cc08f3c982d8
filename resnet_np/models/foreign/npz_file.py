""".npz files: a zip of one .npy file an array, as they are or compressed."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.source import Source, damaged
from resnet_np.models.foreign.tensors import RESULTS, STORED, check_total, convert, types_of
from resnet_np.models.foreign.zip_archive import read_member
from resnet_np.words import one_line

SUFFIX = ".npy"
HEADER = 1000  # characters, at most: it is parsed as Python's literals are


class OwnCheckpoint(CheckpointError):
    """The file is a checkpoint of ours, which `load_checkpoint` reads."""


def read(source: Source, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> dict[str, np.ndarray]:
    """Its arrays by name. All members are .npy files. Raises CheckpointError."""
    if "header.npy" in members and any(name.startswith("parameter/") for name in members):
        raise OwnCheckpoint("it is a checkpoint of resnet_np; load_checkpoint reads it")
    arrays: dict[str, np.ndarray] = {}
    announced: dict[str, tuple[str, tuple[int, ...]]] = {}
    for member in members.values():
        name = member.filename.removesuffix(SUFFIX)
        stored, code = _parse(name, read_member(archive, member))
        announced[name] = code, stored.shape
        check_total(announced, source.size)
        arrays[name] = convert(stored, code, copy=True)
    return arrays


def _parse(name: str, content: np.ndarray) -> tuple[np.ndarray, str]:
    """The array of one .npy file, a view of `content`, uint8 (n,); and the code of its numbers."""
    stream = io.BytesIO(content[:HEADER + 100].tobytes())
    version = np.lib.format.read_magic(stream)
    parse = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if parse is None:
        raise CheckpointError(f"its array {one_line(name, 60)} is in version {version} of NumPy's format, expected 1.0 or 2.0")
    shape, fortran_order, dtype = parse(stream, max_header_size=HEADER)
    code = "bool" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize}"
    if code not in RESULTS or dtype.kind not in "fiub":
        raise CheckpointError(f"its array {one_line(name, 60)} holds {one_line(dtype, 40)}, expected "
                              f"{types_of(code for code in STORED if code != 'bf16')}; save it as one of these")
    stored = STORED[code].newbyteorder(">") if dtype.byteorder == ">" else STORED[code]
    if any(size < 0 for size in shape):  # to reshape, -1 means whatever is left
        raise damaged(f"its array {one_line(name, 60)} has the shape {one_line(shape, 60)}")
    # A view of what was read: a shape that asks for more than that does not fit.
    return np.frombuffer(content.data, stored, offset=stream.tell()).reshape(shape, order="F" if fortran_order else "C"), code
