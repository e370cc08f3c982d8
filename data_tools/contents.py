"""What the reader of a layout hands over, and the checks that all of them share."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_np.errors import DataError
from resnet_np.words import fits_on_a_line

MAX_BYTES = 512 << 20  # of a whole set, unpacked; CIFAR-10 has 184 MB
PICTURE = 3 * 32 * 32  # bytes
MAX_NAME = 40  # letters of a class

Batch = tuple[np.ndarray, np.ndarray]  # images uint8 (N, 3, 32, 32), labels int64 (N,)


class Contents(NamedTuple):
    """A data set as it lies on disk, in the layout of that name."""

    layout: str
    classes: tuple[str, ...]
    train: Batch
    test: Batch


def read_bytes(path: Path, limit: int, kind: str) -> bytes:
    """The whole of a regular file, if it is no longer than a `kind` may be."""
    if (size := path.stat().st_size) > limit:
        raise DataError(f"{path}: has {size:,} bytes, expected at most {limit:,}: no {kind}")
    return path.read_bytes()


def labels(values: np.ndarray, what: str) -> np.ndarray:
    """Whole numbers -> int64, all of them 0 to 9."""
    wrong = (values < 0) | (values > 9)
    if wrong.any():
        record = int(wrong.argmax())
        raise DataError(f"{what}: record {record} has the label {values[record]}, expected 0 to 9; "
                        "the file is damaged or is not CIFAR-10 (CIFAR-100 has other records)")
    return values.astype(np.int64)


def classes(names: Sequence[bytes | str], what: str) -> tuple[str, ...]:
    """Ten different names that fit on a line."""
    texts = [(name.decode("utf-8", "replace") if isinstance(name, bytes) else name).strip() for name in names]
    if len(set(texts)) != 10 or len(texts) != 10 or not all(fits_on_a_line(text, MAX_NAME) for text in texts):
        raise DataError(f"{what}: expected the names of ten classes; the file is damaged, get it again")
    return tuple(texts)


def lines(content: bytes) -> list[bytes]:
    """The lines of a file of class names, empty ones left out."""
    return [line for line in content.splitlines() if line.strip()]
