"""The best net for the time at hand: recipes whose accuracy was measured, and how long they take on this machine.

A recipe is told by what it does to how many pictures, not by minutes, so that one table serves every machine: how many pictures a
second each net learns from is measured here, and the table says what came of so many.
"""

import itertools
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from resnet_np import backend
from resnet_np.data import CIFAR10, TrainLoader, evaluation_batches, generator
from resnet_np.errors import InputError
from resnet_np.models import build
from resnet_np.models.summary import summarise
from resnet_np.training import novelty
from resnet_np.training.config import Config, preset
from resnet_np.training.measured import MEASURED, Measured
from resnet_np.training.parts import augmentation, check_image_size, evaluation_batch, optimiser_of, start_size
from resnet_np.training.step import read, training_step
from resnet_np.workspace import Workspace

LEAST, MOST = 1, 1440  # minutes
TRIAL_STEPS, TRIAL_SECONDS = 2, 1.0  # at least, of which the mean is believed
VIEWS = 6
TRAINING = 45_000  # pictures of which the measured recipes have made their epochs
SMALL_BATCH, SMALLEST_BATCH = 100, 32  # pictures, where they are few, and very few
# Seconds that no picture explains: curves are drawn, checkpoints written. And the share of the time that is left free, for a
# machine that turns out slower than it was while it was measured.
FIXED, EPOCH, RESERVE = 4.0, 1.0, 0.03


class Times(NamedTuple):
    """Seconds a picture: in a step of full size, in one of the first, with smaller pictures, and evaluating."""

    step: float
    small: float
    evaluating: float


class Speed(NamedTuple):
    """Seconds a picture, the mean over a recipe's steps."""

    training: float
    evaluating: float
    growth: float = 1.0  # how many times as long a step of full size takes as one of the first, with smaller pictures


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


def measure_all(
    *, classes: int, image_size: int, count: Pictures, seconds: Callable[[], float] = lambda: math.inf,
    changes: Mapping[str, Any] = MappingProxyType({}), compiled: Callable[[], None] = lambda: None,
) -> dict[str, Speed]:
    """The speed of the recipes on this machine, by name, the cheapest first.

    No larger net is tried than one that cannot be given in the time that is left as much as was ever measured: it could even less.
    seconds: says how many are left. changes: of the recipes' options, which the user wants. compiled: waits for another process
    that compiles; time is taken afterwards.
    """
    speeds: dict[str, Speed] = {}
    known: dict[Config, Times] = {}
    last: Measured | None = None
    for recipe in MEASURED:
        if last and _is_larger(recipe, last) and not _has_room(last, speeds, seconds(), count):
            break
        config = config_of(recipe, count, image_size, changes)
        # Steps take as long whatever their share is, and a hole takes next to nothing.
        like = replace(config, start_share=0.5 if config.start_share else 0.0, cutout=0)
        if like not in known:
            known[like] = measure(config, classes=classes, image_size=image_size, compiled=compiled)
        speeds[recipe.name] = speed_of(known[like], config)
        last = recipe
    return speeds


def as_if_within(
    seconds: float, speeds: Mapping[str, Speed], spent: Sequence[float], count: Pictures
) -> tuple[dict[str, Speed], float]:
    """What `measure_all` would have measured had it had so many seconds, of what it measured without a limit, and how many would
    have been left. spent: the seconds that had passed when each net was measured, the cheapest first."""
    kept: dict[str, Speed] = {}
    last, nets, left = None, iter(spent), seconds
    for recipe in MEASURED:
        if last is None or _is_larger(recipe, last):
            if last and not _has_room(last, speeds, left, count):
                break
            left = seconds - next(nets)
        kept[recipe.name], last = speeds[recipe.name], recipe
    return kept, left


def _is_larger(recipe: Measured, last: Measured) -> bool:
    """Whether it has another net than the recipe before it in the table."""
    return (last.model, last.width) != (recipe.model, recipe.width)


def _has_room(recipe: Measured, speeds: Mapping[str, Speed], seconds: float, count: Pictures) -> bool:
    """Whether it could be given as much as was ever measured."""
    return epochs_within(speeds[recipe.name], seconds, count) >= _most(recipe, count)


