"""Where a result comes from: which pictures, which versions, which machine."""

import functools
import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import numpy as np

from resnet_np import __version__, backend
from resnet_np.words import one_path


class Pictures(Protocol):
    """A data set in memory, as `data_tools` returns it: images uint8 (N, 3, H, W), labels int64 (N,)."""

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def train_images(self) -> np.ndarray: ...
    @property
    def train_labels(self) -> np.ndarray: ...
    @property
    def test_images(self) -> np.ndarray: ...
    @property
    def test_labels(self) -> np.ndarray: ...
    @property
    def origin(self) -> str: ...
    @property
    def official(self) -> bool | None: ...
    @property
    def crop(self) -> float: ...


def name(pictures: Pictures) -> str:
    """The data set in words that cannot be mistaken for the official one."""
    if pictures.name == "cifar10" and not pictures.official:
        return f"a copy of CIFAR-10 ({one_path(_origin(pictures))})"
    return {"cifar10": "CIFAR-10", "shapes10": "Shapes-10"}.get(pictures.name, f"{pictures.name} ({one_path(_origin(pictures))})")


def _origin(pictures: Pictures) -> str:
    return pictures.origin or "memory"


def fingerprint(pictures: Pictures) -> dict[str, Any]:
    """Which pictures: name, origin (a path that can be opened again, of any letters), sizes, and a digest of the labels and of
    every 50th picture."""
    digest = hashlib.sha256()
    for images, labels in (
        (pictures.train_images, pictures.train_labels),
        (pictures.test_images, pictures.test_labels),
    ):
        digest.update(images[::50].tobytes())
        digest.update(labels.tobytes())
    return {
        "name": pictures.name,
        "origin": _origin(pictures),
        "official": pictures.official,
        "train": len(pictures.train_images),
        "test": len(pictures.test_images),
        "digest": digest.hexdigest()[:16],
    }


def versions() -> dict[str, str]:
    """Of everything whose version may move a bit."""
    found = {"python": platform.python_version(), "platform": platform.platform(),
             "resnet_np": __version__}  # an editable installation keeps the number that it was installed with
    for package in ("numpy", "numba", "llvmlite"):
        found[package] = _installed(package)
    if backend.current() == "cupy":
        found |= {"cupy": backend.cupy().__version__, "device": backend.device_name()}
    return found


@functools.cache  # every checkpoint has it, and looking takes milliseconds
def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def cpu() -> str:
    """What the processor calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or an Arm, which has no name there
        return platform.processor() or platform.machine()


def threads() -> int | None:
    """Threads that the numba kernels run on; None for the other backends, whose threads are NumPy's affair."""
    if backend.current() != "numba":
        return None
    from resnet_np.kernels import threads

    return threads.count()
