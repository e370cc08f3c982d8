"""What a recipe means for a run, its forecast, a plan and an evaluation alike: the optimiser, what the loader is told, sizes."""

from typing import Any

import numpy as np

from resnet_np.data import some_of_all, train_validation_split
from resnet_np.errors import InputError
from resnet_np.functional.parameter import Parameter
from resnet_np.models import parse_name
from resnet_np.models.resnet_fast import SMALLEST
from resnet_np.optim import SGD, Muon
from resnet_np.training.config import Config
from resnet_np.training.provenance import Pictures
from resnet_np.training.recipe import Recipe


def optimiser_of(
    config: Recipe, parameters: dict[str, Parameter], *, rates: dict[str, float], decays: dict[str, float]
) -> SGD | Muon:
    """The optimiser that the recipe wants for these parameters; rates and decays: as for SGD."""
    rate = config.muon / config.lr if isinstance(config, Config) else 0.0
    filters = {name: parameter for name, parameter in parameters.items() if rate and parameter.data.ndim == 4}
    sgd = SGD(
        {name: parameter for name, parameter in parameters.items() if name not in filters}, momentum=config.momentum,
        nesterov=config.nesterov, weight_decay=config.weight_decay, decay=config.decay, rates=rates, decays=decays)
    return Muon(filters, sgd, rate=rate) if filters else sgd


def augmentation(config: Recipe) -> dict[str, Any]:
    """What TrainLoader is told of it."""
    return {"augment": config.augment, "shift": config.shift or None, "padding": config.padding, "flip": config.flip,
            "cutout": config.cutout, "mixup": config.mixup}


def parted(pictures: Pictures, config: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """The pictures to train on and those held back for validation -> their indices, int64 each.

    Raises InputError where config.limit_train asks for more than there are, or for one alone.
    """
    train, validation = train_validation_split(len(pictures.train_images), split_seed=config.split_seed)
    if config.limit_train > len(train):
        raise InputError(f"--limit-train: got {config.limit_train}, but {len(train)} training pictures are left after the split")
    if config.limit_train:
        train = train[some_of_all(pictures.train_labels[train], config.limit_train)]
    if len(train) < 2:
        raise InputError(f"--limit-train: got {config.limit_train}, expected at least 2: batch norm needs a batch")
    return train, validation


def compiled_as(config: Recipe) -> str:
    """The name of a run's training step, for `kernels.compile`: its precision, or "fast" where a fast net learns by Muon."""
    fast = isinstance(config, Config) and parse_name(config.model).family == "fast" and config.muon > 0 and config.fused
    return "fast" if fast and config.precision == "float32" else config.precision


def start_size(config: Recipe, image_size: int) -> int:
    """The side of the pictures of the first steps, where the later ones have `image_size`: no smaller than a fast net can take."""
    if not isinstance(config, Config):
        return image_size
    least = SMALLEST if parse_name(config.model).family == "fast" else 1
    return min(image_size, max(least, round(config.start_scale * image_size)))


def check_image_size(model: str, image_size: int) -> None:
    """Raises InputError if pictures are too small for the pools of a fast net."""
    if parse_name(model).family == "fast" and image_size < SMALLEST:
        raise InputError(f"--image-size: {model} needs pictures of at least {SMALLEST} pixels a side, got {image_size}; give "
                         "--image-size 32, or choose another net")


def evaluation_batch(image_size: int) -> int:
    """Pictures: enough to keep the kernels busy, few enough to stay small in memory."""
    return max(8, min(250, 250 * 64**2 // image_size**2))