def speed_of(times: Times, config: Config) -> Speed:
    return Speed(times.step + config.start_share * (times.small - times.step), times.evaluating, times.step / times.small)


def measure(config: Config, *, classes: int, image_size: int, compiled: Callable[[], None] = lambda: None) -> Times:
    """Train and evaluate as that recipe does, on random pictures, for a moment; which also compiles what is not yet compiled.

    compiled: as in `measure_all`. Raises InputError where pictures are too small for the net.
    """
    check_image_size(config.model, image_size)
    net = build(config.model, width=config.width or None, dropout=config.dropout, classes=classes, fused=config.fused)
    net.precision = config.precision
    net.to_device()
    optimiser = optimiser_of(config, net.named_parameters(), rates={}, decays={})
    workspace, rng, steps = Workspace(), np.random.default_rng(0), itertools.count(1)
    images = rng.integers(0, 256, (config.batch_size, 3, image_size, image_size), np.uint8)
    labels = rng.integers(0, classes, len(images))
    few = evaluation_batch(image_size)

    def train(size: int) -> float:
        """Seconds of a step with pictures of that size."""
        loader = TrainLoader(images, labels, CIFAR10, batch_size=len(images), seed=0, classes=classes, start=(size, sys.maxsize),
                             **augmentation(config))

        def step() -> None:
            t = next(steps)
            with workspace:
                x, targets = loader.batch(t)
            read([training_step(net, optimiser, x, targets, lr=1e-3, workspace=workspace, rng=generator(0, t, "dropout"))])

        return _seconds(step, compiled)

    def evaluate() -> None:
        with workspace:
            for x, _ in evaluation_batches(images[:few], labels[:few], CIFAR10, batch_size=few):
                net.forward(x, training=False)
        backend.wait()

    step, small = train(image_size), start_size(config, image_size)
    quick = train(small) if small < image_size else step
    return Times(step / len(images), quick / len(images), _seconds(evaluate, compiled) / min(few, len(images)))


def _seconds(action: Callable[[], None], compiled: Callable[[], None]) -> float:
    """The mean of a few, after one that compiles: a machine that does other things, too, will go on doing so."""
    action()
    compiled()
    start, calls = time.perf_counter(), 0
    while calls < TRIAL_STEPS or time.perf_counter() - start < TRIAL_SECONDS:
        action()
        calls += 1
    return (time.perf_counter() - start) / calls


