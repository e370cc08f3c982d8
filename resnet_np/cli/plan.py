"""resnet-np plan"""

import argparse
import math
import time
from typing import TYPE_CHECKING, Any

from resnet_np.cli import options as shared
from resnet_np.cli import runs
from resnet_np.errors import InputError

if TYPE_CHECKING:
    from resnet_np.training import Config
    from resnet_np.training.plan import Choice, Pictures, Speed

HELP = "what accuracy how many minutes buy on this machine: the recipes that `train --minutes` chooses from"
CIFAR10 = 45_000, 5_000, 10_000  # pictures for training, validation and test
SIDE = 32  # pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=minutes, metavar="N", help="say also which one `train --minutes N` would take")
    shared.add_machine(parser)


def run(options: argparse.Namespace) -> None:
    shared.apply_machine(options)
    from resnet_np.training import plan, preset

    check_backend()
    start, count = time.perf_counter(), plan.Pictures(*CIFAR10)
    spent: list[float] = []  # seconds, when a net had been measured

    def no_limit() -> float:
        spent.append(time.perf_counter() - start)
        return math.inf

    speeds = measured(preset("fast"), classes=10, image_size=SIDE, count=count, seconds=no_limit)
    spent.append(time.perf_counter() - start)
    for line in plan.table(speeds, count, image_size=SIDE):
        print(line)
    print("Small: for this share of the steps, the first ones, pictures are small.")
    print("Accuracies were measured on a copy of CIFAR-10 that went through JPEG, which costs some three points.")
    print(f"On this machine, now, with {count.training:,} training pictures of {SIDE}x{SIDE} pixels. Minutes are those of the run, "
          "validation and test included.")
    if options.minutes:
        within, left = plan.as_if_within(budget(options.minutes), speeds, spent, count)
        print(describe(plan.best(within, left, count), count, as_measured=True))


def measured(config: "Config", **arguments: Any) -> dict[str, "Speed"]:
    """`plan.measure_all` of these arguments; what must be compiled for it is compiled by two processes. config: one such recipe."""
    from resnet_np import backend
    from resnet_np.training import plan, report
    from resnet_np.training.parts import compiled_as

    with report.compiling_announced(runs.say):
        if backend.current() != "numba":
            return plan.measure_all(**arguments)
        from resnet_np.kernels import compile

        speeds = plan.measure_all(**arguments, compiled=compile.get_help(compiled_as(config)))
        compile.note_warm(compiled_as(config))
        return speeds


def minutes(text: str) -> float:
    """A number of minutes from 1 to 1,440."""
    from resnet_np.training.plan import LEAST, MOST

    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not LEAST <= value <= MOST:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number of minutes from {LEAST} to {MOST:,}")
    return value


def check_backend() -> None:
    """Raises InputError for the loops, which learners read: they would take minutes for a picture before a word was said."""
    from resnet_np import backend

    if backend.current() == "loops":
        raise InputError("--backend loops: it takes far too long to be measured; leave it out, or choose numba or numpy")


def budget(minutes: float) -> float:
    """Seconds of them that a command may plan with."""
    from resnet_np.training.plan import RESERVE

    return minutes * 60 * (1 - RESERVE)


def describe(choice: "Choice", count: "Pictures", *, as_measured: bool) -> str:
    """The choice, in two lines. as_measured: whether pictures and recipe are those of the table."""
    from resnet_np.training import plan

    epochs = f"{choice.epochs:g} epoch{'s' * (choice.epochs != 1)}"
    if not as_measured:
        expected = "the accuracy cannot be told: it was measured for these recipes as they are, on all of CIFAR-10"
    elif choice.expected is None:
        expected = "the accuracy cannot be told: no run as short as that was ever measured"
    else:
        low, high, seeds = plan.spread(choice.recipe, choice.epochs)
        recorded = f"{low:.1%} to {high:.1%} in {seeds} runs" if seeds > 1 else "one run"
        expected = (f"{choice.expected:.1%} of validation pictures were right after as much ({recorded}; six views, JPEG copy of "
                    "CIFAR-10)")
    rate, minutes = 1 / choice.speed.training, choice.seconds / 60
    return (f"plan       {choice.recipe.name}, {epochs} of {count.training:,} pictures at {rate:.0f} images/s, about {minutes:.1f} "
            f"minutes\n           {expected}")
