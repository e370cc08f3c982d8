"""The command line: parse, call, print. Every error of ours is one line, and the exit code is the error's."""

import argparse
from typing import NoReturn

from resnet_np import __version__, console
from resnet_np.cli import bench, convert, doctor, evaluate, export, finetune, gradcheck, plan, predict, show, summary, train

COMMANDS = {
    "train": train,
    "plan": plan,
    "finetune": finetune,
    "evaluate": evaluate,
    "predict": predict,
    "show": show,
    "convert": convert,
    "export": export,
    "summary": summary,
    "gradcheck": gradcheck,
    "bench": bench,
    "doctor": doctor,
}


class _Parser(argparse.ArgumentParser):
    """argparse, but for its errors: one line, without the page of usage that would push it off the screen."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 a run that failed, 2 a request that cannot be met, 130 Ctrl-C, 143 SIGTERM."""
    parser = _Parser(
        prog="resnet-np", description="ResNets on CIFAR-10 in NumPy and Numba, every gradient written by hand."
    )
    parser.add_argument("--version", action="version", version=f"resnet_np {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP, description=module.HELP, allow_abbrev=False))
    options = parser.parse_args(arguments)
    return console.carry_out("resnet-np", lambda: COMMANDS[options.command].run(options),
                             without_memory="try a smaller batch, smaller pictures or a smaller model")
