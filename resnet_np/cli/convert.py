"""resnet-np convert"""

import argparse
import os
from pathlib import Path

from resnet_np.errors import InputError

HELP = "other people's weights (PyTorch, safetensors, .npz) into a checkpoint that evaluate, finetune and predict read"
LARGEST_LIST = 16 << 20  # bytes of a file of class names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE",
                        help="weights with the names of torchvision, timm, Hugging Face, or the CIFAR nets of akamaster, chenyaofo "
                        "or kuangliu; or what `resnet-np export` wrote")
    parser.add_argument("out", type=Path, metavar="OUT.npz", help="the checkpoint to write")
    group = parser.add_argument_group("what weight files do not say", "Assumed to be as their authors have it, unless given here.")
    group.add_argument("--zero-pad", choices=["both", "end"], help="where option A's zero channels go")
    group.add_argument("--stride-in", choices=["3x3", "1x1"], help="the convolution of a bottleneck that has the stride")
    group.add_argument("--normaliser", metavar="NAME",
                       help="imagenet, cifar10, cifar10-0.2023 (the std of much public code), cifar100; or three means and three "
                       "stds with commas between")
    group.add_argument("--classes", type=Path, metavar="NAMES.txt", help="the class names, one a line, in the order of the outputs")
    group.add_argument("--image-size", type=int, metavar="PIXELS", help="side of the pictures that the net is shown")
    group.add_argument("--crop", type=float, metavar="SHARE", help="the part of a photo's side that the net is shown, 0.1 to 1")
    parser.add_argument("--force", action="store_true", help="replace OUT.npz if it is there")


def run(options: argparse.Namespace) -> None:
    check_target(options.out, (".npz",), "convert", options.force)
    from resnet_np.models import load_weights, save_checkpoint
    from resnet_np.models.foreign.weights import WeightsError

    names = None if options.classes is None else _names(options.classes)
    try:
        imported = load_weights(
            None, options.file, zero_pad=options.zero_pad, stride_in=options.stride_in, normaliser=options.normaliser,
            class_names=names, image_size=options.image_size, crop=options.crop)
    except WeightsError as error:
        print("\n".join(error.report.lines() if error.report else []), end="\n" * bool(error.report))
        raise
    save_checkpoint(options.out, imported.checkpoint)
    print("\n".join(imported.report.lines()))
    if imported.report.assumed:
        print("           The file does not say what is assumed; see convert --help for how to say it.")
    print(f"written    {options.out}")


def check_target(path: Path, suffixes: tuple[str, ...], command: str, force: bool) -> None:
    """Raises InputError if `path` is no place to write such a file to."""
    if path.suffix not in suffixes:
        raise InputError(f"{command}: {path} is to be written, expected a name that ends in {' or '.join(suffixes)}")
    if os.path.exists(path) and not force:  # Path.exists raises for names that are too long
        raise InputError(f"{command}: {path} is there already; choose another name, or replace it with --force")


def _names(path: Path) -> list[str]:
    """The lines of a text file."""
    if os.path.exists(path) and not os.path.isfile(path):  # to open a pipe is to wait
        raise InputError(f"--classes: {path} is no file; give a text of one class name a line")
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_LIST + 1)
    except OSError as error:
        raise InputError(f"--classes: {path} cannot be read: {error.strerror or error}") from error
    if len(content) > LARGEST_LIST:
        raise InputError(f"--classes: {path} has more than {LARGEST_LIST:,} bytes; give one class name a line")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"--classes: {path} is no text in UTF-8 (byte {error.start:,}); give one class name a line") from error
    return [line.strip() for line in text.strip().splitlines()]
