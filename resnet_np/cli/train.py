"""resnet-np train"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from resnet_np.cli import options as shared
from resnet_np.errors import CheckpointError, InputError

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
    import data_tools
    from resnet_np.models import load_checkpoint
    from resnet_np.training import Config, RunFolder, preset
    from resnet_np.training.loop import train

    fields = {item.name: getattr(options, item.name) for item in dataclasses.fields(Config)}
    changes = {name: value for name, value in fields.items() if value is not None}
    if options.resume:
        if options.out is None:
            raise InputError("--resume: which run? name its folder with --out RUN")
        folder = RunFolder.open(options.out, resume=True)
        config = Config.from_json(folder.read_config())
        different = [name for name, value in changes.items() if value != getattr(config, name)]
        if different:
            name = different[0]
            raise CheckpointError(
                f"--resume: the run was started with --{name.replace('_', '-')} {getattr(config, name)}, got {changes[name]}; "
                "leave the option out, or start another run"
            )
    else:
        config = preset(changes.pop("preset", "quick"), **changes)
    bar = sys.stderr.isatty() and not options.no_progress
    spec = (
        shared.data_spec(options.data, load_checkpoint(folder.last).metadata.get("dataset", {})) if options.resume else options.data
    )
    pictures = data_tools.find(spec, say=_say, progress=bar)
    if not options.resume:
        name = f"{pictures.name}-{config.model}-{config.preset}-seed{config.seed}"
        folder = RunFolder.open(options.out, resume=False) if options.out else RunFolder.fresh(Path("runs"), name)
    try:
        train(config, pictures, folder, resume=options.resume, say=_say, progress=bar)
    except KeyboardInterrupt:
        if folder.last.is_file():
            _say(f"stopped    the run is saved; go on with: resnet-np train --resume --out {folder.path}")
        raise
    finally:
        folder.discard_if_empty()


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
