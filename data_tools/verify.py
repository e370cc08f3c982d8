"""Say what a data set is: what it holds, and whether these are CIFAR-10's own files and pixels."""

import hashlib
from pathlib import Path

from data_tools import fetch
from data_tools.image_set import ImageSet
from resnet_np.errors import DataError

OFFICIAL_ARCHIVES = {  # sha256 -> which one of https://www.cs.toronto.edu/~kriz/cifar.html
    fetch.SHA256: "CIFAR-10's official binary archive",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce": "CIFAR-10's official python archive",
}
LAYOUTS = {"bin": "CIFAR-10's binary batches", "py": "CIFAR-10's python batches", "npz": "one npz file",
           "png": "numbered PNGs in folders", "folder": "folders of pictures", None: "none: it is drawn in memory"}
OFFICIAL = {True: "yes: the pixels that CIFAR-10's home page publishes",
            False: "no: not the pixels that CIFAR-10's home page publishes",
            None: "unknown: not a whole set, or an altered one"}


def describe(image_set: ImageSet) -> list[str]:
    """A few lines about a set that has been read, and so is sound."""
    origin = Path(image_set.origin)
    size = image_set.train_images.shape[-1]
    archived = image_set.layout in ("bin", "py") and origin.is_file()
    lines = [
        f"sound     {image_set.name}, {image_set.origin}",
        f"layout    {LAYOUTS[image_set.layout]}{', in an archive' if archived else ''}",
        f"pictures  {len(image_set.train_labels):,} train, {len(image_set.test_labels):,} test, {size} x {size} pixels",
        f"classes   {len(image_set.classes)}: {', '.join(image_set.classes)}",
        f"official  {OFFICIAL[image_set.official]}",
    ]
    if archived:
        digest = _sha256(origin)
        lines.append(f"sha256    {digest}, {OFFICIAL_ARCHIVES.get(digest, 'neither of the official archives')}")
    return lines


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
