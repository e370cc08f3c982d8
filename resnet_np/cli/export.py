"""resnet-np export"""

import argparse
from pathlib import Path

from resnet_np.cli import weights
from resnet_np.cli.convert import check_target

HELP = "a trained net for PyTorch and others: torchvision's names, in safetensors or .npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN_OR_WEIGHTS", help=weights.HELP)
    parser.add_argument("out", type=Path, metavar="OUT", help="OUT.safetensors or OUT.npz, tensors under torchvision's names; "
                        "convert reads it back, and loses nothing")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")


def run(options: argparse.Namespace) -> None:
    from resnet_np.models.foreign.export import SUFFIXES, export

    check_target(options.out, SUFFIXES, "export", options.force)
    _, checkpoint = weights.load(options.run, "export", print)
    count = export(checkpoint, options.out)
    print(f"written    {options.out}: {count:,} tensors under torchvision's names")
