"""An open weight file that hands out no more than it has, and words for messages about it."""

import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.words import one_line

PICKLE_SLACK = 1 << 20  # bytes by which a pickle or a header may exceed its share of the file: a long history of training
OPERATION_SLACK = 120_000  # 64,000 losses, one for each of the paper's steps, and the net; at 100 bytes each 12 MB


class Source(io.BufferedReader):
    """A file opened for reading.

    size: its length in bytes. limit: no read takes more at once; parsers believe lengths that files announce.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size = os.fstat(self.fileno()).st_size
        self.limit = self.size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.size - self.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > self.limit:
            raise CheckpointError(f"it has a part of {wanted:,} bytes, expected at most {self.limit:,} in a file of {self.size:,}")
        return super().read(wanted)

    def array(self, position: int, count: int, dtype: np.dtype) -> np.ndarray:
        """`count` numbers that begin at the byte `position`: (count,) of dtype. Raises CheckpointError if it ends before that."""
        stop = position + count * dtype.itemsize
        if not 0 <= position <= stop <= self.size:
            raise damaged(f"it ends after {self.size:,} bytes, expected {stop:,}: it was cut short")
        array = np.empty(count, dtype)
        self.seek(position)
        if self.readinto(array.view(np.uint8).data) != array.nbytes:
            raise CheckpointError("it became shorter while it was read")
        return array


def open_source(path: Path) -> Source:
    """Open what is at `path`. Raises CheckpointError if it is missing, empty, unreadable or not a file."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise CheckpointError("it is a folder, expected a file of weights")
        if not stat.S_ISREG(mode):  # opening a pipe waits for its other end
            raise CheckpointError("it is not a regular file; copy what it delivers to one")
        source = Source(path)
    except FileNotFoundError:
        raise CheckpointError("there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise CheckpointError(f"it cannot be opened: {one_line(getattr(error, 'strerror', None) or error)}") from None
    if not source.size:
        source.close()
        raise damaged("it is empty: the download failed")
    return source


def damaged(what: str) -> CheckpointError:
    """To be raised for what no program has written."""
    return CheckpointError(f"{what}; it is damaged, get it again")


def pickle_bytes(size: int) -> int:
    """How many bytes of a file of `size` may be names and structure instead of numbers."""
    return PICKLE_SLACK + size // 8


def pickle_operations(size: int) -> int:
    """How many operations its pickles may have: each may cost 100 bytes."""
    return OPERATION_SLACK + size // 128


def listing(names: Iterable[Any]) -> str:
    """The first names of a file, for a message."""
    texts = [one_line(name, 30) for name, _ in zip(names, range(6), strict=False)]
    return ", ".join(texts[:5]) + ", …" * (len(texts) > 5) or "nothing"
