"""Read CIFAR-10's two layouts, from a folder or an archive; write them.

binary  cifar-10-batches-bin/  data_batch_1.bin … data_batch_5.bin test_batch.bin batches.meta.txt
        a record is 1 label byte and 3072 pixel bytes: 1024 red, 1024 green, 1024 blue, row by row
python  cifar-10-batches-py/   data_batch_1 … data_batch_5 test_batch batches.meta: pickled dictionaries

A batch of the official files holds 10,000 pictures. Fewer are read, so that small sets can be made, but the five
training batches must be equally long and a binary batch a whole number of records: a file that was cut short fails one
of the two. Archives are read member by member in memory; nothing is ever extracted to disk, and nothing but the names
above is looked at.
"""

import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from data_tools import shapes10
from data_tools.image_set import ImageSet
from resnet_np import safe_pickle
from resnet_np.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
RECORD = 1 + 3 * 32 * 32  # bytes
FOLDERS = {"bin": "cifar-10-batches-bin", "py": "cifar-10-batches-py"}
META = {"bin": "batches.meta.txt", "py": "batches.meta"}
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")

MAX_FILE = 64 << 20  # bytes; an official batch has 31 MB, one that Python 3 pickled for Python 2 has 46 MB
MAX_ARCHIVE = 512 << 20  # bytes unpacked; the official ones have 186 MB

# blake2b, 8 bytes, of the first four pictures of the official test set (shared/data/official-samples, pixel-exact)
OFFICIAL_PICTURES = frozenset({"c40544d1d7e3ce56", "f82a86aaa86cf76f", "909bf2d222802b1a", "392289ed70f1b649"})

Batch = tuple[np.ndarray, np.ndarray]  # images uint8 (N, 3, 32, 32), labels int64 (N,)


def read(path: Path) -> ImageSet:
    """Read a CIFAR-10 folder (itself, or a parent of it or of an official archive) or archive.

    Raises DataError, one line, for whatever is missing, cut short, damaged or hostile.
    """
    if path.is_dir():
        path, files = _folder_files(path)
    else:
        files = _archive_files(path)
    batches: dict[str, Batch] = {}
    classes: tuple[str, ...] | None = None
    layouts = set()
    for name, content in files:
        layout, what = _layout(name), f"{path}: {name}"
        layouts.add(layout)
        if name in META.values():
            classes = _classes(content, layout, what)
        else:
            parse = _parse_binary if layout == "bin" else _parse_python
            batches[name.removesuffix(".bin")] = parse(content, what)
    if not layouts:
        raise DataError(f"{path}: expected CIFAR-10's batches (data_batch_1.bin … or data_batch_1 …), found none; "
                        "give the folder or archive that holds them (folders of pictures cannot be read yet)")
    if len(layouts) > 1:
        raise DataError(f"{path}: holds batches of the binary and of the python layout; give one of them")
    return _assemble(path, layouts.pop(), batches, classes)


def write(image_set: ImageSet, out: Path, layout: str) -> Path:
    """Write `image_set` into a new folder under `out`, in layout "bin" or "py", and return the folder."""
    folder = out / FOLDERS[layout]
    if folder.exists():
        raise DataError(f"{folder}: exists already; remove it, or choose another folder")
    train = zip(np.array_split(image_set.train_images, 5), np.array_split(image_set.train_labels, 5), strict=True)
    batches = dict(zip(BATCHES, [*train, (image_set.test_images, image_set.test_labels)], strict=True))
    try:
        folder.mkdir(parents=True)
        for name, (images, labels) in batches.items():
            rows = images.reshape(len(images), -1)
            if layout == "bin":
                records = np.concatenate([labels.astype(np.uint8)[:, None], rows], axis=1)
                (folder / f"{name}.bin").write_bytes(records.tobytes())
            else:
                names = [b"%s_%05d.png" % (name.encode(), i) for i in range(len(rows))]
                _dump(folder / name, {b"batch_label": name.encode(), b"labels": labels.tolist(), b"data": rows,
                                      b"filenames": names})
        if layout == "bin":
            (folder / META["bin"]).write_text("".join(f"{name}\n" for name in image_set.classes), encoding="utf-8")
        else:
            _dump(folder / META["py"], {b"num_cases_per_batch": len(image_set.train_images) // 5,
                                        b"label_names": [name.encode() for name in image_set.classes],
                                        b"num_vis": RECORD - 1})
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None
    return folder


