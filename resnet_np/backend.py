"""Which kernels run on the CPU.

Every folder under `kernels/` holds one operation several times over; the backend names the file that runs:

    loops   loops.py   plain Python loops: slow, and the first thing to read
    numpy   array.py   array code, for any array module
    numba   jit.py     compiled by Numba: the default

Nothing falls back silently: a backend that cannot run raises BackendError.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from resnet_np.errors import BackendError

FILES = {"loops": "loops", "numpy": "array", "numba": "jit"}
VARIABLE = "RESNET_NP_BACKEND"

_chosen: str | None = None
_listeners: list[set[str]] = []
_modules: dict[tuple[str, str], ModuleType] = {}


def current() -> str:
    """The backend in use: the one chosen by `use`, else $RESNET_NP_BACKEND, else "numba"."""
    return _chosen or _checked(os.environ.get(VARIABLE) or "numba")


def use(name: str) -> None:
    """Choose the backend for the rest of the process. Raises BackendError if it is unknown or cannot run here."""
    global _chosen
    _chosen = _checked(name)


@contextmanager
def using(name: str) -> Iterator[None]:
    """Choose the backend inside a `with` block."""
    global _chosen
    before, _chosen = _chosen, _checked(name)
    try:
        yield
    finally:
        _chosen = before


@contextmanager
def recorded() -> Iterator[set[str]]:
    """Inside the `with` block, the set collects which kernel files run: {"conv/jit", "batchnorm/jit", ...}."""
    files: set[str] = set()
    _listeners.append(files)
    try:
        yield files
    finally:
        _listeners.remove(files)


def kernels(package: str) -> ModuleType:
    """The module of `package` (a folder of `resnet_np.kernels`) that the backend in use selects, imported when first asked for."""
    key = (package, current())
    for files in _listeners:
        files.add(f"{package.rpartition('.')[2]}/{FILES[key[1]]}")
    if key not in _modules:
        try:
            _modules[key] = importlib.import_module(f"{package}.{FILES[key[1]]}")
        except ImportError as error:
            raise BackendError(
                f"backend {key[1]}: it cannot be imported here ({error}); install it again (python -m pip install numba), "
                "or choose the numpy backend (--backend numpy)"
            ) from error
    return _modules[key]


def _checked(name: str) -> str:
    if name not in FILES:
        raise BackendError(f"backend: got {name!r}, expected one of {', '.join(FILES)}")
    if name == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise BackendError(
            "backend numba: NUMBA_DISABLE_JIT is set, so its kernels cannot be compiled; "
            "unset it, or choose the numpy backend (--backend numpy or RESNET_NP_BACKEND=numpy)"
        )
    return name
