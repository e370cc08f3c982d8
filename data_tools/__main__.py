"""python -m data_tools: fetch CIFAR-10, make Shapes-10, verify, inspect and convert data sets of all layouts."""

import argparse
import json
import sys
from pathlib import Path

from data_tools import cifar, fetch, inspection, shapes10, sheet, verify
from data_tools.find import find
from data_tools.image_set import ImageSet
from resnet_np import console

DATA = "a folder (CIFAR-10's, or of pictures: train/<class>/*, or <class>/*), an archive or an npz file; or cifar10, or shapes10"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 after one line on standard error."""
    options = _parser().parse_args(arguments)
    return console.carry_out("data_tools", lambda: _COMMANDS[options.command](options), without_memory="this data set is too large")


def _fetch(options: argparse.Namespace) -> None:
    print(fetch.fetch(options.to, progress=sys.stderr.isatty()))


def _verify(options: argparse.Namespace) -> None:
    print("\n".join(verify.describe(_data(options))))


def _inspect(options: argparse.Namespace) -> None:
    image_set = _data(options)
    found = inspection.inspect(image_set)
    if options.sheet:
        boxes = sheet.write(image_set, options.sheet)
        if boxes:
            print(f"--sheet: {boxes}", file=sys.stderr)
    if options.json:
        print(json.dumps(inspection.as_json(image_set, found), indent=2))
    else:
        print("\n".join(inspection.as_text(image_set, found)))


def _convert(options: argparse.Namespace) -> None:
    print(cifar.write(_data(options), options.out, options.to))


def _make(options: argparse.Namespace) -> None:
    print(cifar.write(shapes10.make(), options.out, options.layout))


_COMMANDS = {"fetch": _fetch, "verify": _verify, "inspect": _inspect, "convert": _convert, "make": _make}


def _data(options: argparse.Namespace) -> ImageSet:
    return find(options.data, say=lambda line: print(line, file=sys.stderr), progress=sys.stderr.isatty(),
                image_size=options.image_size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_tools", description="The files of data sets.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetching = commands.add_parser("fetch", help="fetch CIFAR-10's official archive (170 MB) and check it")
    fetching.add_argument("--to", type=Path, metavar="FOLDER", help="put it there instead of the user's cache")
    verifying = commands.add_parser("verify", help="read all of a data set and say what it is; exits 2 if it is not sound")
    _add_data(verifying)
    inspecting = commands.add_parser("inspect", help="count classes, average channels, look for duplicates")
    _add_data(inspecting)
    inspecting.add_argument("--sheet", type=Path, metavar="OUT.png", help="draw ten training pictures of each class")
    inspecting.add_argument("--json", action="store_true", help="print JSON instead of text")
    converting = commands.add_parser("convert", help="write ten classes of 32 x 32 pixels in another layout, without loss")
    converting.add_argument("data", metavar="DATA", help=DATA)
    converting.set_defaults(image_size=None)  # no other than 32 can be written
    converting.add_argument("out", type=Path, metavar="OUT", help="npz: the new file; png: the new folder; bin, py: the "
                            "folder in which cifar-10-batches-bin or -py is made")
    converting.add_argument("--to", required=True, choices=cifar.LAYOUTS,
                            help="CIFAR-10's binary or python layout, one npz file, or folders of PNGs")
    making = commands.add_parser("make", help="make a data set of drawn pictures")
    making.add_argument("data_set", choices=["shapes10"])
    making.add_argument("out", type=Path, metavar="OUT", help="as for convert")
    making.add_argument("--layout", choices=cifar.LAYOUTS, default="bin", help="as --to for convert (default: bin)")
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=DATA)
    parser.add_argument("--image-size", type=int, metavar="S",
                        help="a folder of pictures is read at S x S pixels (default: 32); the other layouts hold 32 x 32")


if __name__ == "__main__":
    sys.exit(main())
