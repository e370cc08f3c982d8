"""The best net for the time at hand: recipes whose accuracy was measured, and how long they take on this machine.

A recipe is told by what it does to how many pictures, not by minutes, so that one table serves every machine: how many pictures a
second each net learns from is measured here, and the table says what came of so many.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from resnet_np import backend
from resnet_np.errors import InputError
from resnet_np.models import build
from resnet_np.models.summary import summarise
from resnet_np.training import arithmetic, novelty
from resnet_np.training.config import Config, preset
from resnet_np.training.measured import MEASURED, Measured
from resnet_np.training.run import evaluation_batch, optimiser_of
from resnet_np.training.step import read, training_step
from resnet_np.workspace import Workspace

LEAST, MOST = 1, 1440  # minutes
TRIAL_STEPS = 2  # of which the mean is believed
VIEWS = 6
# Seconds that no picture explains: curves are drawn, checkpoints written. And the share of the time that is left free, for a
# machine that turns out slower than it was while it was measured.
FIXED, EPOCH, RESERVE = 4.0, 1.0, 0.03


class Speed(NamedTuple):
    """Seconds a picture."""

    training: float
    evaluating: float


class Pictures(NamedTuple):
    """How many there are."""

    training: int
    validation: int
    test: int


@dataclass(frozen=True)
class Choice:
    """One recipe on this machine: what it trains, for how long, and what is to be expected of it on CIFAR-10."""

    recipe: Measured
    config: Config
    speed: Speed
    seconds: float  # from the first step to the end, test included
    expected: float | None  # accuracy on validation pictures, with six views; None: less was never measured
    epochs: float


def precision() -> str:
    """bf16 where the CPU has an instruction for it, else float32."""
    return "bf16" if arithmetic.micro_kernel("bf16") in ("amx", "vdpbf16ps") else "float32"


def measure_all(*, classes: int, image_size: int, in_precision: str) -> dict[str, Speed]:
    """The speed of every recipe on this machine, by its name."""
    return {recipe.name: measure(recipe, classes=classes, image_size=image_size, in_precision=in_precision) for recipe in MEASURED}


def measure(recipe: Measured, *, classes: int, image_size: int, in_precision: str) -> Speed:
    """Train and evaluate a net of that recipe on random pictures for a moment; which also compiles what is not yet compiled."""
    config = config_of(recipe, epochs=1)
    net = build(recipe.model, width=recipe.width, classes=classes)
    net.precision = in_precision
    net.to_device()
    optimiser = optimiser_of(config, net.named_parameters(), rates={}, decays={})
    workspace, rng = Workspace(), np.random.default_rng(0)
    x = backend.to_device(rng.standard_normal((config.batch_size, 3, image_size, image_size), np.float32))
    labels = backend.to_device(rng.integers(0, classes, len(x)))
    few = x[:evaluation_batch(image_size)]

    def train() -> None:
        read([training_step(net, optimiser, x, labels, lr=1e-3, workspace=workspace)])

    def evaluate() -> None:
        with workspace:
            net.forward(few, training=False)
        backend.wait()

    return Speed(_seconds(train) / len(x), _seconds(evaluate) / len(few))


def _seconds(action: Callable[[], None]) -> float:
    """The mean of a few, after one that compiles: a machine that does other things, too, will go on doing so."""
    action()
    start = time.perf_counter()
    for _ in range(TRIAL_STEPS):
        action()
    return (time.perf_counter() - start) / TRIAL_STEPS


def seconds_of(speed: Speed, epochs: float, count: Pictures) -> float:
    """From the first step to the end: training, validation after every epoch, the test of one view and six, what is typical."""
    testing = (1 + VIEWS) * count.test
    describing = 2 * (min(novelty.MOST, count.training) + min(novelty.MOST_HELD_OUT, count.validation))
    rounds = -(-epochs // 1)
    return (epochs * count.training * speed.training
            + (rounds * count.validation + testing + describing) * speed.evaluating + rounds * EPOCH + FIXED)


def epochs_within(speed: Speed, seconds: float, count: Pictures) -> float:
    """How many epochs fit into that time, in tenths; 0 where not even one tenth does."""
    low, high = 0, 100_000
    while low < high:  # tenths
        middle = (low + high + 1) // 2
        if seconds_of(speed, middle / 10, count) <= seconds:
            low = middle
        else:
            high = middle - 1
    return low / 10


def expectation(recipe: Measured, epochs: float) -> float | None:
    """The mean accuracy that was measured after so many epochs; between two such numbers, a straight line over their logarithms.

    None below the smallest. Above the largest, that of the largest.
    """
    known = sorted((passes, fmean(accuracies)) for passes, accuracies in recipe.accuracy.items())
    if epochs < known[0][0]:
        return None
    return float(np.interp(np.log(epochs), np.log([passes for passes, _ in known]), [accuracy for _, accuracy in known]))


def best(speeds: dict[str, Speed], seconds: float, count: Pictures, **changes: Any) -> Choice:
    """The recipe of the highest expectation within that time, and as many epochs as fit, at most as many as were measured.

    speeds: by the recipe's name. changes: of the recipe's options, which the user wants. Where not even the least that was measured
    fits, the recipe that comes nearest to its own. Raises InputError if the time is not enough for a tenth of an epoch.
    """
    choices = []
    for recipe in MEASURED:
        speed = speeds[recipe.name]
        epochs = min(epochs_within(speed, seconds, count), max(recipe.accuracy))
        if epochs:
            choices.append(choice(recipe, speed, epochs, count, **changes))
    if not choices:
        raise InputError(f"--minutes: {max(0.0, seconds):.0f} seconds are left for training, less than the quickest net needs for "
                         "a tenth of the pictures; give more minutes")
    return max(choices, key=lambda choice: (choice.expected or 0.0, choice.epochs / min(choice.recipe.accuracy)))


def choice(recipe: Measured, speed: Speed, epochs: float, count: Pictures, **changes: Any) -> Choice:
    """That recipe for so many epochs. A part of an epoch is so many steps."""
    config = config_of(recipe, epochs=int(-(-epochs // 1)), **changes)
    if epochs < config.epochs:
        steps = max(1, count.training // config.batch_size)
        config = replace(config, max_steps=max(1, int(epochs * steps)))
    return Choice(recipe, config, speed, seconds_of(speed, epochs, count), expectation(recipe, epochs), epochs)


def config_of(recipe: Measured, **changes: Any) -> Config:
    """Preset `fast` as that recipe has it."""
    return preset("fast", **({"model": recipe.model, "width": recipe.width, **recipe.changes} | changes))


def table(speeds: dict[str, Speed], count: Pictures, *, image_size: int) -> list[str]:
    """What was measured, and what it takes on this machine: a line each, for a terminal."""
    lines = [f"{'recipe':14}{'parameters':>11}{'epochs':>8}{'images/s':>10}{'minutes':>9}   validation accuracy, six views"]
    for recipe in MEASURED:
        speed = speeds[recipe.name]
        with backend.using("numpy"):
            parameters = summarise(build(recipe.model, width=recipe.width), (1, 3, image_size, image_size)).parameters
        for epochs, accuracies in sorted(recipe.accuracy.items()):
            lines.append(f"{recipe.name:14}{parameters:>11,}{epochs:>8g}{1 / speed.training:>10.0f}"
                         f"{seconds_of(speed, epochs, count) / 60:>9.1f}   {_spread(accuracies)}")
    return lines


def _spread(accuracies: Sequence[float]) -> str:
    """"84.1 % (83.9 to 84.3, 3 seeds)", or of a single run its accuracy."""
    if len(accuracies) == 1:
        return f"{accuracies[0]:.1%} (1 run)"
    return f"{fmean(accuracies):.1%} ({min(accuracies):.1%} to {max(accuracies):.1%}, {len(accuracies)} seeds)"
