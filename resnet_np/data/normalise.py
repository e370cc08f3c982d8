"""Pixels -> what a net was trained to see. A net is worth nothing without its normaliser: the checkpoint carries it.

N image, C channel (3), H W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from resnet_np import workspace
from resnet_np.backend import cupy, on_device
from resnet_np.errors import InputError

_CHUNK = 1000  # pictures whose squares are in memory at a time


@dataclass(frozen=True, eq=False)
class Normaliser:
    """(x / 255 - mean) / std.

    mean, std   float32, one number a channel (3, 1, 1), or one a channel and pixel (3, H, W)
    """

    mean: np.ndarray
    std: np.ndarray

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            array = np.array(getattr(self, name), np.float32)
            if array.ndim != 3 or array.shape[0] != 3:
                raise InputError(f"normaliser: {name} has shape {array.shape}, expected (3, 1, 1) or (3, H, W)")
            if not np.isfinite(array).all():
                raise InputError(f"normaliser: {name} must be finite, got {array.ravel()[:3]}")
            if name == "std" and not (array > 0).all():
                raise InputError(f"normaliser: std must be above 0, got {array.ravel()[:3]}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def channels(cls, mean: Sequence[float], std: Sequence[float]) -> "Normaliser":
        """From three means and three standard deviations, of pixels between 0 and 1."""
        return cls(np.reshape(mean, (-1, 1, 1)), np.reshape(std, (-1, 1, 1)))

    @classmethod
    def measured(cls, images: np.ndarray) -> "Normaliser":
        """The mean and standard deviation of each channel of `images`, uint8 (N, 3, H, W)."""
        _check(images)
        total, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)  # integers: exact, in any order
        for start in range(0, len(images), _CHUNK):
            chunk = images[start:start + _CHUNK].astype(np.uint32)
            total += chunk.sum((0, 2, 3), dtype=np.int64)
            squares += np.square(chunk).sum((0, 2, 3), dtype=np.int64)
        count = images.size // 3
        mean = total / count
        std = np.sqrt(squares / count - mean**2)
        std[std == 0] = 255  # a channel of one value: its std says nothing about scale, and must not divide by 0
        return cls.channels((mean / 255).tolist(), (std / 255).tolist())

    @classmethod
    def per_pixel(cls, images: np.ndarray) -> "Normaliser":
        """The mean picture of `images`, uint8 (N, 3, H, W), and no division (He et al. 2015, section 4.2)."""
        _check(images)
        mean = images.mean(0, dtype=np.float64) / 255
        return cls(mean, np.ones((3, 1, 1)))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, 3, H, W), a fresh array, where the pictures are."""
        _check(images)
        if self.mean.shape[1:] not in ((1, 1), images.shape[2:]):
            raise InputError(f"normaliser: images are {images.shape[2]} x {images.shape[3]} pixels, "
                             f"but the mean picture is {self.mean.shape[1]} x {self.mean.shape[2]}")
        if on_device(images):
            out, (mean, std) = images.astype(np.float32), self._on_device
            out /= np.float32(255)
        else:
            out, mean, std = workspace.empty(images.shape, np.dtype(np.float32)), self.mean, self.std
            np.divide(images, np.float32(255), out=out)
        out -= mean
        out /= std
        return out

    @cached_property
    def _on_device(self) -> tuple[np.ndarray, np.ndarray]:
        """mean and std, moved once."""
        return cupy().asarray(self.mean), cupy().asarray(self.std)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For the checkpoint: {"mean", "std"}."""
        return {"mean": self.mean, "std": self.std}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Normaliser":
        """The inverse of `to_arrays`."""
        if not {"mean", "std"} <= set(arrays):
            raise InputError(f"normaliser: expected arrays mean and std, got {', '.join(sorted(arrays)) or 'nothing'}")
        return cls(arrays["mean"], arrays["std"])


# Of CIFAR-10's 50,000 training pictures.
CIFAR10 = Normaliser.channels((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
# The std of much public code: the mean of the pictures' own stds, not the pixels' std. Weights that were trained so need it.
CIFAR10_PICTURE_STDS = Normaliser.channels((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
CIFAR100 = Normaliser.channels((0.5070, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761))
IMAGENET = Normaliser.channels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NAMED = {"imagenet": IMAGENET, "cifar10": CIFAR10, "cifar10-0.2023": CIFAR10_PICTURE_STDS, "cifar100": CIFAR100}


def named_normaliser(text: str) -> Normaliser:
    """"imagenet", another name of NAMED, or three means and three stds: "0.5,0.5,0.5,0.25,0.25,0.25".

    Raises InputError for anything else.
    """
    if text in NAMED:
        return NAMED[text]
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 6:
        raise InputError(f"normaliser: got {text!r}, expected {', '.join(NAMED)}, or three means and three stds of pixels between "
                         "0 and 1, with commas between")
    if max(numbers[:3]) > 1:
        means = ", ".join(f"{mean:g}" for mean in numbers[:3])
        raise InputError(f"normaliser: got the means {means}, expected those of pixels between 0 and 1; divide all six by 255")
    return Normaliser.channels(numbers[:3], numbers[3:])


def _check(images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or not images.size:
        raise InputError(f"normaliser: expected pictures as uint8 (N, 3, H, W), got {images.dtype} {images.shape}")
