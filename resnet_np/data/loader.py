"""Batches, as a pure function of the seed and the step."""

from collections.abc import Iterator

import numpy as np

from resnet_np.backend import to_device, to_device_at_once
from resnet_np.data.augment import (
    alternating_mirrors,
    blank_squares,
    blend,
    draw_centres,
    draw_pairs,
    draw_windows,
    take_windows,
)
from resnet_np.data.normalise import Normaliser
from resnet_np.data.randomness import generator
from resnet_np.data.resize import resize
from resnet_np.errors import InputError


class TrainLoader:
    """Shuffled, normalised, augmented batches of the training pictures.

    images uint8 (N, 3, H, W), labels (N,) integers. Each epoch goes once through a new order of the pictures and drops
    the last, partial batch. Nothing depends on what was asked for before: `batch(t)` may be called in any order, ahead
    of time, from another thread, or again after a resume.

    augment   random crops and mirror images (`crop_flip`)
    shift     pixels that a crop may move in each direction; None: an eighth of the side
    padding   what is beyond the edge of a picture: "zeros", or "reflect", the picture itself, reflected
    flip      "random": each picture is mirrored at random in every epoch; "alternating": at random in the first, then by turns
    cutout    side of a hole in each picture, in pixels; 0: none
    mixup     alpha of the blending of pairs, which turns labels into distributions over `classes`; 0: none
    image_size  side to which every picture is resized first; None: as they are. Crops grow with it
    start       (side, steps): in the first steps pictures have that side, and shift and cutout shrink with them; None: as later
    Raises InputError if the sizes do not fit, or a label is none of the classes.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, normaliser: Normaliser, *, batch_size: int, seed: int,
                 augment: bool = True, shift: int | None = None, padding: str = "zeros", flip: str = "random", cutout: int = 0,
                 mixup: float = 0.0, classes: int = 10, image_size: int | None = None,
                 start: tuple[int, int] | None = None) -> None:
        _check(images, labels, batch_size)
        if batch_size > len(images):
            raise InputError(f"loader: batch size {batch_size} is above the {len(images)} training pictures; "
                             f"choose a smaller one")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:  # asked here, once: on a device nobody looks at them again
            raise InputError(f"loader: labels run from {low} to {high}, expected 0 to {classes - 1}; give their number with "
                             "classes=")
        self.steps_per_epoch = len(images) // batch_size
        self._images = images
        self._labels = labels.astype(np.int64)
        self._normaliser = normaliser
        self._batch_size = batch_size
        self._seed = seed
        self._augment, self._cutout, self._mixup, self._classes = augment, cutout, mixup, classes
        self._image_size = image_size or images.shape[2]
        self._start_size, self.start_steps = start or (self._image_size, 0)
        self._pad = max(1, self._image_size // 8) if shift is None else shift  # He et al. 2015, section 4.2: 4 of 32
        self._reflect, self._alternating = padding == "reflect", flip == "alternating"
        if not 0 <= self._pad < self._image_size:
            raise InputError(f"loader: a crop that moves by {self._pad} pixels, expected fewer than the {self._image_size} of a "
                             "picture's side")
        if not 0 <= cutout < self._image_size:  # wider holes leave nothing of most pictures to learn from
            raise InputError(f"loader: a cutout of {cutout} pixels, expected fewer than the {self._image_size} of a picture's side")
        self._order = (0, self._shuffle(0))  # one tuple, so that another thread sees the epoch and its order together

    def batch(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Step t, counted from 1 -> x float32 (batch_size, 3, H, W), labels int64 (batch_size,).

        With mixup the labels are distributions, float32 (batch_size, classes).

        With the backend cupy both are on the device: the pictures as bytes, the labels and what was drawn go there in one copy, and
        pictures are normalised and augmented there.
        """
        if t < 1:
            raise InputError(f"loader: steps are counted from 1, got {t}")
        epoch, place = divmod(t - 1, self.steps_per_epoch)
        cached, order = self._order
        if cached != epoch:
            order = self._shuffle(epoch)
            self._order = (epoch, order)
        pick = order[place * self._batch_size:(place + 1) * self._batch_size]
        size = self._start_size if t <= self.start_steps else self._image_size
        pad, hole = self._scaled(self._pad, size), self._scaled(self._cutout, size)
        share, drawn = self._draw(t, pick, size, pad)
        there = to_device_at_once({"images": resize(self._images[pick], size), "labels": self._labels[pick], **drawn})
        x, labels = self._normaliser(there["images"]), there["labels"]
        if "windows" in there:
            x = take_windows(x, there["windows"], pad, reflect=self._reflect)
        if "centres" in there:
            x = blank_squares(x, there["centres"], hole)
        if "pairs" in there:
            x, labels = blend(x, labels, share, there["pairs"], self._classes)
        return x, labels

    def _scaled(self, length: int, size: int) -> int:
        """A length in pixels of a picture, in one of that size; 0 stays 0."""
        return length and max(1, round(length * size / self._image_size))

    def _draw(self, t: int, pick: np.ndarray, size: int, pad: int) -> tuple[float, dict[str, np.ndarray]]:
        """What is random in step t: the share of mixup, and integers for every picture of `pick`, the places of the batch's.

        size: side of the pictures; pad: pixels by which a crop may move
        """
        share, drawn, count = 1.0, {}, len(pick)
        if self._augment:
            drawn["windows"] = draw_windows(generator(self._seed, t, "augment"), count, pad)
            if self._alternating:
                epoch, whole_run = (t - 1) // self.steps_per_epoch, generator(self._seed, 0, "flip")
                drawn["windows"][2] = alternating_mirrors(whole_run, len(self._images), epoch)[pick]
        if self._cutout:
            drawn["centres"] = draw_centres(generator(self._seed, t, "cutout"), count, size, size)
        if self._mixup:
            share, drawn["pairs"] = draw_pairs(generator(self._seed, t, "mixup"), count, self._mixup)
        return share, drawn

    def _shuffle(self, epoch: int) -> np.ndarray:
        return generator(self._seed, epoch, "shuffle").permutation(len(self._images))


def evaluation_batches(images: np.ndarray, labels: np.ndarray, normaliser: Normaliser, *, batch_size: int,
                       image_size: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every picture once, in order -> an iterator of (x float32, labels int64); the last batch may be smaller.

    image_size: side to which every picture is resized; None: as they are.
    """
    _check(images, labels, batch_size)
    size = image_size or images.shape[2]
    parts = (slice(start, start + batch_size) for start in range(0, len(images), batch_size))
    return ((normaliser(to_device(resize(images[part], size))), labels[part].astype(np.int64)) for part in parts)


def _check(images: np.ndarray, labels: np.ndarray, batch_size: int) -> None:
    if labels.shape != (len(images),):
        raise InputError(f"loader: {len(images)} pictures need labels of shape ({len(images)},), got {labels.shape}")
    if batch_size < 1:
        raise InputError(f"loader: batch size must be at least 1, got {batch_size}")
