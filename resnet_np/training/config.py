"""The recipe of a run: every hyperparameter with its unit, and the presets."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from resnet_np.errors import InputError
from resnet_np.models import parse_name
from resnet_np.optim import CosineSchedule, OneCycle, StepSchedule

Schedule = StepSchedule | CosineSchedule | OneCycle


def _option(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class Config:
    """What decides the weights of a run, bit for bit (with the data set and the package's version).

    The defaults are preset `quick`. Raises InputError, in the words of the command line, for a value that makes no sense.
    """

    preset: str = _option("quick", "the recipe that the other options change", ("quick", "short", "paper"))
    model: str = _option("resnet20", "resnet20, resnet56 or another resnet<6n+2>; plain<6n+2>; resnet18, 34, 50, 101, 152")
    shortcut: Literal["A", "B"] = _option("A", "where shapes change: A zeros (the paper), B a 1x1 convolution", ("A", "B"))
    zero_pad: Literal["both", "end"] = _option(
        "both", "option A's zero channels: half before and half after, or all after", ("both", "end")
    )
    stem: Literal["cifar", "imagenet"] = _option(
        "cifar", "of resnet18 ... 152: cifar 3x3, for small pictures; imagenet 7x7, stride 2, max pool", ("cifar", "imagenet")
    )
    stride_in: Literal["3x3", "1x1"] = _option(
        "3x3", "of resnet50, 101, 152: the convolution with the stride, 3x3 (torchvision) or 1x1 (the paper)", ("3x3", "1x1")
    )
    width: int = _option(0, "filters of the first stage; 0: what the net has (16, or 64)")
    zero_gamma: bool = _option(False, "of resnet18 ... 152: start every block as its shortcut (Goyal 2017)")
    epochs: int = _option(4, "times through the training pictures")
    max_steps: int = _option(0, "stop after this many steps; 0: no such limit")
    batch_size: int = _option(64, "pictures per step")
    lr: float = _option(0.1, "learning rate at its highest")
    schedule: str = _option("one-cycle", "how the learning rate changes", ("one-cycle", "cosine", "step"))
    warmup: float = _option(0.25, "share of the steps that the learning rate takes to its highest")
    warmup_factor: float = _option(0.1, "learning rate at the start, as a share of --lr (one-cycle, step)")
    final_factor: float = _option(0.001, "learning rate at the end, as a share of --lr (one-cycle, cosine)")
    milestones: tuple[float, ...] = _option((0.5, 0.75), "schedule step: divide by 10 after these shares of the steps")
    momentum: float = _option(0.9, "weight of the old velocity in the new one, per step")
    nesterov: bool = _option(True, "look ahead along the velocity")
    weight_decay: float = _option(5e-4, "L2 penalty: times the weight, added to the gradient, per step")
    decay: str = _option(
        "weights", "what decays: weights of convolutions and linear layers, or all (the paper)", ("weights", "all")
    )
    dropout: float = _option(0.0, "share of the pooled features dropped before the last layer; 0: none")
    label_smoothing: float = _option(0.0, "share of every label spread evenly over all classes; 0: none")
    augment: bool = _option(True, "random crop of the picture padded by 4, mirrored half the time")
    cutout: int = _option(0, "side in pixels of a square blanked in every picture (DeVries 2017: 16); 0: none")
    mixup: float = _option(0.0, "blend pairs of pictures and labels; alpha of the Beta distribution (Zhang 2017: 0.2); 0: none")
    early_stopping: int = _option(0, "stop when validation has not improved for N epochs; 0: never")
    normaliser: str = _option(
        "channel", "subtract and divide by channel, or subtract the mean picture (the paper)", ("channel", "per-pixel")
    )
    fused: bool = _option(True, "compute convolution, batch norm, addition and ReLU together: faster, and other last bits")
    limit_train: int = _option(0, "train on the first N training pictures only; 0: on all")
    seed: int = _option(0, "seed of the initial weights, the order of the pictures and the augmentation")
    split_seed: int = _option(
        0, "seed of the training/validation split, apart so that runs are judged on the same pictures"
    )

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value, choices = getattr(self, item.name), item.metadata["choices"]
            if choices and value not in choices:
                _refuse(item.name, value, f"one of {', '.join(choices)}")
        family, _ = parse_name(self.model)
        for name, owner in {"shortcut": "cifar", "zero_pad": "cifar", "stem": "imagenet", "stride_in": "imagenet",
                            "zero_gamma": "imagenet"}.items():
            if family != owner and getattr(self, name) != getattr(type(self), name):
                _refuse(name, getattr(self, name), f"it to be left out: {self.model} has no such choice")
        for name, least in {
            "epochs": 1,
            "batch_size": 2,
            "max_steps": 0,
            "width": 0,
            "cutout": 0,
            "early_stopping": 0,
            "limit_train": 0,
            "seed": 0,
            "split_seed": 0,
        }.items():
            if (
                isinstance(getattr(self, name), bool)
                or not isinstance(getattr(self, name), int)
                or getattr(self, name) < least
            ):
                _refuse(name, getattr(self, name), f"a whole number of at least {least}")
        if not 0 < self.lr < math.inf:
            _refuse("lr", self.lr, "a number above 0")
        for name in ("weight_decay", "mixup"):
            if not 0 <= getattr(self, name) < math.inf:
                _refuse(name, getattr(self, name), "a number of at least 0")
        for name in ("warmup", "momentum", "dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                _refuse(name, getattr(self, name), "a number of at least 0 and below 1")
        for name in ("warmup_factor", "final_factor"):
            if not 0 <= getattr(self, name) <= 1:
                _refuse(name, getattr(self, name), "a number from 0 to 1")
        if not all(0 < share < 1 for share in self.milestones) or list(self.milestones) != sorted(set(self.milestones)):
            _refuse("milestones", self.milestones, "rising shares of the steps between 0 and 1")
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
    def from_json(cls, values: dict[str, Any]) -> "Config":
        """The inverse of `to_json`. Raises InputError for a field that this version does not know."""
        known = {item.name for item in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise InputError(
                f"config: unknown field {', '.join(unknown)}; was it written by a newer version of resnet_np?"
            )
        try:
            return cls(**(values | {"milestones": tuple(values.get("milestones", cls.milestones))}))
        except TypeError as error:
            raise InputError(f"config: a value has the wrong type ({error})") from error


# quick   a real run while one waits; the default.
# short   the yardstick shared with PyTorch: ten epochs of the same recipe.
# paper   He et al. 2015, section 4.2: 64,000 steps (182.3 epochs of 351), 0.1 divided by 10 after 32,000 and 48,000, everything
#         decays.
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {},
    "short": {"epochs": 10, "batch_size": 128, "lr": 0.4},
    "paper": {
        "epochs": 183,
        "max_steps": 64_000,
        "batch_size": 128,
        "lr": 0.1,
        "schedule": "step",
        "warmup": 0.0,
        "nesterov": False,
        "weight_decay": 1e-4,
        "decay": "all",
        "normaliser": "per-pixel",
    },
}
# The same section: ResNet-110 needs about 400 steps at 0.01 before it starts to learn at 0.1.
PAPER_110 = {"warmup": 400 / 64_000}


def preset(name: str, **changes: Any) -> Config:
    """The recipe `name` with some fields changed. Raises InputError for an unknown preset or a value that makes no sense."""
    if name not in PRESETS:
        _refuse("preset", name, f"one of {', '.join(PRESETS)}")
    fields = PRESETS[name] | (PAPER_110 if name == "paper" and changes.get("model") == "resnet110" else {})
    return Config(**({"preset": name} | fields | changes))


def _refuse(name: str, value: Any, expected: str) -> None:
    shown = ",".join(str(part) for part in value) if isinstance(value, tuple) else value
    raise InputError(f"--{name.replace('_', '-')}: got {shown}, expected {expected}")
