"""CIFAR-10's own two layouts: six batches and a file of class names.

binary  data_batch_1.bin … data_batch_5.bin test_batch.bin batches.meta.txt
        a record is 1 label byte and 3072 pixel bytes: 1024 red, 1024 green, 1024 blue, row by row
python  data_batch_1 … data_batch_5 test_batch batches.meta: pickled dictionaries

A batch of the official files holds 10,000 pictures. Fewer are read, so that small sets can be made, but the five
training batches must be equally long and a binary batch a whole number of records: a file that was cut short fails one
of the two.
"""

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from data_tools import contents
from data_tools.archives import MAX_FILE
from data_tools.contents import Batch, Contents
from data_tools.image_set import ImageSet
from resnet_np import safe_pickle
from resnet_np.errors import DataError

BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
META = {"bin": "batches.meta.txt", "py": "batches.meta"}
NAMES = {"bin": (*(f"{name}.bin" for name in BATCHES), META["bin"]), "py": (*BATCHES, META["py"])}
RECORD = 1 + contents.PICTURE  # bytes
MAX_PICTURES = 10_000  # in a batch


def folder_files(folder: Path, layout: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files of that layout that lie in `folder`."""
    for name in NAMES[layout]:
        if (folder / name).is_file():
            yield name, contents.read_bytes(folder / name, MAX_FILE, "batch of CIFAR-10")


def read(path: Path, files: Iterable[tuple[str, bytes]]) -> Contents:
    """Parse the batches and the class names among `files`, (name, content), found in `path`."""
    batches: dict[str, Batch] = {}
    classes: tuple[str, ...] | None = None
    layouts = set()
    for name, content in files:
        layout, what = "bin" if name in NAMES["bin"] else "py", f"{path}: {name}"
        layouts.add(layout)
        if name in META.values():
            classes = _classes(content, layout, what)
        else:
            parse = _parse_binary if layout == "bin" else _parse_python
            batches[name.removesuffix(".bin")] = parse(content, what)
    if not layouts:
        raise DataError(f"{path}: expected CIFAR-10's batches (data_batch_1.bin … or data_batch_1 …), found none; "
                        "get the archive again")
    if len(layouts) > 1:
        raise DataError(f"{path}: holds batches of the binary and of the python layout; give one of them")
    layout = layouts.pop()
    missing = [name for name in NAMES[layout][:-1] if name.removesuffix(".bin") not in batches]
    missing += [META[layout]] if classes is None else []
    if missing or classes is None:
        raise DataError(f"{path}: {', '.join(missing)} missing; get the archive again, or extract all of it")
    sizes = [len(batches[name][1]) for name in BATCHES[:-1]]
    if len(set(sizes)) > 1:
        raise DataError(f"{path}: the training batches hold {', '.join(map(str, sizes))} pictures, "
                        "expected equally many; one was cut short, get it again")
    images, labels = zip(*(batches[name] for name in BATCHES[:-1]), strict=True)
    return Contents(layout, classes, (np.concatenate(images), np.concatenate(labels)), batches["test_batch"])


def write(image_set: ImageSet, folder: Path, layout: str) -> None:
    """Write `image_set` into the new folder `folder`, in layout "bin" or "py"."""
    train, test = len(image_set.train_labels), len(image_set.test_labels)
    if train % 5 or train > 5 * MAX_PICTURES or test > MAX_PICTURES:
        raise DataError(f"the set has {train:,} training and {test:,} test pictures; CIFAR-10's layouts hold five equal batches "
                        f"for training and one for test, of at most {MAX_PICTURES:,} each; choose npz or png")
    parts = zip(np.array_split(image_set.train_images, 5), np.array_split(image_set.train_labels, 5), strict=True)
    batches = dict(zip(BATCHES, [*parts, (image_set.test_images, image_set.test_labels)], strict=True))
    folder.mkdir()
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
        _dump(folder / META["py"], {b"num_cases_per_batch": train // 5, b"num_vis": contents.PICTURE,
                                    b"label_names": [name.encode() for name in image_set.classes]})


def _dump(path: Path, content: dict[bytes, object]) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def _parse_binary(content: bytes, what: str) -> Batch:
    if not content or len(content) % RECORD or len(content) > MAX_PICTURES * RECORD:
        raise DataError(f"{what}: has {len(content):,} bytes, expected 30,730,000 (or fewer, in whole records of "
                        f"{RECORD}); it was cut short or is damaged, get it again")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), contents.labels(records[:, 0], what)


def _parse_python(content: bytes, what: str) -> Batch:
    batch = safe_pickle.loads(content, allowed=safe_pickle.ARRAYS, what=what, max_bytes=MAX_FILE)
    data = _entry(batch, b"data", what)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != contents.PICTURE:
        got = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{what}: its data is {got}, expected uint8 (10000, 3072)")
    labels = _entry(batch, b"labels", what)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(data):
        raise DataError(f"{what}: expected a list of {len(data)} whole numbers as labels; "
                        "the file is damaged, get it again")
    if not 0 < len(data) <= MAX_PICTURES:
        raise DataError(f"{what}: has {len(data)} pictures, expected 1 to {MAX_PICTURES:,}")
    return np.ascontiguousarray(data).reshape(-1, 3, 32, 32), contents.labels(np.array(labels, object), what)


def _entry(batch: object, key: bytes, what: str) -> object:
    if not isinstance(batch, dict) or not {key, key.decode()} & batch.keys():
        raise DataError(f"{what}: is no batch of CIFAR-10: expected a dictionary with the entry {key.decode()!r}")
    return batch[key] if key in batch else batch[key.decode()]


def _classes(content: bytes, layout: str, what: str) -> tuple[str, ...]:
    if layout == "bin":
        return contents.classes(contents.lines(content), what)
    meta = safe_pickle.loads(content, allowed=safe_pickle.ARRAYS, what=what, max_bytes=MAX_FILE)
    names = _entry(meta, b"label_names", what)
    if not isinstance(names, list) or not all(isinstance(name, bytes | str) for name in names):
        raise DataError(f"{what}: expected a list of names as label_names; the file is damaged, get it again")
    return contents.classes(names, what)
