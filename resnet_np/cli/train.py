"""resnet-np train"""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_np.cli import options as shared
from resnet_np.cli import plan, runs
from resnet_np.errors import InputError

if TYPE_CHECKING:
    from resnet_np.training import Config
    from resnet_np.training.deadline import Deadline

HELP = "train a ResNet from scratch, on CIFAR-10 or a folder of pictures"
DECIDED = ("preset", "model", "width", "epochs", "max_steps")  # by --minutes
UNIMPORTANT = {"seed", "split_seed", "precision"}  # for what accuracy is to be expected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from resnet_np.training.config import Config

    parser.add_argument(
        "--minutes", type=plan.minutes, metavar="N",
        help="the best net that this time can buy, from the first second to the last: measures this machine, and chooses net, "
        "recipe and epochs (resnet-np plan shows among which)")
    runs.add_arguments(parser, Config)


def run(options: argparse.Namespace) -> None:
    start = time.perf_counter()
    shared.apply_machine(options)
    if options.resume:
        _resume(options)
    else:
        _start(options, start)


def _start(options: argparse.Namespace, start: float) -> None:
    import data_tools
    from resnet_np.training import Config, RunFolder, arithmetic, preset
    from resnet_np.training.run import Run

    changes = runs.changes(options, Config)
    if options.minutes and (clash := [name for name in DECIDED if name in changes]):
        raise InputError(f"--minutes: it decides --{clash[0].replace('_', '-')} itself; leave one of them out")
    config = preset("fast" if options.minutes else changes.pop("preset", "quick"), **changes)
    arithmetic.check_training(config.precision)
    pictures = data_tools.find(options.data, say=runs.say, progress=runs.bar(options), image_size=config.image_size or None)
    path = options.out or RunFolder.fresh(Path("runs"), f"{pictures.name}-{config.model}-{config.preset}-seed{config.seed}")
    with RunFolder.open(path, resume=False) as folder:
        deadline = None
        if options.minutes:
            config, deadline = _chosen(options.minutes, start, config, changes, pictures)
        run = Run(config, pictures, folder)
        if config.preset in ("fast", "hour") and not options.minutes:
            _caution(config, len(run.train), run.image_size)
        runs.carry_out(run, options, deadline=deadline)


def _caution(config: "Config", count: int, size: int) -> None:
    """Say so where batches that were chosen for CIFAR-10 leave few steps to fewer pictures, or take much memory of larger ones."""
    from resnet_np.training.plan import fitting_batch

    fits = fitting_batch(config.batch_size, count, size)
    if fits < config.batch_size:
        few = fits == fitting_batch(config.batch_size, count, 1)
        why = f"{count:,} training pictures make few batches" if few else f"pictures of {size}x{size} pixels make large batches"
        runs.say(f"caution    {why} of {config.batch_size:,}; worth trying: "
                 f"--batch-size {fits} --lr {config.lr * fits / config.batch_size:.3g}")


def _chosen(
    minutes: float, start: float, config: "Config", changes: dict[str, Any], pictures: Any
) -> tuple["Config", "Deadline"]:
    """The recipe for so many minutes on this machine and these pictures, which is said, and when they are over."""
    from resnet_np.training import plan as planning
    from resnet_np.training.deadline import Deadline
    from resnet_np.training.parts import parted

    def left() -> float:
        return plan.budget(minutes) - (time.perf_counter() - start)

    plan.check_backend()
    if config.normaliser == "per-pixel" and config.start_scale < 1:
        raise InputError("--minutes: its recipes begin with small pictures, but --normaliser per-pixel subtracts a mean picture of "
                         "one size; leave one of them out, or pass --start-scale 1 too")
    train, validation = parted(pictures, config)
    count = planning.Pictures(len(train), len(validation), len(pictures.test_images))
    size = config.image_size or pictures.train_images.shape[2]
    speeds = plan.measured(config, classes=len(pictures.classes), image_size=size, count=count,
                           seconds=left, changes=changes)
    choice = planning.best(speeds, left(), count, size, changes)
    as_measured = (pictures.name == "cifar10" and count.training == planning.TRAINING and config.precision == "float32"
                   and not changes.keys() - UNIMPORTANT)
    for line in plan.describe(choice, count, as_measured=as_measured).splitlines():
        runs.say(line)
    return choice.config, Deadline(start + 60 * minutes, choice.speed, count)


def _resume(options: argparse.Namespace) -> None:
    import data_tools
    from resnet_np.training import Config, RunFolder
    from resnet_np.training.run import Run

    runs.check_resume(options)
    if options.minutes:
        raise InputError("--minutes: a run that is resumed keeps the recipe that it was started with; leave it out")
    with RunFolder.open(options.out, resume=True) as folder:
        config, checkpoint = runs.recipe_to_resume(options, folder, Config)
        spec = shared.data_spec(options.data, checkpoint.metadata.get("dataset", {}))
        pictures = data_tools.find(spec, say=runs.say, progress=runs.bar(options), image_size=config.image_size or None)
        runs.carry_out(Run(config, pictures, folder), options)
