"""What every reader and maker of data sets returns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageSet:
    """A data set in its own train/test split. Images uint8 (N, 3, S, S), red, green, blue; labels int64 (N,).

    CIFAR-10's layouts hold ten classes of 32 x 32 pixels, folders of pictures any number of any square size.
    """

    name: str  # "cifar10", "shapes10", "custom": ten other classes in CIFAR-10's format; or the name of a folder of pictures
    classes: tuple[str, ...]  # at least two
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    origin: str  # where it was read from
    official: bool | None  # are these the pixels that CIFAR-10's home page publishes? None: nobody knows
    crop: float = 1.0  # the part of each photo's shorter side that was cut out; 1: all of it, and wherever nothing was
    layout: str | None = None  # how it lies on disk: "bin", "py", "npz" or "png" (cifar.py), "folder" (folders.py); None: not
