"""Data sets of CIFAR-10's format, 32 x 32 pixels and ten classes, on disk: read them in whatever layout, write them in any.

bin   the folder cifar-10-batches-bin, CIFAR-10's binary layout (batches.py), or a tar or tar.gz archive of it (archives.py)
py    the folder cifar-10-batches-py, CIFAR-10's python layout, or an archive of it
npz   one file of NumPy's (npz.py)
png   a folder of folders of pictures (pngs.py)
"""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np

from data_tools import archives, batches, npz, pngs, shapes10
from data_tools.contents import Contents
from data_tools.image_set import ImageSet
from resnet_np.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LAYOUTS = ("bin", "py", "npz", "png")
FOLDERS = {"bin": "cifar-10-batches-bin", "py": "cifar-10-batches-py"}
ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")

# blake2b, 8 bytes, of the first four pictures of the official test set (shared/data/official-samples, pixel-exact)
OFFICIAL_PICTURES = frozenset({"c40544d1d7e3ce56", "f82a86aaa86cf76f", "909bf2d222802b1a", "392289ed70f1b649"})


def read(path: Path) -> ImageSet:
    """Read the data set in `path`: a folder or file in any of the layouts, or the parent of CIFAR-10's folders or archives.

    Raises DataError, one line, for whatever is missing, cut short, damaged or hostile.
    """
    if (image_set := read_known(path)) is None:
        raise DataError(f"{path}: expected CIFAR-10's batches (data_batch_1.bin … or data_batch_1 …), or {pngs.NAMES} beside "
                        "train/ and test/, found neither; give the folder or archive that holds them")
    return image_set


def read_known(path: Path) -> ImageSet | None:
    """As `read`, but None for a folder in which nothing of the layouts' names lies."""
    try:
        found = _read_folder(path) if path.is_dir() else (path, _read_file(path))
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    if found is None:
        return None
    place, contents = found
    (train_images, train_labels), (test_images, test_labels) = contents.train, contents.test
    classes = contents.classes
    name = "cifar10" if classes == CLASSES else "shapes10" if classes == shapes10.CLASSES else "custom"
    return ImageSet(name, classes, train_images, train_labels, np.ascontiguousarray(test_images), test_labels,
                    origin=str(place.resolve()), official=_official(test_images) if name == "cifar10" else False,
                    layout=contents.layout)


def write(image_set: ImageSet, out: Path, layout: str) -> Path:
    """Write `image_set` in one of LAYOUTS and return where: the new folder of CIFAR-10's name in `out`, or `out` itself.

    It appears there when it is complete: what stops the writing leaves nothing that looks like a data set.
    """
    size, classes = image_set.train_images.shape[-1], len(image_set.classes)
    if size != 32 or classes != 10:
        raise DataError(f"{image_set.name}: has {classes} classes of {size} x {size} pixels; these layouts hold ten classes of "
                        "32 x 32; train on the folder of pictures as it is")
    target = out / FOLDERS[layout] if layout in FOLDERS else out
    if target.exists():
        raise DataError(f"{target}: exists already; remove it, or choose another place")
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if layout == "npz":
            npz.write(image_set, partial)
        elif layout == "png":
            pngs.write(image_set, partial)
        else:
            batches.write(image_set, partial, layout)
        partial.rename(target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror or error}); choose another place") from None
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # it is not there
                partial.unlink()
    return target


def _read_folder(path: Path) -> tuple[Path, Contents] | None:
    for layout, name in FOLDERS.items():
        for folder in (path, path / name):
            if any((folder / file).is_file() for file in batches.NAMES[layout]):
                return folder, batches.read(folder, batches.folder_files(folder, layout))
    if (path / pngs.NAMES).is_file():
        return path, pngs.read(path)
    for name in ARCHIVES:
        if (path / name).is_file():
            return path / name, _read_file(path / name)
    return None


def _read_file(path: Path) -> Contents:
    if path.exists() and not path.is_file():  # opening a pipe would wait for somebody to write into it
        raise DataError(f"{path}: is neither a folder nor a file")
    with path.open("rb") as stream:
        magic = stream.read(len(npz.MAGIC))
    if magic == npz.MAGIC:
        return npz.read(path)
    return batches.read(path, archives.members(path, {*batches.NAMES["bin"], *batches.NAMES["py"]}))


def _official(test_images: np.ndarray) -> bool | None:
    # Pictures, not files, so that the answer is the same for every layout, extracted or not, in whatever order.
    if len(test_images) != 10_000:
        return None
    found = OFFICIAL_PICTURES & {hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest() for image in test_images}
    return len(found) == len(OFFICIAL_PICTURES) or (None if found else False)