def _dump(path: Path, content: dict[bytes, object]) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


# Files and archives -> (name, content) of the batches in them

def _layout(name: str) -> str:
    return "bin" if name.endswith((".bin", ".txt")) else "py"


def _names(layout: str) -> list[str]:
    return [name + (".bin" if layout == "bin" else "") for name in BATCHES] + [META[layout]]


def _folder_files(path: Path) -> tuple[Path, Iterator[tuple[str, bytes]]]:
    for layout in FOLDERS:
        for folder in (path, path / FOLDERS[layout]):
            present = [name for name in _names(layout) if (folder / name).is_file()]
            if present:
                return folder, ((name, _file(folder / name)) for name in present)
    for archive in ARCHIVES:
        if (path / archive).is_file():
            return path / archive, _archive_files(path / archive)
    return path, iter(())


def _file(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MAX_FILE:
            raise DataError(f"{path}: has {size:,} bytes, expected at most {MAX_FILE:,}: no batch of CIFAR-10")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    wanted = {name for layout in FOLDERS for name in _names(layout)}
    seen = set()
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = _Bounded(gzip.GzipFile(fileobj=raw) if packed else raw, path)
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                for member in archive:
                    place = PurePosixPath(member.name)
                    if place.is_absolute() or ".." in place.parts:
                        raise DataError(f"{path}: holds the member {member.name[:100]!r}, which points outside; "
                                        "refusing the archive")
                    if place.name not in wanted or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                        continue  # a link, a device, a picture: never followed, never made
                    if place.name in seen:
                        raise DataError(f"{path}: holds {place.name} twice; get the archive again")
                    seen.add(place.name)
                    yield place.name, archive.extractfile(member).read()  # type: ignore[union-attr]  # a regular file
            while stream.read(1 << 20):  # tarfile stops at its own end mark; gzip's checksum comes after it
                pass
    except DataError:
        raise
    except OSError as error:
        if error.strerror:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        raise _damaged(path) from None
    except Exception:  # tarfile and zlib raise a dozen kinds of error on damaged bytes
        raise _damaged(path) from None


def _damaged(path: Path) -> DataError:
    return DataError(f"{path}: is no tar or tar.gz archive, or is cut short or damaged; get it again")


class _Bounded(io.RawIOBase):
    """A stream that refuses to unpack more than a CIFAR-10 archive can hold, however little is packed in it."""

    def __init__(self, file: io.BufferedIOBase, path: Path) -> None:
        self._file, self._path = file, path

    def read(self, size: int = -1) -> bytes:
        self._check(size, MAX_FILE + tarfile.BLOCKSIZE)
        self._check(self._file.tell(), MAX_ARCHIVE)
        return self._file.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        self._check(position, MAX_ARCHIVE)
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def _check(self, size: int, limit: int) -> None:
        if not 0 <= size <= limit:
            raise DataError(f"{self._path}: unpacks to more than {limit:,} bytes, which no archive of CIFAR-10 does; "
                            "refusing to read it")


# Contents -> pictures and labels

def _parse_binary(content: bytes, what: str) -> Batch:
    if not content or len(content) % RECORD or len(content) > 10_000 * RECORD:
        raise DataError(f"{what}: has {len(content):,} bytes, expected 30,730,000 (or fewer, in whole records of "
                        f"{RECORD}); it was cut short or is damaged, get it again")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), _labels(records[:, 0], what)


