"""The recipe of a run: every hyperparameter of the optimisation and of the pictures, with its unit."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

import numpy as np

from resnet_np.errors import InputError
from resnet_np.models.checkpoint import LARGEST_IMAGE
from resnet_np.optim import CosineSchedule, OneCycle, StepSchedule
from resnet_np.precision import PRECISIONS

Schedule = StepSchedule | CosineSchedule | OneCycle


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# By the type of a field's default: what to expect, and whether a value is such.
KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("True or False", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: ("a number", _is_number),
    str: ("a text", lambda value: isinstance(value, str)),
    tuple: ("numbers", lambda value: isinstance(value, tuple) and all(map(_is_number, value))),
}


def option(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    """A field that is an option of the command line."""
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class Recipe:
    """What training from scratch and fine-tuning have in common.

    Lists and NumPy's numbers are taken too. Raises InputError, in the words of the command line, for a value that makes no sense.
    """

    preset: str = option("quick", "the recipe that the other options change")
    epochs: int = option(4, "times through the training pictures")
    max_steps: int = option(0, "stop after this many steps; 0: no such limit")
    batch_size: int = option(64, "pictures per step")
    lr: float = option(0.1, "learning rate at its highest")
    schedule: str = option("one-cycle", "how the learning rate changes", ("one-cycle", "cosine", "step"))
    warmup: float = option(0.25, "share of the steps that the learning rate takes to its highest")
    warmup_factor: float = option(0.1, "learning rate at the start, as a share of --lr (one-cycle, step)")
    final_factor: float = option(0.001, "learning rate at the end, as a share of --lr (one-cycle, cosine)")
    milestones: tuple[float, ...] = option((0.5, 0.75), "schedule step: divide by 10 after these shares of the steps")
    momentum: float = option(0.9, "weight of the old velocity in the new one, per step")
    nesterov: bool = option(True, "look ahead along the velocity")
    weight_decay: float = option(5e-4, "L2 penalty: times the weight, added to the gradient, per step")
    decay: str = option(
        "weights", "what decays: weights of convolutions and linear layers, or all (the paper)", ("weights", "all")
    )
    dropout: float = option(0.0, "share of the pooled features dropped before the last layer; 0: none")
    label_smoothing: float = option(0.0, "share of every label spread evenly over all classes; 0: none")
    lookahead: int = option(
        0, "average the weights every N steps, over more and more steps (Zhang 2019; Jordan 2024: 5); 0: never. The last epoch "
        "ends with the average, others between two of them"
    )
    augment: bool = option(True, "random crop of the padded picture, mirrored half the time")
    shift: int = option(0, "pixels of padding on each side, by which a crop may move; 0: an eighth of the picture's side")
    padding: str = option("zeros", "what a crop shows beyond the edge: zeros, or the picture reflected", ("zeros", "reflect"))
    flip: str = option(
        "random", "mirror pictures at random in every epoch, or at random in the first and by turns from then on (Jordan 2024)",
        ("random", "alternating"),
    )
    cutout: int = option(0, "side in pixels of a square blanked in every picture (DeVries 2017: 16); 0: none")
    mixup: float = option(0.0, "blend pairs of pictures and labels; alpha of the Beta distribution (Zhang 2017: 0.2); 0: none")
    early_stopping: int = option(
        0, "stop after N epochs in a row more than one standard error below the highest validation accuracy; 0: never"
    )
    views: int = option(1, "6: test also the answer averaged over six views of a picture")
    image_size: int = option(0, "side in pixels to which every picture is resized; 0: as they are (a folder of photos: 32)")
    normaliser: str = option(
        "channel", "subtract and divide by channel, or subtract the mean picture (the paper)", ("channel", "per-pixel")
    )
    fused: bool = option(True, "compute convolution, batch norm, addition and ReLU together: faster, and other last bits")
    precision: str = option(
        "float32", "bf16: maps and factors of products in 16 bits; faster where the CPU has an instruction for it", PRECISIONS
    )
    limit_train: int = option(
        0, "train on N of the training pictures only, the first ones if these are of all classes; 0: on all")
    seed: int = option(0, "seed of the initial weights, the order of the pictures and the augmentation")
    split_seed: int = option(
        0, "seed of the training/validation split, apart so that runs are judged on the same pictures"
    )

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value, choices = plain(getattr(self, item.name)), item.metadata["choices"]
            object.__setattr__(self, item.name, value)
            if choices and value not in choices:
                refuse(item.name, value, f"one of {', '.join(choices)}")
            kind, fits = KINDS[type(item.default)]
            if not fits(value):
                refuse(item.name, value, kind)
        for name, least in {
            "epochs": 1,
            "batch_size": 2,
            "max_steps": 0,
            "cutout": 0,
            "early_stopping": 0,
            "lookahead": 0,
            "shift": 0,
            "limit_train": 0,
            "image_size": 0,
            "seed": 0,
            "split_seed": 0,
        }.items():
            if getattr(self, name) < least:
                refuse(name, getattr(self, name), f"a whole number of at least {least}")
        if self.image_size > LARGEST_IMAGE:
            refuse("image_size", self.image_size, f"at most {LARGEST_IMAGE:,}")
        if self.views not in (1, 6):
            refuse("views", self.views, "1 or 6")
        if not 0 < self.lr < math.inf:
            refuse("lr", self.lr, "a number above 0")
        for name in ("weight_decay", "mixup"):
            if not 0 <= getattr(self, name) < math.inf:
                refuse(name, getattr(self, name), "a number of at least 0")
        for name in ("warmup", "momentum", "dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                refuse(name, getattr(self, name), "a number of at least 0 and below 1")
        for name in ("warmup_factor", "final_factor"):
            if not 0 <= getattr(self, name) <= 1:
                refuse(name, getattr(self, name), "a number from 0 to 1")
        if not all(0 < share < 1 for share in self.milestones) or list(self.milestones) != sorted(set(self.milestones)):
            refuse("milestones", self.milestones, "rising shares of the steps between 0 and 1")
        if self.nesterov and self.momentum == 0:
            raise InputError("--nesterov needs a --momentum above 0; pass --no-nesterov")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole run."""
        total = self.epochs * steps_per_epoch
        return min(total, self.max_steps) if self.max_steps else total

    def learning_rates(self, total: int) -> Schedule:
        """The schedule of a run of `total` steps."""
        warmup = int(total * self.warmup)
        if self.schedule == "one-cycle":
            return OneCycle(self.warmup_factor * self.lr, self.lr, self.final_factor * self.lr, total, warmup)
        if self.schedule == "cosine":
            return CosineSchedule(self.lr, total, warmup, self.final_factor * self.lr)
        milestones = tuple(sorted({int(total * share) for share in self.milestones}))
        return StepSchedule(self.lr, milestones, warmup=warmup, warmup_lr=self.warmup_factor * self.lr)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`. Raises InputError for a field that this version does not know."""
        known = {item.name for item in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise InputError(
                f"config: unknown field {', '.join(unknown)}; was it written by a newer version of resnet_np?"
            )
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"config: {error}") from error


def plain(value: Any) -> Any:
    """A value as JSON gives it back: numbers of Python's, tuples for lists."""
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def refuse(name: str, value: Any, expected: str) -> NoReturn:
    """Raises InputError in the words of the command line: the option, what came, what was expected."""
    shown = ",".join(str(part) for part in value) if isinstance(value, tuple) else value
    raise InputError(f"--{name.replace('_', '-')}: got {shown}, expected {expected}")
