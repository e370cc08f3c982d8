"""Options that several commands share."""

import argparse
import os

from resnet_np import backend
from resnet_np.errors import InputError


def add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the numba backend (default: all cores)")
    parser.add_argument("--backend", choices=list(backend.FILES), help="kernels that run (default: $RESNET_NP_BACKEND, else numba)")


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="PATH|cifar10|shapes10",
        help="CIFAR-10 in the binary or python layout, a folder or the archive; or a name "
        "(default: $RESNET_NP_DATA, else CIFAR-10 from the cache or the internet, else Shapes-10)",
    )


def apply_machine(options: argparse.Namespace) -> None:
    """Choose backend and threads before Numba is imported. Raises InputError for a number of threads that makes no sense."""
    if options.threads is not None:
        if not 1 <= options.threads <= 1024:
            raise InputError(f"--threads: got {options.threads}, expected a whole number of at least 1")
        os.environ["NUMBA_NUM_THREADS"] = str(options.threads)  # read when Numba is imported, and only then
    backend.use(options.backend or backend.current())
