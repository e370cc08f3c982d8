"""Folders of pictures as a data set: any number of classes, files of any name, size and mode.

train/<class>/*  test/<class>/*   val, valid or validation are read where there is no test
train/<class>/*                   a fifth of each class becomes the test set
<class>/*                         the same

A class is called as its folder is. Only files with the suffix of a picture are looked at, hidden ones not, and no folder
below a class's; links are followed.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools import contents, photos
from data_tools.contents import Batch
from data_tools.image_set import ImageSet
from resnet_np.errors import DataError
from resnet_np.words import fits_on_a_line

IMAGE_SIZE = 32  # pixels, where nobody asks for another: what the nets for CIFAR-10 see
TESTS = ("test", "val", "valid", "validation")
TEST_SHARE = 5  # one picture in that many is for testing, where the folder does not say which
MAX_BYTES = 2 << 30  # of decoded pictures, which all stay in memory: a laptop of 8 GB still has room to train on them
MAX_LISTED = 10  # unreadable pictures that are named; the rest are counted
MANY = 200  # pictures take seconds, and so get a bar
BATCH = 32  # pictures that are begun together: so many still have to finish after Ctrl-C
MAX_THREADS = 8  # each holds one photo at full size
LEFT_BEHIND = "__MACOSX"  # a folder that macOS packs into its archives, beside what was meant
EXPECTED = "expected train/<class>/* and test/<class>/*, or <class>/*"
UNREAD = frozenset(".heic .heif .avif .jxl .jp2 .dng .cr2 .cr3 .nef .arw .raf .orf .rw2 .psd .svg .eps".split())  # pictures, too
TAKEN = ("cifar10", "shapes10", "custom")  # names that mean other data sets

Say = Callable[[str], None]


class _File(NamedTuple):
    path: Path
    label: int
    test: bool


def read(folder: Path, *, image_size: int = IMAGE_SIZE, crop: float = 1.0, seed: int = 0, say: Say, progress: bool) -> ImageSet:
    """Decode every picture as photos.read does, sorted by class and by file name.

    Where the folder holds no test set, `seed` chooses one by the names of the files alone. Pictures that cannot be read are
    named to `say` and left out. Raises DataError, one line, where that leaves a class without pictures, or where the folder
    is arranged in another way; InputError for an image_size or a crop that makes no sense.
    """
    photos.check(image_size, crop)
    try:
        train, test = _splits(folder, say)
        _check_classes(folder, train, test)
        files = _files(train, False, say) + _files(test or {}, True, say)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read ({error.strerror or error}); check its rights") from None
    fit = MAX_BYTES // (3 * image_size**2)
    if len(files) > fit:
        raise DataError(f"{folder}: holds {len(files):,} pictures, of which {fit:,} fit into {MAX_BYTES / (1 << 30):g} GiB of "
                        f"memory at {image_size} x {image_size} pixels; choose a smaller --image-size, or give fewer pictures")
    images, kept = _decode(files, image_size, crop, say, progress)
    if test is None:
        kept = _hold_back(kept, seed)
    _check_kept(train, test, kept)
    train_batch, test_batch = _divide(images, kept)
    if test is None:
        say(f"{folder}: has no test folder, so a fifth of each class is kept for testing: {len(test_batch[1]):,} of "
            f"{len(kept):,} pictures")
    return ImageSet(name(folder), tuple(train), *train_batch, *test_batch, origin=str(folder.resolve()), official=False,
                    crop=crop, layout="folder")


def name(folder: Path) -> str:
    """The folder's own name, fit for a part of a file name, and never that of another data set."""
    text = re.sub(r"[^\w-]+", "_", folder.resolve().name).strip("_-")[:contents.MAX_NAME]
    return text if text and text not in TAKEN else "folder"


def _splits(folder: Path, say: Say) -> tuple[dict[str, Path], dict[str, Path] | None]:
    """The folders of the classes, by name, for training and for testing; None where there is no test folder."""
    groups = _folders(folder)
    places = {path.name.lower(): path for path in groups.values()}
    train = _folders(places["train"]) if "train" in places else {}
    if not train:  # "train" may be a class, beside "car" and "plane"
        return groups, None
    tests = [places[word] for word in TESTS if word in places]
    place = next((path for path in tests if _folders(path)), tests[0] if tests else None)  # some tests have no labels
    unread = [path.name for path in groups.values() if path not in (places["train"], place)]
    if unread:
        say(f"{folder}: beside the folders for training and testing, {_listed(unread)} is not read")
    return train, None if place is None else _folders(place)


def _folders(folder: Path) -> dict[str, Path]:
    names = sorted(entry for entry in os.listdir(folder) if not entry.startswith(".") and entry != LEFT_BEHIND)
    return {entry: folder / entry for entry in names if os.path.isdir(folder / entry)}


