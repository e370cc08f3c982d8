"""Look into a data set: counts, means, duplicates."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_tools.image_set import ImageSet

SHOWN = 5  # pairs of duplicates


@dataclass(frozen=True)
class Duplicates:
    """Pictures whose pixels equal an earlier picture's, byte by byte."""

    count: int  # of such pictures, the first of their kind left out
    pairs: list[tuple[int, int]]  # the first few, counted from 0: the earlier picture, its copy


@dataclass(frozen=True)
class Inspection:
    """What `inspect` finds. Pixels from 0 to 1; channels red, green, blue."""

    train_counts: list[int]  # pictures of each class
    test_counts: list[int]
    mean: list[float]  # of each channel, over all pixels of the training pictures
    std: list[float]
    train_duplicates: Duplicates
    test_duplicates: Duplicates
    across_duplicates: Duplicates  # test pictures that are in train too: (train, test)


def inspect(image_set: ImageSet) -> Inspection:
    """Count, average and compare every picture; about 2 s for CIFAR-10."""
    mean, std = _moments(image_set.train_images)
    train, test = _digests(image_set.train_images), _digests(image_set.test_images)
    first, classes = _first_places(train), len(image_set.classes)
    return Inspection(
        np.bincount(image_set.train_labels, minlength=classes).tolist(),
        np.bincount(image_set.test_labels, minlength=classes).tolist(),
        mean, std, _duplicates(_repeated(train)), _duplicates(_repeated(test)),
        _duplicates([(first[digest], place) for place, digest in enumerate(test) if digest in first]))


def as_text(image_set: ImageSet, found: Inspection) -> list[str]:
    """Lines for a reader. Names come last, because a Chinese one is wider than it is long."""
    lines = [f"{image_set.name}, {image_set.origin}", "   train     test"]
    counts = zip(found.train_counts, found.test_counts, image_set.classes, strict=True)
    lines += [f"{train:8,} {test:8,}  {name}" for train, test, name in counts]
    lines += [f"{sum(found.train_counts):8,} {sum(found.test_counts):8,}  all",
              f"mean  {_numbers(found.mean)}  (train; red, green, blue; pixels from 0 to 1)",
              f"std   {_numbers(found.std)}",
              f"exact duplicates within train: {_counted(found.train_duplicates)}",
              f"exact duplicates within test: {_counted(found.test_duplicates)}",
              f"test pictures that are in train too (train, test): {_counted(found.across_duplicates)}"]
    return lines


def as_json(image_set: ImageSet, found: Inspection) -> dict[str, Any]:
    """The same, and which data set it is, for json.dumps."""
    about = {key: getattr(image_set, key) for key in ("name", "origin", "layout", "official", "classes")}
    return about | asdict(found)


def _moments(images: np.ndarray) -> tuple[list[float], list[float]]:
    # From the counts of the 256 grey levels: whole numbers, so no rounding and no copy of the pictures in float64.
    counts = np.stack([np.bincount(images[:, channel].ravel(), minlength=256) for channel in range(3)])
    level, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ level / total
    variance = (counts * (level - mean[:, None]) ** 2).sum(axis=1) / total
    return mean.tolist(), np.sqrt(variance).tolist()


def _digests(images: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


def _first_places(digests: list[bytes]) -> dict[bytes, int]:
    first: dict[bytes, int] = {}
    for place, digest in enumerate(digests):
        first.setdefault(digest, place)
    return first


def _repeated(digests: list[bytes]) -> list[tuple[int, int]]:
    first = _first_places(digests)
    return [(first[digest], place) for place, digest in enumerate(digests) if first[digest] < place]


def _duplicates(pairs: list[tuple[int, int]]) -> Duplicates:
    return Duplicates(len(pairs), pairs[:SHOWN])


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _counted(duplicates: Duplicates) -> str:
    pairs = ", ".join(map(str, duplicates.pairs))
    more = ", …" if duplicates.count > len(duplicates.pairs) else ""
    return f"{duplicates.count:,}" + (f": {pairs}{more}" if pairs else "")
