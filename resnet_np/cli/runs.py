"""What `train` and `finetune` share: the options of a recipe, and a run that is carried out, stopped, or resumed in its folder."""

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
    from resnet_np.models import Checkpoint
    from resnet_np.training.deadline import Deadline
    from resnet_np.training.recipe import Recipe
    from resnet_np.training.run import Run
    from resnet_np.training.run_folder import RunFolder


def add_arguments(parser: argparse.ArgumentParser, config: "type[Recipe]", hidden: tuple[str, ...] = ()) -> None:
    """Everything but what the command is named after. An option a field of `config` that is not hidden; what the class itself adds
    to Recipe comes first."""
    shared.add_data(parser)
    shared.add_machine(parser)
    parser.add_argument("--out", type=Path, metavar="RUN", help="the run's folder (default: a new one in runs/)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, with the recipe that it was started with"
    )
    parser.add_argument("--no-progress", action="store_true", help="no bar, only a line an epoch")
    own = [item for item in dataclasses.fields(config) if item.name in vars(config)["__annotations__"]]
    group = parser.add_argument_group("recipe", "Each preset is a full recipe; an option changes it.")
    for item in own + [item for item in dataclasses.fields(config) if item not in own]:
        if item.name in hidden:
            continue
        flag, help_text = f"--{item.name.replace('_', '-')}", item.metadata["help"].replace("%", "%%")
        default: dict[str, Any] = {"dest": item.name, "default": None, "help": f"{help_text} (default: {_shown(item.default)})"}
        if isinstance(item.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **default)
        elif isinstance(item.default, tuple):
            group.add_argument(flag, type=_shares, metavar="SHARE,SHARE", **default)
        elif item.metadata["choices"]:
            group.add_argument(flag, choices=item.metadata["choices"], **default)
        else:
            metavar = {int: "N", float: "X", str: "NAME"}[type(item.default)]
            group.add_argument(flag, type=type(item.default), metavar=metavar, **default)


def changes(options: argparse.Namespace, config: "type[Recipe]") -> dict[str, Any]:
    """The recipe's fields that the user gave."""
    fields = {item.name: getattr(options, item.name, None) for item in dataclasses.fields(config)}
    return {name: value for name, value in fields.items() if value is not None}


def recipe_to_resume(options: argparse.Namespace, folder: "RunFolder", config: "type[Recipe]") -> tuple[Any, "Checkpoint"]:
    """The recipe of the run in `folder`, and its newest checkpoint.

    Raises CheckpointError if options ask for another, InputError if the run is not of that kind.
    """
    stored = folder.read_config()
    if ("weights" in stored) != ("weights" in {item.name for item in dataclasses.fields(config)}):
        command = "finetune" if "weights" in stored else "train"
        raise InputError(f"--resume: {folder.path} holds a run of another command; resume it with: "
                         f"resnet-np {command} --resume --out {folder.path}")
    recipe = config.from_json(stored)
    for name, value in changes(options, config).items():
        if value != getattr(recipe, name):
            raise CheckpointError(
                f"--resume: the run was started with --{name.replace('_', '-')} {getattr(recipe, name)}, got {value}; "
                "leave the option out, or start another run"
            )
    from resnet_np.training import arithmetic

    checkpoint = folder.newest()[1]
    arithmetic.check_resume(recipe.precision, checkpoint.metadata, folder.path)  # before the pictures are looked for
    return recipe, checkpoint


def check_resume(options: argparse.Namespace) -> None:
    """Raises InputError if --resume does not say of what."""
    if options.out is None:
        raise InputError("--resume: which run? name its folder with --out RUN")


def carry_out(run: "Run", options: argparse.Namespace, *, deadline: "Deadline | None" = None) -> None:
    """Train to the end; stopped, say how to go on. deadline: when it must have ended; without, how long it takes is measured."""
    from resnet_np.training import loop

    try:
        loop.carry_out(run, resume=options.resume, say=say, progress=bar(options), forecast=deadline is None, deadline=deadline)
    except (KeyboardInterrupt, SystemExit):
        if run.folder.holds_run():
            say(f"stopped    the run is saved; go on with: resnet-np {options.command} --resume --out {run.folder.path}")
        raise


def bar(options: argparse.Namespace) -> bool:
    """Whether progress bars are wanted, and can be seen."""
    return sys.stderr.isatty() and not options.no_progress


def say(line: str) -> None:
    """A line for the user, above the bar, if there is one."""
    tqdm.write(line)
    sys.stdout.flush()


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected shares of the steps, such as 0.5,0.75, got {text!r}") from None


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return json.dumps(default) if isinstance(default, bool) else str(default)