def seconds_of(speed: Speed, epochs: float, count: Pictures) -> float:
    """From the first step to the end: training, validation after every epoch, the test of one view and six, what is typical."""
    return epochs * count.training * speed.training + other_seconds(speed.evaluating, -(-epochs // 1), epochs, count)


def other_seconds(evaluating: float, rounds: float, epochs: float, count: Pictures) -> float:
    """What is no step of these epochs, with so many rounds of validation. evaluating: seconds a picture."""
    testing = (1 + VIEWS) * count.test
    describing = 2 * (min(novelty.MOST, min(epochs, 1) * count.training) + min(novelty.MOST_HELD_OUT, count.validation))
    return (rounds * count.validation + testing + describing) * evaluating + rounds * EPOCH + FIXED


def epochs_within(speed: Speed, seconds: float, count: Pictures) -> float:
    """How many epochs fit into that time, in tenths; 0 where not even one tenth does."""
    low, high = 0, 1_000_000
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


def spread(recipe: Measured, epochs: float) -> tuple[float, float, int]:
    """The lowest and the highest accuracy that was measured about there, read off like the mean, and of how many runs at least."""
    known = sorted(recipe.accuracy.items())
    places = np.log([passes for passes, _ in known])
    low, high = (float(np.interp(np.log(epochs), places, [of(accuracies) for _, accuracies in known])) for of in (min, max))
    after = min(int(np.searchsorted(places, np.log(epochs))), len(known) - 1)
    before = max(0, after - 1) if known[after][0] > epochs else after
    return low, high, min(len(accuracies) for _, accuracies in known[before:after + 1])


def best(
    speeds: Mapping[str, Speed], seconds: float, count: Pictures, image_size: int = 32,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Choice:
    """The recipe of the highest expectation within that time, and as many epochs as fit, up to the most that were measured.

    speeds: by the recipe's name. changes: as in `measure_all`. Other data sets than CIFAR-10 are expected to need as many pictures,
    not as many epochs. Where not even the least that was measured fits, the recipe that comes nearest to its own.
    Raises InputError if the time is not enough for a tenth of an epoch.
    """
    choices = []
    for recipe in (recipe for recipe in MEASURED if recipe.name in speeds):
        share = TRAINING / count.training
        epochs = min(epochs_within(speeds[recipe.name], seconds, count), _most(recipe, count))
        if epochs:
            choices.append(Choice(
                recipe, _shortened(config_of(recipe, count, image_size, changes), epochs, count), speeds[recipe.name],
                seconds_of(speeds[recipe.name], epochs, count), expectation(recipe, epochs / share), epochs))
    if not choices:
        raise InputError(f"--minutes: {max(0.0, seconds):.0f} seconds are left for training, less than the quickest net needs for "
                         "a tenth of the pictures; give more minutes, or try again if it was compiling that took them")
    return max(choices, key=lambda choice: (choice.expected or 0.0, choice.epochs / min(choice.recipe.accuracy)))


def _most(recipe: Measured, count: Pictures) -> float:
    """Epochs of these pictures that are as much as was ever measured."""
    return round(max(recipe.accuracy) * TRAINING / count.training, 1)


def config_of(
    recipe: Measured, count: Pictures, image_size: int, changes: Mapping[str, Any] = MappingProxyType({})
) -> Config:
    """Preset `fast` as that recipe has it, with the user's changes.

    Where pictures are fewer than CIFAR-10's, batches are smaller, so that an epoch has as many steps, down to `SMALL_BATCH`, and to
    a tenth of the pictures; where pictures are large, a batch has as many pixels, down to `SMALLEST_BATCH` pictures. The learning
    rate goes with it, unless the user has given one.
    """
    config = preset("fast", **({"model": recipe.model, "width": recipe.width, **recipe.changes, **changes}))
    batch = fitting_batch(config.batch_size, count.training, image_size)
    if "batch_size" in changes or batch >= config.batch_size:
        return config
    return replace(config, batch_size=batch, lr=config.lr if "lr" in changes else config.lr * batch / config.batch_size)


def fitting_batch(batch_size: int, pictures: int, image_size: int) -> int:
    """What batches of that size, meant for CIFAR-10, become where there are so many training pictures, of so many pixels a side."""
    few = max(batch_size * pictures // TRAINING, min(SMALL_BATCH, pictures // 10))
    return max(min(SMALLEST_BATCH, batch_size), min(batch_size, few, batch_size * 32**2 // image_size**2))


def _shortened(config: Config, epochs: float, count: Pictures) -> Config:
    """The same for so many epochs; a part of an epoch is so many steps."""
    whole = int(-(-epochs // 1))
    if epochs == whole:
        return replace(config, epochs=whole)
    steps = max(1, count.training // config.batch_size)
    return replace(config, epochs=whole, max_steps=max(1, int(epochs * steps)))


def table(speeds: dict[str, Speed], count: Pictures, *, image_size: int) -> list[str]:
    """What was measured, and what it takes on this machine: a line each, for a terminal."""
    lines = [f"{'recipe':18}{'parameters':>11}{'epochs':>8}{'small':>7}{'images/s':>10}{'minutes':>9}   "
             "validation accuracy, six views"]
    for recipe in MEASURED:
        speed, share = speeds[recipe.name], config_of(recipe, count, image_size).start_share
        with backend.using("numpy"):
            parameters = summarise(build(recipe.model, width=recipe.width), (1, 3, image_size, image_size)).parameters
        for epochs, accuracies in sorted(recipe.accuracy.items()):
            lines.append(f"{recipe.name:18}{parameters:>11,}{epochs:>8g}{share:>7.1%}{1 / speed.training:>10.0f}"
                         f"{seconds_of(speed, epochs, count) / 60:>9.1f}   {_spread(accuracies)}")
    return lines


def _spread(accuracies: Sequence[float]) -> str:
    """"84.1 % (83.9 to 84.3, 3 seeds)", or of a single run its accuracy."""
    if len(accuracies) == 1:
        return f"{accuracies[0]:.1%} (1 run)"
    return f"{fmean(accuracies):.1%} ({min(accuracies):.1%} to {max(accuracies):.1%}, {len(accuracies)} seeds)"
