"""resnet-np train"""

import argparse
from pathlib import Path

from resnet_np.cli import options as shared
from resnet_np.cli import runs

HELP = "train a ResNet from scratch, on CIFAR-10 or a folder of pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from resnet_np.training.config import Config

    runs.add_arguments(parser, Config)


def run(options: argparse.Namespace) -> None:
    shared.apply_machine(options)
    if options.resume:
        _resume(options)
    else:
        _start(options)


def _start(options: argparse.Namespace) -> None:
    import data_tools
    from resnet_np.training import Config, RunFolder, preset
    from resnet_np.training.run import Run

    changes = runs.changes(options, Config)
    config = preset(changes.pop("preset", "quick"), **changes)
    pictures = data_tools.find(options.data, say=runs.say, progress=runs.bar(options), image_size=config.image_size or None)
    path = options.out or RunFolder.fresh(Path("runs"), f"{pictures.name}-{config.model}-{config.preset}-seed{config.seed}")
    with RunFolder.open(path, resume=False) as folder:
        runs.carry_out(Run(config, pictures, folder), options)


def _resume(options: argparse.Namespace) -> None:
    import data_tools
    from resnet_np.training import Config, RunFolder
    from resnet_np.training.run import Run

    runs.check_resume(options)
    with RunFolder.open(options.out, resume=True) as folder:
        config, checkpoint = runs.recipe_to_resume(options, folder, Config)
        spec = shared.data_spec(options.data, checkpoint.metadata.get("dataset", {}))
        pictures = data_tools.find(spec, say=runs.say, progress=runs.bar(options), image_size=config.image_size or None)
        runs.carry_out(Run(config, pictures, folder), options)