def _check_classes(folder: Path, train: dict[str, Path], test: dict[str, Path] | None) -> None:
    if not train:
        bare = any(path.suffix.lower() in photos.SUFFIXES for path in folder.iterdir())
        held = "pictures, but no folders that name their classes" if bare else "neither CIFAR-10's batches nor folders of pictures"
        raise DataError(f"{folder}: holds {held}; {EXPECTED}, or data_batch_1 …")
    if len(train) < 2:
        raise DataError(f"{folder}: holds the pictures of one class, {_listed(train)}, expected at least two; give the folder "
                        "that holds a folder for each class")
    for text in train:
        if not fits_on_a_line(text, contents.MAX_NAME):
            raise DataError(f"{folder}: has a class of the name {text!r}, expected at most {contents.MAX_NAME} letters that can "
                            "be printed; rename its folder")
    if test is not None and test.keys() != train.keys():
        few, many = [text for text in train if text not in test], [text for text in test if text not in train]
        differences = [f"{words} {_listed(names)}" for words, names in (("lacks", few), ("also has", many)) if names]
        raise DataError(f"{folder}: its test folder {' and '.join(differences)}, expected the classes of its train folder; mend "
                        "the test folder, or move it away (then a fifth of the training pictures is kept for testing)")


def _files(groups: dict[str, Path], test: bool, say: Say) -> list[_File]:
    return [_File(path, label, test) for label, group in enumerate(groups.values()) for path in _pictures(group, say)]


def _pictures(group: Path, say: Say) -> list[Path]:
    files, folders, others = [], [], []
    for entry in sorted(os.listdir(group)):
        path = group / entry
        if entry.startswith("."):
            continue
        if os.path.isdir(path):
            folders.append(entry)
        elif path.suffix.lower() in photos.SUFFIXES:  # even a broken link, which is listed when it is read
            files.append(path)
        elif path.suffix.lower() in UNREAD:
            others.append(entry)
    if others:
        say(f"{group}: {len(others):,} of its pictures are of a kind that is not read ({_listed(others)}); save them as JPEG or "
            "PNG")
    if folders:
        say(f"{group}: {_listed(folders)} in it is not read; pictures must lie in the folder of their class itself")
    if not files:
        raise DataError(f"{group}: holds no pictures, expected files like 1.jpg or 1.png; is it the folder of a "
                        "class? Add some, or move it away")
    return files


def _decode(files: list[_File], image_size: int, crop: float, say: Say, progress: bool) -> tuple[np.ndarray, list[_File]]:
    """Images uint8 (N, 3, S, S), filled from the front, and the files that could be read, in their order."""
    from PIL import Image
    from tqdm import tqdm

    def pixels(file: _File) -> np.ndarray | DataError:
        try:
            return photos.fit(photos.decode(file.path), image_size, crop)
        except DataError as error:
            return error

    images = np.empty((len(files), 3, image_size, image_size), np.uint8)
    kept: list[_File] = []
    faults: list[DataError] = []
    Image.init()  # once, before the threads do it
    with (photos.quiet(), ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool,
          tqdm(total=len(files), unit=" pictures", leave=False, disable=not progress or len(files) < MANY) as bar):
        for start in range(0, len(files), BATCH):
            batch = files[start:start + BATCH]
            for file, found in zip(batch, pool.map(pixels, batch), strict=True):  # decoding runs outside Python's lock
                if isinstance(found, DataError):
                    faults.append(found)
                else:
                    images[len(kept)] = found
                    kept.append(file)
            bar.update(len(batch))
    for fault in faults[:MAX_LISTED]:
        say(f"left out   {fault}")
    if len(faults) > MAX_LISTED:
        say(f"left out   {len(faults) - MAX_LISTED:,} more pictures that cannot be read")
    return images, kept


def _hold_back(files: list[_File], seed: int) -> list[_File]:
    """The same files, a fifth of each class marked for testing.

    Each file is drawn by a digest of the seed and its name: so a picture that comes or goes hardly moves the others, and
    neither the file system nor NumPy's version has a say.
    """
    def draw(path: Path) -> bytes:
        return hashlib.blake2b(os.fsencode(f"{seed}/{path.parent.name}/{path.name}"), digest_size=16).digest()

    held: set[Path] = set()
    for _, group in itertools.groupby(files, key=lambda file: file.label):
        drawn = sorted((file.path for file in group), key=draw)
        held.update(drawn[:max(1, round(len(drawn) / TEST_SHARE))])
    return [file._replace(test=file.path in held) for file in files]


def _check_kept(train: dict[str, Path], test: dict[str, Path] | None, kept: list[_File]) -> None:
    counts = {(label, test): 0 for label in range(len(train)) for test in (False, True)}
    for file in kept:
        counts[file.label, file.test] += 1
    for label, text in enumerate(train):
        if test is None and sum(counts[label, part] for part in (False, True)) == 1:
            raise DataError(f"{train[text]}: holds one picture that can be read, expected at least two: one to train on and one "
                            "to test on; add some, or move the folder away")
        for part, groups in ((False, train), (True, train if test is None else test)):
            if not counts[label, part]:
                raise DataError(f"{groups[text]}: none of its pictures can be read; mend them, or remove the class")


def _divide(images: np.ndarray, kept: list[_File]) -> tuple[Batch, Batch]:
    labels, test = np.array([file.label for file in kept], np.int64), np.array([file.test for file in kept])
    test_images = images[:len(kept)][test]
    train = np.flatnonzero(~test)
    for place, source in enumerate(train):  # in place, because a copy may not fit; source is never less than place
        images[place] = images[source]
    return (images[:len(train)], labels[train]), (test_images, labels[test])


def _listed(names: "dict[str, Path] | list[str]") -> str:
    """A few of the names, quoted, so that whatever is in them stays on the line."""
    few = [repr(text) for text in names][:5]
    return ", ".join(few) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
