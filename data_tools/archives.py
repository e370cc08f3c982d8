"""Read a tar or tar.gz archive member by member, in memory.

Nothing is ever extracted to disk, nothing but the names asked for is looked at, and no size that the archive announces
is believed: memory follows what really arrives.
"""

import gzip
import io
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from data_tools.contents import MAX_BYTES
from resnet_np.errors import DataError

MAX_FILE = 64 << 20  # bytes; an official batch has 31 MB, one that Python 3 pickled for Python 2 has 46 MB
MAX_MEMBERS = 100  # the official archives have 9; tarfile keeps a kilobyte of each
MAX_HEADER = 8 << 10  # bytes, of the extended headers too, which tarfile holds whole and scans in square time
_PIECE = 1 << 20  # bytes; a stream allocates what it is asked for before it looks how much is there


def members(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the members whose last name is in `wanted`. Raises DataError, one line, for a bad archive."""
    seen = set()
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = _Bounded(gzip.GzipFile(fileobj=raw) if packed else raw, path)
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                for number, member in enumerate(archive, 1):
                    if number > MAX_MEMBERS:
                        raise DataError(f"{path}: holds more than {MAX_MEMBERS} members, which no archive of CIFAR-10 does; "
                                        "refusing to read it")
                    place = PurePosixPath(member.name)
                    if place.is_absolute() or ".." in place.parts:
                        raise DataError(f"{path}: holds the member {member.name[:100]!r}, which points outside; "
                                        "refusing the archive")
                    if place.name not in wanted or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
                        continue  # a link, a device, a file of announced holes, a picture: never followed, never made
                    if place.name in seen:
                        raise DataError(f"{path}: holds {place.name} twice; get the archive again")
                    seen.add(place.name)
                    yield place.name, stream.content(member)
            stream.finish()
    except (DataError, MemoryError):
        raise
    except OSError as error:
        if error.strerror:
            raise
        raise _damaged(path) from None
    except Exception:  # tarfile and zlib raise a dozen kinds of error on damaged bytes
        raise _damaged(path) from None


def _damaged(path: Path) -> DataError:
    return DataError(f"{path}: is no tar or tar.gz archive and no npz file, or is cut short or damaged; get it again")


class _Bounded(io.RawIOBase):
    """A stream that refuses to unpack more than a CIFAR-10 archive can hold, however little is packed in it."""

    def __init__(self, file: io.BufferedIOBase, path: Path) -> None:
        self._file, self._path = file, path

    def read(self, size: int = -1) -> bytes:
        """What tarfile calls, for headers alone."""
        self._check(size, MAX_HEADER)
        return self._read(size)

    def content(self, member: tarfile.TarInfo) -> bytes:
        self._check(member.size, MAX_FILE)
        self.seek(member.offset_data)
        content = self._read(member.size)
        if len(content) < member.size:
            raise _damaged(self._path)
        return content

    def finish(self) -> None:
        """tarfile stops at its own end mark; gzip's checksum comes after it."""
        while self._read(_PIECE):
            pass

    def seek(self, position: int, whence: int = 0) -> int:
        self._check(position, MAX_BYTES)
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def _read(self, size: int) -> bytes:
        self._check(self._file.tell(), MAX_BYTES)
        pieces = []
        while size and (piece := self._file.read(min(size, _PIECE))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _check(self, size: int, limit: int) -> None:
        if not 0 <= size <= limit:
            raise DataError(f"{self._path}: announces or unpacks to more than {limit:,} bytes where no archive of CIFAR-10 "
                            "does; refusing to read it")
