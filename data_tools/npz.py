"""The npz layout: one file of NumPy's, as np.savez writes it.

train_images, test_images   uint8 (N, 3, 32, 32): red, green, blue
train_labels, test_labels   whole numbers (N,), 0 to 9
classes                     ten texts, in the order of the labels

Arrays are stored as they are, not compressed: so a file can unpack to no more than its own size.
"""

import io
import os
import struct
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data_tools import contents
from data_tools.contents import Batch, Contents
from data_tools.image_set import ImageSet
from resnet_np.errors import DataError

MAGIC = b"PK"
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels", "classes")
MAX_DIRECTORY = 64 << 10  # bytes; zipfile makes an object of 800 bytes of every entry of 46
_DIRECTORY_END = struct.Struct("<4s4H2LH")


def read(path: Path) -> Contents:
    """Raises DataError, one line, for whatever is missing, cut short, damaged or hostile."""
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy warns of headers that only Python 2 or nobody writes
            arrays = _arrays(stream, str(path))
        return Contents("npz", _classes(arrays["classes"], f"{path}: classes"),
                        _batch(arrays, "train", str(path)), _batch(arrays, "test", str(path)))
    except (DataError, OSError):
        raise
    except Exception:  # zipfile and NumPy have a dozen kinds of error for damaged bytes
        raise DataError(f"{path}: is no npz file, or is cut short or damaged; write or get it again") from None


def write(image_set: ImageSet, path: Path) -> None:
    """Write `image_set` into the new file `path`."""
    with path.open("xb") as stream:
        np.savez(stream, train_images=image_set.train_images, train_labels=image_set.train_labels,
                 test_images=image_set.test_images, test_labels=image_set.test_labels, classes=np.array(image_set.classes))


def _arrays(stream: BinaryIO, what: str) -> dict[str, np.ndarray]:
    size = os.fstat(stream.fileno()).st_size
    if size > contents.MAX_BYTES:
        raise DataError(f"{what}: has {size:,} bytes, expected at most {contents.MAX_BYTES:,}: no set of 32 x 32 pictures")
    _check_directory(stream, size, what)
    with zipfile.ZipFile(stream) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        missing = [name for name in ARRAYS if name not in members]
        if missing:
            raise DataError(f"{what}: {', '.join(missing)} missing; expected the arrays {', '.join(ARRAYS)}")
        wanted = [members[name] for name in ARRAYS]
        if any(member.compress_type != zipfile.ZIP_STORED for member in wanted):
            raise DataError(f"{what}: its arrays are compressed; expected them as they are, as np.savez writes them")
        announced = sum(member.file_size for member in wanted)
        if announced > size or any(member.file_size != member.compress_size for member in wanted):
            raise DataError(f"{what}: announces {announced:,} bytes of arrays in a file of {size:,}; refusing to read it")
        return {name: _array(archive.read(members[name]), f"{what}: {name}") for name in ARRAYS}


def _check_directory(stream: BinaryIO, size: int, what: str) -> None:
    stream.seek(max(0, size - _DIRECTORY_END.size - 20))  # the locator of a longer (zip64) directory would stand before it
    tail = stream.read()
    end = tail[-_DIRECTORY_END.size:]
    if len(tail) < _DIRECTORY_END.size + 20 or not end.startswith(b"PK\5\6"):
        raise DataError(f"{what}: is no npz file, or was cut short: expected a zip's list of contents at its end; "
                        "write or get it again")
    if tail.startswith(b"PK\6\7") or _DIRECTORY_END.unpack(end)[5] > MAX_DIRECTORY:
        raise DataError(f"{what}: lists more contents than the {len(ARRAYS)} arrays of a data set; refusing to read it")


def _array(raw: bytes, what: str) -> np.ndarray:
    """The array of one .npy file: numbers or texts, never objects; a view of what was read, so never more than that."""
    stream = io.BytesIO(raw)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise DataError(f"{what} is in another version of NumPy's format than 1.0; write it with np.savez")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=1000)
    if dtype.hasobject:
        raise DataError(f"{what} holds Python objects, which are programs; expected numbers, or texts as class names")
    return np.frombuffer(raw, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran_order else "C")


def _classes(names: np.ndarray, what: str) -> tuple[str, ...]:
    if names.dtype.kind != "U" or names.ndim != 1:
        raise DataError(f"{what} is {names.dtype} {names.shape}, expected ten texts")
    return contents.classes(names.tolist(), what)


def _batch(arrays: dict[str, np.ndarray], split: str, what: str) -> Batch:
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (3, 32, 32) or not len(images):
        raise DataError(f"{what}: {split}_images is {images.dtype} {images.shape}, expected uint8 (N, 3, 32, 32)")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(f"{what}: {split}_labels is {labels.dtype} {labels.shape}, expected {len(images)} whole numbers")
    return np.ascontiguousarray(images), contents.labels(labels, f"{what}: {split}_labels")
