"""The learning rate of step t, counted from 1. A schedule is a value: equal fields, equal schedule."""

import math
from dataclasses import dataclass

from resnet_np.errors import InputError


@dataclass(frozen=True)
class StepSchedule:
    """`lr`, multiplied by `gamma` after each milestone.

    milestones  steps; the step after one is the first with the smaller rate (He et al. 2015, 4.2: 32,000 and 48,000)
    warmup      steps at the constant `warmup_lr` before that (the paper's ResNet-110: about 400 at 0.01)
    Raises InputError if the warm-up has no rate or the milestones do not rise.
    """

    lr: float
    milestones: tuple[int, ...]
    gamma: float = 0.1
    warmup: int = 0
    warmup_lr: float | None = None

    def __post_init__(self) -> None:
        _check_rates(self, "lr", "gamma")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise InputError(f"StepSchedule: milestones must rise, got {self.milestones}")
        if self.warmup < 0 or (self.warmup > 0 and self.warmup_lr is None):
            raise InputError(f"StepSchedule: a warm-up needs steps and a rate, got {self.warmup} and {self.warmup_lr}")

    def __call__(self, t: int) -> float:
        _check_step(self, t)
        if t <= self.warmup and self.warmup_lr is not None:
            return float(self.warmup_lr)
        return float(self.lr * self.gamma ** sum(t > milestone for milestone in self.milestones))


@dataclass(frozen=True)
class CosineSchedule:
    """A linear warm-up from 0 to `lr` in `warmup` steps, then half a cosine down to `final` at step `total`.

    Loshchilov and Hutter 2016, equation 5, without restarts. Raises InputError unless 0 <= warmup < total.
    """

    lr: float
    total: int
    warmup: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        _check_rates(self, "lr", "final")
        _check_warmup(self, self.warmup, self.total)

    def __call__(self, t: int) -> float:
        _check_step(self, t, self.total)
        if t < self.warmup:
            return float(self.lr * t / self.warmup)
        done = (t - self.warmup) / (self.total - self.warmup)
        return float(self.final + (self.lr - self.final) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True)
class OneCycle:
    """Linear from `start` to `peak` in `warmup` steps, then linear to `final` at step `total`.

    Smith and Topin 2017, with straight lines. Raises InputError unless 0 <= warmup < total.
    """

    start: float
    peak: float
    final: float
    total: int
    warmup: int

    def __post_init__(self) -> None:
        _check_rates(self, "start", "peak", "final")
        _check_warmup(self, self.warmup, self.total)

    def __call__(self, t: int) -> float:
        _check_step(self, t, self.total)
        if t < self.warmup:
            return float(self.start + (self.peak - self.start) * t / self.warmup)
        return float(self.peak + (self.final - self.peak) * (t - self.warmup) / (self.total - self.warmup))


def _check_rates(schedule: object, *names: str) -> None:
    for name in names:
        value = getattr(schedule, name)
        if not 0 <= value < math.inf:
            raise InputError(f"{type(schedule).__name__}: {name} must be finite and not negative, got {value}")


def _check_warmup(schedule: object, warmup: int, total: int) -> None:
    if not 0 <= warmup < total:
        raise InputError(f"{type(schedule).__name__}: the warm-up must end before the last step, "
                         f"got warmup {warmup} of {total} steps")


def _check_step(schedule: object, t: int, total: float = math.inf) -> None:
    if not 1 <= t <= total:
        raise InputError(f"{type(schedule).__name__}: step {t} is outside 1 … {total}")
