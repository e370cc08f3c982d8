"""resnet-np summary"""

import argparse
import textwrap
from typing import Any, Literal

from resnet_np.errors import InputError

WIDTH = 100  # columns
HELP = "layers, output shapes, parameters, multiply-adds and memory of a net"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL",
        help="resnet20, resnet56 or another resnet<6n+2>; plain<6n+2>; resnet18, 34, 50, 101, 152; fast8 or another fast<3n+2>"
    )
    parser.add_argument("--shortcut", choices=["A", "B"], help="of CIFAR nets: A zeros (the paper, default), B 1x1 convolution")
    parser.add_argument("--stem", choices=["imagenet", "cifar"],
                        help="of resnet18 ... 152: 7x7 with stride 2 and max pool, or 3x3 (default: imagenet)")
    parser.add_argument("--stride-in", choices=["3x3", "1x1"],
                        help="of resnet50, 101, 152: the convolution with the stride (default: 3x3)")
    parser.add_argument("--width", type=int, metavar="N",
                        help="filters of the first stage (default: 16; resnet18 ... 152, fast nets: 64)")
    parser.add_argument("--classes", type=int, metavar="N", help="outputs (default: 10; with an ImageNet stem 1000)")
    parser.add_argument("--image-size", type=int, metavar="PIXELS",
                        help="side of the picture (default: 32; with an ImageNet stem 224)")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="pictures a step, for the memory (default: 128)")


def run(options: argparse.Namespace) -> None:
    from resnet_np import backend
    from resnet_np.models import build, parse_name
    from resnet_np.models.arguments import MOST_CLASSES
    from resnet_np.models.summary import summarise

    name = parse_name(options.model)
    for flag, given, owner in (("--shortcut", options.shortcut, "cifar"), ("--stem", options.stem, "imagenet"),
                               ("--stride-in", options.stride_in, "imagenet")):
        if given is not None and name.family != owner:
            raise InputError(f"{flag}: got {given}, but {options.model} has no such choice; leave it out")
    stem: Literal["imagenet", "cifar"] = options.stem or "imagenet"
    large = name.family == "imagenet" and stem == "imagenet"
    size = options.image_size if options.image_size is not None else 224 if large else 32
    classes = options.classes if options.classes is not None else 1000 if large else 10
    for flag, value, least, most in (
        ("--image-size", size, 4, 1024),
        ("--batch-size", options.batch_size, 1, 1_000_000),
        ("--classes", classes, 2, MOST_CLASSES),
    ):
        if not least <= value <= most:
            raise InputError(f"{flag}: got {value}, expected a whole number from {least} to {most:,}")
    net = build(options.model, shortcut=options.shortcut or "A", stem=stem, stride_in=options.stride_in or "3x3",
                width=options.width, classes=classes)
    with backend.using("numpy"):  # one picture: not worth compiling kernels for
        summary = summarise(net, (1, 3, size, size))
    print(f"{'layer':30}{'kind':20}{'output of one image':>20}{'parameters':>14}{'multiply-adds':>16}")
    for row in summary.rows:
        shape = " x ".join(map(str, row.shape))
        parameters, macs = (f"{count:,}" if count else "" for count in (row.parameters, row.macs))
        print(f"{row.name:30}{row.kind:20}{shape:>20}{parameters:>14}{macs:>16}".rstrip())
    print(f"{'total':70}{summary.parameters:>14,}{summary.macs:>16,}")
    activations = summary.activation_bytes * options.batch_size / 2**20
    print(f"A training step at batch {options.batch_size} keeps {activations:,.0f} MiB of activations for its backward pass.")
    print(textwrap.fill(_verdict(net.architecture, size), WIDTH))


def _verdict(architecture: dict[str, Any], size: int) -> str:
    from resnet_np.models.summary import PAPER_DEPTHS

    if architecture["family"] == "resnet_fast":
        return ("Not a net of He et al. 2015: a shallow, wide one with their shortcuts, whitened at the entrance, for a good "
                "result soon (after Jordan 2024, arXiv 2404.00498).")
    depth, cifar = architecture["depth"], architecture["family"] == "resnet_cifar"
    plain = cifar and architecture["shortcut"] == "none"
    place = "section 4.2" if cifar else "table 1"
    classes, pixels, width = (10, 32, 16) if cifar else (1000, 224, 64)
    differences = [
        *([f"depth {depth} is not among its nets"] if cifar and depth not in PAPER_DEPTHS["plain" if plain else "resnet"] else []),
        *(["its shortcuts are option A on CIFAR"] if cifar and architecture["shortcut"] == "B" else []),
        *(["its stem is 7x7 with stride 2 and max pool"] if not cifar and architecture["stem"] == "cifar" else []),
        *(["its stride is on the first 1x1"] if not cifar and depth >= 50 and architecture["stride_in"] == "3x3" else []),
        *([f"its first stage has {width} filters"] if architecture["width"] != width else []),
        *([f"it has {classes} classes"] if architecture["classes"] != classes else []),
        *([f"its pictures are {pixels}x{pixels}"] if size != pixels else []),
    ]
    if differences:
        return f"Not the paper's net (He et al. 2015, {place}): {'; '.join(differences)}."
    if plain:
        return f"The paper's plain {depth}-layer net, ResNet-{depth} without its shortcuts (He et al. 2015, section 4.2, figure 6)."
    return f"The paper's ResNet-{depth} (He et al. 2015, {'section 4.2 and Table 6' if cifar else 'table 1'})."