def _parse_python(content: bytes, what: str) -> Batch:
    batch = safe_pickle.loads(content, allowed=safe_pickle.ARRAYS, what=what, max_bytes=MAX_FILE)
    data = _entry(batch, b"data", what)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != RECORD - 1:
        got = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{what}: its data is {got}, expected uint8 (10000, 3072)")
    labels = _entry(batch, b"labels", what)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(data):
        raise DataError(f"{what}: expected a list of {len(data)} whole numbers as labels; "
                        "the file is damaged, get it again")
    if not 0 < len(data) <= 10_000:
        raise DataError(f"{what}: has {len(data)} pictures, expected 1 to 10,000")
    return np.ascontiguousarray(data).reshape(-1, 3, 32, 32), _labels(np.array(labels, object), what)


def _entry(batch: object, key: bytes, what: str) -> object:
    if not isinstance(batch, dict) or not {key, key.decode()} & batch.keys():
        raise DataError(f"{what}: is no batch of CIFAR-10: expected a dictionary with the entry {key.decode()!r}")
    return batch[key] if key in batch else batch[key.decode()]


def _labels(labels: np.ndarray, what: str) -> np.ndarray:
    wrong = (labels < 0) | (labels > 9)
    if wrong.any():
        record = int(wrong.argmax())
        raise DataError(f"{what}: record {record} has the label {labels[record]}, expected 0 to 9; "
                        "the file is damaged or is not CIFAR-10 (CIFAR-100 has other records)")
    return labels.astype(np.int64)


def _classes(content: bytes, layout: str, what: str) -> tuple[str, ...]:
    if layout == "bin":
        names: object = [line.strip() for line in content.splitlines() if line.strip()]
    else:
        meta = safe_pickle.loads(content, allowed=safe_pickle.ARRAYS, what=what, max_bytes=MAX_FILE)
        names = _entry(meta, b"label_names", what)
    if isinstance(names, list) and len(names) == 10 and all(isinstance(name, bytes | str) for name in names):
        texts = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]
        if len(set(texts)) == 10 and all(text.isprintable() and 0 < len(text) <= 40 for text in texts):
            return tuple(texts)
    raise DataError(f"{what}: expected the names of ten classes; the file is damaged, get it again")


def _assemble(path: Path, layout: str, batches: dict[str, Batch], classes: tuple[str, ...] | None) -> ImageSet:
    missing = [name + (".bin" if layout == "bin" else "") for name in BATCHES if name not in batches]
    missing += [META[layout]] if classes is None else []
    if missing or classes is None:
        raise DataError(f"{path}: {', '.join(missing)} missing; get the archive again, or extract all of it")
    sizes = [len(batches[name][1]) for name in BATCHES[:-1]]
    if len(set(sizes)) > 1:
        raise DataError(f"{path}: the training batches hold {', '.join(map(str, sizes))} pictures, "
                        "expected equally many; one was cut short, get it again")
    test_images, test_labels = batches.pop("test_batch")
    train_images = np.concatenate([batches[name][0] for name in BATCHES[:-1]])
    train_labels = np.concatenate([batches[name][1] for name in BATCHES[:-1]])
    name = "cifar10" if classes == CLASSES else "shapes10" if classes == shapes10.CLASSES else "custom"
    return ImageSet(name, classes, train_images, train_labels, np.ascontiguousarray(test_images), test_labels,
                    origin=str(path.resolve()), official=_official(test_images) if name == "cifar10" else False)


def _official(test_images: np.ndarray) -> bool | None:
    # Pictures, not files, so that the answer is the same for both layouts, extracted or not, in whatever order.
    if len(test_images) != 10_000:
        return None
    found = OFFICIAL_PICTURES & {hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest() for image in test_images}
    return len(found) == len(OFFICIAL_PICTURES) or (None if found else False)
