"""The png layout: a file a picture, a folder a class.

classes.txt               ten names, a line each, in the order of the labels
train/<class>/00001.png   the number is the picture's place in train, counted over all classes from 1: it keeps the order
test/<class>/00001.png    and the same for test
"""

import io
import re
import warnings
from pathlib import Path

import numpy as np

from data_tools import contents
from data_tools.contents import Batch, Contents
from data_tools.image_set import ImageSet
from resnet_np.errors import DataError

NAMES = "classes.txt"
MAX_PNG = 64 << 10  # bytes; the pixels take 3 KB at most, a colour profile a few more
_NUMBER = re.compile(r"([0-9]{5,9})\.png")


def read(folder: Path) -> Contents:
    """Raises DataError, one line, for whatever is missing, cut short, damaged or hostile."""
    try:
        names = contents.lines(contents.read_bytes(folder / NAMES, 1 << 16, "list of ten class names"))
        classes = contents.classes(names, str(folder / NAMES))
    except DataError as error:
        raise DataError(f"{error}; or remove it: then the folders are read as pictures of any classes, names and sizes") from None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow only warns of a picture of a hundred million pixels
        return Contents("png", classes, _read_split(folder / "train", classes), _read_split(folder / "test", classes))


def write(image_set: ImageSet, folder: Path) -> None:
    """Write `image_set` into the new folder `folder`."""
    from PIL import Image

    for name in image_set.classes:
        if name in (".", "..") or "/" in name or "\\" in name:
            raise DataError(f"the class name {name!r} cannot be the name of a folder; choose npz")
    for split, images, labels in (("train", image_set.train_images, image_set.train_labels),
                                  ("test", image_set.test_images, image_set.test_labels)):
        for name in image_set.classes:
            (folder / split / name).mkdir(parents=True)
        for number, (image, label) in enumerate(zip(images, labels, strict=True), 1):
            picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
            picture.save(folder / split / image_set.classes[label] / f"{number:05}.png")
    # Last, because nothing is read without it.
    (folder / NAMES).write_text("".join(f"{name}\n" for name in image_set.classes), encoding="utf-8")


def _read_split(folder: Path, classes: tuple[str, ...]) -> Batch:
    found: dict[int, tuple[Path, int]] = {}
    if not folder.is_dir():
        raise DataError(f"{folder}: is missing; expected a folder of ten folders of pictures, named in {NAMES}")
    for group in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        if group.name not in classes:  # a name of the list is never made a path: it may hold ".."
            raise DataError(f"{folder}: holds the folder {group.name!r}, which is not in {NAMES}; remove it, or mend the list")
        for path in group.iterdir():
            if path.suffix != ".png" or not path.is_file():  # what file managers leave behind, or a pipe that would block
                continue
            if not (match := _NUMBER.fullmatch(path.name)):
                raise DataError(f"{group}: holds {path.name!r}, expected names like 00001.png; rename it, or "
                                f"remove {NAMES}: then the folders are read as pictures of any classes, names and sizes")
            if (number := int(match[1])) in found:
                raise DataError(f"{folder}: holds the picture {path.name} twice; remove one, or convert the set again")
            found[number] = path, classes.index(group.name)
    count = len(found)
    missing = min(set(range(1, count + 1)) - found.keys(), default=None)
    if missing or not count:
        raise DataError(f"{folder}: the picture {missing or 1:05}.png is missing; copy or convert the set again")
    if count * contents.PICTURE > contents.MAX_BYTES:
        raise DataError(f"{folder}: holds {count:,} pictures, expected at most {contents.MAX_BYTES // contents.PICTURE:,}")
    images, labels = np.empty((count, 3, 32, 32), np.uint8), np.empty(count, np.int64)
    for place in range(count):
        path, labels[place] = found[place + 1]
        images[place] = _picture(path)
    return images, labels


def _picture(path: Path) -> np.ndarray:
    from PIL import Image

    raw = contents.read_bytes(path, MAX_PNG, "picture of 32 x 32 pixels")
    try:
        with Image.open(io.BytesIO(raw), formats=["PNG"]) as picture:  # looks at the header only
            if picture.size == (32, 32) and picture.mode == "RGB":
                return np.asarray(picture).transpose(2, 0, 1)
            got = f"a {picture.mode} picture of {picture.width} x {picture.height} pixels"
    except Exception:  # Pillow has a dozen kinds of error for damaged bytes, and its own for decompression bombs
        got = "damaged, no PNG, or far too large"
    raise DataError(f"{path}: is {got}, expected an RGB picture of 32 x 32 pixels; get or convert it again")
