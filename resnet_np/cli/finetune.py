"""resnet-np finetune"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_np.cli import options as shared
from resnet_np.cli import runs, weights
from resnet_np.errors import InputError

if TYPE_CHECKING:
    from resnet_np.models import Checkpoint
    from resnet_np.training.finetune_config import FinetuneConfig
    from resnet_np.training.provenance import Pictures

HELP = "go on with pretrained weights, on CIFAR-10 or a folder of your own pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from resnet_np.training.finetune_config import FinetuneConfig

    parser.add_argument("weights", nargs="?", metavar="WEIGHTS", help=weights.HELP)
    parser.add_argument("--zero-pad", choices=["both", "end"], help="of foreign weights with option A's shortcuts: they do not say")
    parser.add_argument("--stride-in", choices=["3x3", "1x1"], help="of foreign weights with bottlenecks: they do not say")
    runs.add_arguments(parser, FinetuneConfig, hidden=("weights",))


def run(options: argparse.Namespace) -> None:
    shared.apply_machine(options)
    if options.resume:
        _resume(options)
    else:
        _start(options)


def _start(options: argparse.Namespace) -> None:
    from resnet_np.training import RunFolder, arithmetic
    from resnet_np.training.finetune import FinetuneRun
    from resnet_np.training.finetune_config import FinetuneConfig, finetune_preset

    if options.weights is None:
        raise InputError("finetune: which weights? name a weight file, a checkpoint or a run's folder")
    changes = runs.changes(options, FinetuneConfig)
    config = finetune_preset(changes.pop("preset", "whole"), **changes)
    arithmetic.check_training(config.precision)
    overrides = {"zero_pad": options.zero_pad, "stride_in": options.stride_in}
    _, source = weights.load(Path(options.weights), "finetune", runs.say, headless=True, **overrides)
    pictures = _pictures(options, options.data, config, source)
    name = f"{pictures.name}-{Path(options.weights).stem[:60]}-{config.preset}-seed{config.seed}"
    with RunFolder.open(options.out or RunFolder.fresh(Path("runs"), name), resume=False) as folder:
        runs.carry_out(FinetuneRun(config, pictures, folder, source), options)


def _resume(options: argparse.Namespace) -> None:
    from resnet_np.training import RunFolder
    from resnet_np.training.finetune import FinetuneRun
    from resnet_np.training.finetune_config import FinetuneConfig

    runs.check_resume(options)
    for flag, value in (("--zero-pad", options.zero_pad), ("--stride-in", options.stride_in), ("WEIGHTS", options.weights)):
        if value is not None:
            raise InputError(f"--resume: got {flag} {value}, but the run knows its net; leave it out")
    with RunFolder.open(options.out, resume=True) as folder:
        config, source = runs.recipe_to_resume(options, folder, FinetuneConfig)
        pictures = _pictures(options, shared.data_spec(options.data, source.metadata.get("dataset", {})), config, source)
        runs.carry_out(FinetuneRun(config, pictures, folder, source), options)


def _pictures(options: argparse.Namespace, spec: str | None, config: "FinetuneConfig", source: "Checkpoint") -> "Pictures":
    """A folder of photos comes in the size that the weights were trained on, unless the recipe says another."""
    import data_tools

    return data_tools.find(spec, say=runs.say, progress=runs.bar(options), image_size=config.image_size or source.image_size,
                           crop=source.crop)
