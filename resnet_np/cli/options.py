"""Options that several commands share."""

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_np import backend
from resnet_np.errors import InputError
from resnet_np.precision import PRECISIONS
from resnet_np.words import one_path

if TYPE_CHECKING:
    from resnet_np.models import Checkpoint


def add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the numba backend (default: all cores)")
    parser.add_argument("--backend", choices=list(backend.FILES), help="kernels that run (default: $RESNET_NP_BACKEND, else numba)")


def add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--precision", choices=PRECISIONS, help="in which the net computes (default: that in which it was trained)")


def add_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--views", type=int, choices=(1, 6), default=1,
        help="6: also the answer averaged over six views: the picture and two of its shifts by a pixel, each with its mirror image "
        "(default: 1, the picture alone)")


def apply_precision(options: argparse.Namespace, checkpoint: "Checkpoint", say: Callable[[str], None]) -> None:
    """Let the checkpoint's net compute as the user wants, if the command asks, else as it was trained."""
    from resnet_np.training import arithmetic

    checkpoint.net.precision = getattr(options, "precision", None) or checkpoint.net.precision
    arithmetic.check(checkpoint.net.precision)
    if note := arithmetic.slow(checkpoint.net.precision):
        say(f"note       {note}")


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="PATH|cifar10|shapes10",
        help="a folder of pictures (train/<class>/*, or <class>/*); CIFAR-10 in the binary or python layout (a folder or the "
        "archive), an .npz or a folder of PNGs as `python -m data_tools convert` writes them; or a name "
        "(default: $RESNET_NP_DATA, else CIFAR-10 from the cache or the internet, else Shapes-10)",
    )


def check_drawing(flag: str, path: Path | None, read: Iterable[Path]) -> None:
    """Raises InputError for a figure that would be no .png, or lie where a file of the command or another picture is.

    An earlier figure of ours is replaced.
    """
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise InputError(f"{flag}: {path} is to be drawn, expected a name that ends in .png")
    if not path.resolve().parent.is_dir():
        raise InputError(f"{flag}: {path} is to be drawn, but there is no folder {one_path(path.resolve().parent)}; make it, or "
                         "choose another place")
    if any(path.resolve() == other.resolve() for other in read):
        raise InputError(f"{flag}: {path} is to be drawn, and is one of the files that are read; choose another name")
    check_place(path, flag)


def check_place(path: Path | None, flag: str = "--out") -> None:
    """Raises InputError where a figure would replace a picture of somebody else's; flag: the option that gives another place."""
    if path is not None and os.path.exists(path):
        from resnet_np.viz.style import is_drawn_here

        if not is_drawn_here(path):
            raise InputError(f"{flag}: {path} is there already, and was not drawn by resnet-np; choose another name")


def data_spec(given: str | None, dataset: dict[str, Any]) -> str | None:
    """What to read: what the user gave, else what the run was trained on. Raises InputError if that cannot be found any more.

    None: CIFAR-10 itself, wherever it is.
    """
    origin, name = dataset.get("origin", ""), dataset.get("name")
    if given or not dataset:
        return given
    if origin and os.path.exists(origin):  # of any letters, which Path.exists does not forgive
        return origin
    if name == "shapes10":
        return name
    if name == "cifar10" and dataset.get("official"):
        return None
    raise InputError(f"--data: the pictures that the run was trained on ({one_path(origin)}) are not there any more; say "
                     "where they are with --data PATH")


def apply_machine(options: argparse.Namespace) -> None:
    """Choose backend and threads before Numba is imported. Raises InputError for a number of threads that makes no sense."""
    if options.threads is not None:
        if not 1 <= options.threads <= 1024:
            raise InputError(f"--threads: got {options.threads}, expected a whole number from 1 to 1,024")
        if (options.backend or backend.current()) != "numba":
            raise InputError(
                f"--threads: it is for the numba backend, not for {options.backend or backend.current()}; leave it out"
            )
        os.environ["NUMBA_NUM_THREADS"] = str(options.threads)  # read when Numba is imported, and only then
    backend.use(options.backend or backend.current())
