"""python -m data_tools: fetch CIFAR-10, make Shapes-10."""

import argparse
import sys
from pathlib import Path

from data_tools import cifar, fetch, shapes10
from resnet_np.errors import ResNetNpError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 after one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "fetch":
            print(fetch.fetch(options.to, progress=sys.stderr.isatty()))
        else:
            print(cifar.write(shapes10.make(), options.out, options.layout))
    except ResNetNpError as error:
        print(f"data_tools: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("data_tools: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_tools", description="The files of data sets.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetching = commands.add_parser("fetch", help="fetch CIFAR-10's official archive (170 MB) and check it")
    fetching.add_argument("--to", type=Path, metavar="FOLDER", help="put it there instead of the user's cache")
    making = commands.add_parser("make", help="make a data set of drawn pictures")
    making.add_argument("data_set", choices=["shapes10"])
    making.add_argument("out", type=Path, metavar="OUT", help="the folder to write into")
    making.add_argument("--layout", choices=["bin", "py"], default="bin",
                        help="CIFAR-10's binary (default) or python layout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
