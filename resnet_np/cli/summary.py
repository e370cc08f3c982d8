"""resnet-np summary"""

import argparse
import textwrap

from resnet_np.errors import InputError

WIDTH = 100  # columns
HELP = "layers, output shapes, parameters, multiply-adds and memory of a net"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="resnet<6n+2>: resnet20, resnet56, resnet110 ...; plain<6n+2>: without shortcuts"
    )
    parser.add_argument("--shortcut", choices=["A", "B"], default="A", help="A zeros (the paper), B a 1x1 convolution")
    parser.add_argument("--classes", type=int, default=10, metavar="N", help="outputs (default: 10)")
    parser.add_argument("--image-size", type=int, default=32, metavar="PIXELS", help="side of the picture (default: 32)")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="pictures a step, for the memory (default: 128)")


def run(options: argparse.Namespace) -> None:
    for flag, value, least, most in (
        ("--image-size", options.image_size, 4, 1024),
        ("--batch-size", options.batch_size, 1, 1_000_000),
        ("--classes", options.classes, 2, 100_000),
    ):
        if not least <= value <= most:
            raise InputError(f"{flag}: got {value}, expected a whole number from {least} to {most:,}")
    from resnet_np import backend
    from resnet_np.models import parse_name, resnet_cifar
    from resnet_np.models.summary import summarise

    family, depth = parse_name(options.model)
    net = resnet_cifar(depth, "none" if family == "plain" else options.shortcut, classes=options.classes)
    with backend.using("numpy"):  # one picture: not worth compiling kernels for
        summary = summarise(net, (1, 3, options.image_size, options.image_size))
    print(f"{'layer':32}{'kind':20}{'output of one image':>20}{'parameters':>14}{'multiply-adds':>14}")
    for row in summary.rows:
        shape = " x ".join(map(str, row.shape))
        parameters, macs = (f"{count:,}" if count else "" for count in (row.parameters, row.macs))
        print(f"{row.name:32}{row.kind:20}{shape:>20}{parameters:>14}{macs:>14}".rstrip())
    print(f"{'total':72}{summary.parameters:>14,}{summary.macs:>14,}")
    activations = summary.activation_bytes * options.batch_size / 2**20
    print(f"A training step at batch {options.batch_size} keeps {activations:,.0f} MiB of activations for its backward pass.")
    print(textwrap.fill(_verdict(family, depth, options), WIDTH))


def _verdict(family: str, depth: int, options: argparse.Namespace) -> str:
    from resnet_np.models.summary import PAPER_DEPTHS

    differences = [
        *([f"depth {depth} is not among its nets"] if depth not in PAPER_DEPTHS[family] else []),
        *(["its shortcuts are option A on CIFAR"] if family == "resnet" and options.shortcut != "A" else []),
        *(["it has 10 classes"] if options.classes != 10 else []),
        *(["its pictures are 32x32"] if options.image_size != 32 else []),
    ]
    if differences:
        return f"Not the paper's net (He et al. 2015, section 4.2): {'; '.join(differences)}."
    if family == "plain":
        return f"The paper's plain {depth}-layer net, ResNet-{depth} without its shortcuts (He et al. 2015, section 4.2, figure 6)."
    return f"The paper's ResNet-{depth} (He et al. 2015, section 4.2 and Table 6)."
