"""Which kind of file it is, by its first bytes, and its tensors.

Nothing in a file is run or believed. Reading takes at most 16 MiB and four times the file's size of memory.
"""

import warnings
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign import npz_file, safetensors_file, torch_stream, torch_tar, torch_zip
from resnet_np.models.foreign.source import Source, damaged, open_source
from resnet_np.models.foreign.zip_archive import open_archive
from resnet_np.words import fits_on_a_line, one_line, one_path

HEAD = 512
LONGEST_TENSOR = 300  # letters of its name; a ResNet in wrappers has 60
UNPACK = "it is a compressed archive; unpack it and give the file of weights in it"
# What else comes under the names of weight files: its first bytes, in small letters, and what to say.
ACCIDENTS = {
    b"<!doctype": "it is a web page, not weights: the link led to a page about the file; download the file itself",
    b"<html": "it is a web page, not weights: the link led to a page about the file; download the file itself",
    b"<?xml": "it is an XML answer of a server, not weights: the download failed, get it again",
    b"version https://git-lfs": "it is a pointer of git-lfs, not the weights; `git lfs pull` in its repository fetches them",
    b"\x1f\x8b": UNPACK,
    b"bzh": UNPACK,
    b"\xfd7zxz": UNPACK,
    b"(\xb5/\xfd": UNPACK,
    b"7z\xbc\xaf": UNPACK,
    b"rar!": UNPACK,
    b"\x89hdf\r\n": "it is an HDF5 file, as Keras writes them, expected one of PyTorch, safetensors or NumPy; save it as .npz",
    b"\x93numpy": "it is a single array of NumPy, expected one for each parameter; numpy.savez writes such a file",
    b"gguf": "it is a GGUF file of a language model, expected weights of a ResNet",
}
READERS = {"torch stream": torch_stream.read, "torch tar": torch_tar.read, "safetensors": safetensors_file.read}


class Tensors(NamedTuple):
    """What a weight file holds, with the names that it has there.

    container   "torch zip", "torch stream", "torch tar", "safetensors" or "npz"
    arrays      by name, contiguous, each of its own memory: bfloat16 and float64 as float32, all others as they are
    """

    container: str
    arrays: dict[str, np.ndarray]


def read(path: str | PathLike[str]) -> Tensors:
    """The tensors of a weight file; of several state dicts in it, the one that state_dict.HOLDERS prefers.

    Raises CheckpointError, in one line, if it is missing, damaged, hostile or holds no tensors by name; npz_file.OwnCheckpoint if
    it is a checkpoint of ours.
    """
    container = "a weight file"
    try:
        with warnings.catch_warnings(action="ignore"), open_source(Path(path)) as source:  # parsers warn before they refuse
            container = _detect(source)
            return _checked(_read(source, container))
    except CheckpointError as error:
        raise type(error)(f"weights: {one_path(path)}: {error}") from error.__cause__
    except Exception as error:  # zip, tar, safetensors and NumPy each have their own for a damaged file
        reason = f"weights: {one_path(path)}: it cannot be read as {container} ({one_line(error)})"
        raise damaged(reason) from error


def _read(source: Source, container: str) -> Tensors:
    if container != "zip":
        return Tensors(container, READERS[container](source))
    archive, members = open_archive(source)
    with archive:
        if members and all(name.endswith(npz_file.SUFFIX) for name in members):
            return Tensors("npz", npz_file.read(source, archive, members))
        return Tensors("torch zip", torch_zip.read(source, archive, members))


def _checked(tensors: Tensors) -> Tensors:
    """Raises CheckpointError for a name that no program gives: others look for patterns in names, which takes long in long ones."""
    for name in tensors.arrays:
        if not fits_on_a_line(name, LONGEST_TENSOR):
            raise damaged(f"it names a tensor {one_line(repr(name), 60)}, expected 1 to {LONGEST_TENSOR} printable letters")
    return tensors


def _detect(source: Source) -> str:
    """Raises CheckpointError, saying what it is instead, if it is none of ours."""
    head = source.read(HEAD)
    if head[8:9] == b"{":  # asked first: the length before it may have any bytes, such as those with which a pickle begins
        return "safetensors"
    if head.startswith((b"PK\3\4", b"PK\5\6")):  # a first member, or the end of an archive of none
        return "zip"
    if head[257:262] == b"ustar":
        return "torch tar"
    if head.startswith(b"\x80"):  # pickles of protocol 2 and above
        return "torch stream"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for prefix, accident in ACCIDENTS.items():
        if start.startswith(prefix):
            raise CheckpointError(accident)
    raise CheckpointError(
        f"it begins with {head[:8].hex(' ')}, expected a file of PyTorch, of safetensors or an .npz of NumPy; it is damaged or "
        "something else, such as ONNX: save the weights again, as one of these"
    )
