"""resnet-np train"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from resnet_np.cli import options as shared
from resnet_np.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from resnet_np.training import Config, RunFolder
    from resnet_np.training.provenance import Pictures

HELP = "train a CIFAR ResNet from scratch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_data(parser)
    shared.add_machine(parser)
    parser.add_argument("--out", type=Path, metavar="RUN", help="the run's folder (default: a new one in runs/)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, with the recipe that it was started with"
    )
    parser.add_argument("--no-progress", action="store_true", help="no bar, only a line an epoch")
    from resnet_np.training.config import Config

    group = parser.add_argument_group("recipe", "Each preset is a full recipe; an option changes it.")
    for item in dataclasses.fields(Config):
        flag, help_text = f"--{item.name.replace('_', '-')}", f"{item.metadata['help']} (quick: {_shown(item.default)})"
        default: dict[str, Any] = {"dest": item.name, "default": None, "help": help_text}
        if isinstance(item.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **default)
        elif isinstance(item.default, tuple):
            group.add_argument(flag, type=_shares, metavar="SHARE,SHARE", **default)
        elif item.metadata["choices"]:
            group.add_argument(flag, choices=item.metadata["choices"], **default)
        else:
            group.add_argument(
                flag,
                type=type(item.default),
                metavar={int: "N", float: "X", str: "NAME"}[type(item.default)],
                **default,
            )


def run(options: argparse.Namespace) -> None:
    shared.apply_machine(options)
    if options.resume:
        _resume(options)
    else:
        _start(options)


def _start(options: argparse.Namespace) -> None:
    import data_tools
    from resnet_np.training import RunFolder, preset

    changes = _changes(options)
    config = preset(changes.pop("preset", "quick"), **changes)
    pictures = data_tools.find(options.data, say=_say, progress=_bar(options))
    path = options.out or RunFolder.fresh(Path("runs"), f"{pictures.name}-{config.model}-{config.preset}-seed{config.seed}")
    with RunFolder.open(path, resume=False) as folder:
        _train(config, pictures, folder, options)


def _resume(options: argparse.Namespace) -> None:
    import data_tools
    from resnet_np.training import Config, RunFolder

    if options.out is None:
        raise InputError("--resume: which run? name its folder with --out RUN")
    with RunFolder.open(options.out, resume=True) as folder:
        config = Config.from_json(folder.read_config())
        for name, value in _changes(options).items():
            if value != getattr(config, name):
                raise CheckpointError(
                    f"--resume: the run was started with --{name.replace('_', '-')} {getattr(config, name)}, got {value}; "
                    "leave the option out, or start another run"
                )
        _, checkpoint = folder.newest()
        spec = shared.data_spec(options.data, checkpoint.metadata.get("dataset", {}))
        pictures = data_tools.find(spec, say=_say, progress=_bar(options))
        _train(config, pictures, folder, options)


def _train(config: "Config", pictures: "Pictures", folder: "RunFolder", options: argparse.Namespace) -> None:
    from resnet_np.training.loop import train

    try:
        train(config, pictures, folder, resume=options.resume, say=_say, progress=_bar(options))
    except (KeyboardInterrupt, SystemExit):
        if folder.holds_run():
            _say(f"stopped    the run is saved; go on with: resnet-np train --resume --out {folder.path}")
        raise


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """The recipe's fields that the user gave."""
    from resnet_np.training import Config

    fields = {item.name: getattr(options, item.name) for item in dataclasses.fields(Config)}
    return {name: value for name, value in fields.items() if value is not None}


def _bar(options: argparse.Namespace) -> bool:
    return sys.stderr.isatty() and not options.no_progress


def _say(line: str) -> None:
    tqdm.write(line)  # above the bar, if there is one
    sys.stdout.flush()


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected shares of the steps, such as 0.5,0.75, got {text!r}") from None


def _shown(default: Any) -> str:
    return (
        ",".join(map(str, default))
        if isinstance(default, tuple)
        else json.dumps(default)
        if isinstance(default, bool)
        else str(default)
    )
