"""resnet-np plan"""

import argparse
import time
from typing import TYPE_CHECKING

from resnet_np.cli import options as shared
from resnet_np.cli import runs

if TYPE_CHECKING:
    from resnet_np.training.plan import Choice, Pictures

HELP = "what accuracy how many minutes buy on this machine: the recipes that `train --minutes` chooses from"
CIFAR10 = 45_000, 5_000, 10_000  # pictures for training, validation and test
SIDE = 32  # pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=minutes, metavar="N", help="say also which one `train --minutes N` would take")
    shared.add_machine(parser)


def run(options: argparse.Namespace) -> None:
    shared.apply_machine(options)
    from resnet_np.training import plan, report

    start, count = time.perf_counter(), plan.Pictures(*CIFAR10)
    with report.compiling_announced(runs.say):
        speeds = plan.measure_all(classes=10, image_size=SIDE, in_precision=plan.precision())
    for line in plan.table(speeds, count, image_size=SIDE):
        print(line)
    print("Accuracies were measured on a copy of CIFAR-10 that went through JPEG, which costs some three points.")
    print(f"On this machine, now, in {plan.precision()}, with {count.training:,} training pictures of {SIDE}x{SIDE} pixels. "
          "Minutes are those of the run, validation and test included.")
    if options.minutes:
        print(describe(plan.best(speeds, budget(options.minutes, start), count), count, on_cifar10=True))


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


def budget(minutes: float, start: float) -> float:
    """Seconds that are left of them for the run; start: when the command began, by time.perf_counter."""
    from resnet_np.training.plan import RESERVE

    return minutes * 60 * (1 - RESERVE) - (time.perf_counter() - start)


def describe(choice: "Choice", count: "Pictures", *, on_cifar10: bool) -> str:
    """The choice, in a line."""
    expected = "less than was ever measured, so that no accuracy can be promised" if choice.expected is None else (
        f"about {choice.expected:.1%} of pictures like these right, with six views" if on_cifar10 else
        "what accuracy that gives on other pictures than CIFAR-10's cannot be said")
    return (f"plan       {choice.recipe.name}, {choice.epochs:g} epochs of {count.training:,} pictures at "
            f"{1 / choice.speed.training:.0f} images/s, about {choice.seconds / 60:.1f} minutes: {expected}")
