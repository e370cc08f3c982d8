"""From what the user wrote after --data to a data set in memory."""

import os
from collections.abc import Callable
from pathlib import Path

from data_tools import cifar, folders, shapes10
from data_tools import fetch as fetching
from data_tools.image_set import ImageSet
from resnet_np.errors import DataError

VARIABLE = "RESNET_NP_DATA"
NAMES = ("cifar10", "shapes10")


def find(
    spec: str | None, *, say: Callable[[str], None], progress: bool, image_size: int | None = None, crop: float = 1.0
) -> ImageSet:
    """The data set that `spec` names.

    spec: "cifar10" (from the user's cache, or fetched), "shapes10", a path to any layout that cifar.read or folders.read
    knows, or None: $RESNET_NP_DATA if it is set, else CIFAR-10, else, where that cannot be had, Shapes-10 and a loud line
    to `say`. progress: show a bar while fetching or decoding.
    image_size, crop: of what is made of the pictures of a folder (photos.read; default: 32 x 32, the middle of the whole
    shorter side). All other layouts hold 32 x 32 pixels and keep them.
    Raises DataError if what was asked for cannot be had, InputError for an image_size or a crop that makes no sense.
    """
    if spec is None and os.environ.get(VARIABLE):
        spec = os.environ[VARIABLE]
        if spec not in NAMES and _existing(spec) is None:
            raise DataError(f"${VARIABLE}: {spec}: no such file or folder; mend the variable, or unset it")
    if spec == "shapes10":
        return shapes10.make()
    if spec not in (None, "cifar10"):
        path = _existing(spec)
        if path is None:
            raise DataError(f"{spec!r}: no such file or folder; expected a path, cifar10 or shapes10")
        size = folders.IMAGE_SIZE if image_size is None else image_size
        return cifar.read_known(path) or folders.read(path, image_size=size, crop=crop, say=say, progress=progress)
    try:
        archive = fetching.fetch(progress=progress)
    except DataError as error:
        if spec == "cifar10":
            raise
        say(f"NO CIFAR-10: {error}. Training on Shapes-10 instead, drawn shapes whose accuracy says nothing about CIFAR-10")
        return shapes10.make()
    return cifar.read(archive)


def locate() -> str:
    """What `find(None)` would read, in words, without reading or fetching it."""
    spec = os.environ.get(VARIABLE)
    if spec:
        state = "" if spec in NAMES or _existing(spec) else ": MISSING; mend the variable, or unset it"
        return f"${VARIABLE} = {spec}{state}"
    archive = fetching.cache_folder() / fetching.ARCHIVE
    if archive.is_file():
        return f"CIFAR-10, {archive}"
    return ("CIFAR-10 is not in the cache: `resnet-np train` fetches it (170 MB), or python -m data_tools fetch; "
            "offline, Shapes-10 is drawn instead")


def _existing(spec: str) -> Path | None:
    """The path that `spec` names, ~ expanded, if it is there."""
    try:
        path = Path(spec).expanduser()
        return path if spec and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # a name too long, with a null byte, or of an unknown user
        return None
