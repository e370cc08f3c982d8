"""Which kernels run, and where arrays live.

Every folder under `kernels/` holds one operation several times over; the backend names the file that runs:

    loops   loops.py   plain Python loops: slow, and the first thing to read
    numpy   array.py   array code
    numba   jit.py     compiled by Numba: the default
    cupy    cuda.py    on an NVIDIA GPU, with CuPy

Maps in bf16 (`precision`) go to bf16.py with the backend numba; the others compute them through float32, with rounded factors.

The first three work on NumPy's arrays. With "cupy" in use, `to_device` moves an array to the GPU, and from there its own type
selects cuda.py; CuPy is imported by then, and not before. Nothing falls back silently: a backend that cannot run raises
BackendError.
"""

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from resnet_np.errors import BackendError
from resnet_np.precision import BF16, ThroughFloat32

FILES = {"loops": "loops", "numpy": "array", "numba": "jit", "cupy": "cuda"}
VARIABLE = "RESNET_NP_BACKEND"
ALIGNMENT = 16  # bytes: where an array may begin within another on the device, whatever its dtype

_chosen: str | None = None
_listeners: list[set[str]] = []
_modules: dict[tuple[str, str, bool], Any] = {}
_usable: dict[str, ModuleType] = {}  # "cupy", once it was found to work


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


def kernels(package: str, array: Any) -> Any:
    """The module of `package` (a folder of `resnet_np.kernels`) for work on `array`, imported when first asked for.

    An array on the device selects cuda.py; one of NumPy's the file of the backend in use. Raises BackendError where that is cupy.
    """
    key = (package, "cupy" if on_device(array) else current(), array.dtype == BF16)
    if key[1] == "cupy" and not on_device(array):
        raise BackendError(f"backend cupy: got a {type(array).__name__} in the computer's memory, expected one on the device; "
                           "move it with backend.to_device, and a net with net.to_device()")
    file = "bf16" if key[1:] == ("numba", True) else FILES[key[1]]
    for files in _listeners:
        files.add(f"{package.rpartition('.')[2]}/{file}")
    if key not in _modules:
        try:
            module = importlib.import_module(f"{package}.{file}")
            _modules[key] = ThroughFloat32(module) if key[2] and file != "bf16" else module
        except ImportError as error:
            raise BackendError(
                f"backend {key[1]}: it cannot be imported here ({error}); install it again (python -m pip install numba), "
                "or choose the numpy backend (--backend numpy)"
            ) from error
    return _modules[key]


def on_device(array: Any) -> bool:
    """Whether the array is one of CuPy's."""
    return type(array).__module__.partition(".")[0] == "cupy"


def namespace(array: Any) -> ModuleType:
    """The module whose functions fit the array: NumPy or CuPy."""
    return importlib.import_module("cupy" if on_device(array) else "numpy")


def to_device(array: Any) -> Any:
    """The array where the backend in use wants it: with "cupy" on the device, copied if it is not there yet; else as it is."""
    return cupy().asarray(array) if current() == "cupy" else array


def to_device_at_once(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of NumPy's as `to_device` would move each, but in one copy: a copy costs more to begin than small arrays to carry."""
    if current() != "cupy":
        return dict(arrays)
    places, size = {}, 0
    for name, array in arrays.items():
        places[name] = slice(size, size + array.nbytes)
        size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    parcel = np.empty(size, np.uint8)
    for name, array in arrays.items():
        parcel[places[name]] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    there = to_device(parcel)
    return {name: there[places[name]].view(array.dtype).reshape(array.shape) for name, array in arrays.items()}


def to_host(array: Any) -> Any:
    """The array as NumPy's, copied if it is on the device; else as it is."""
    return cupy().asnumpy(array) if on_device(array) else array


def like(array: Any, other: Any) -> Any:
    """`array`, moved to where `other` is."""
    return cupy().asarray(array) if on_device(other) else to_host(array)


def wait() -> None:
    """Until the device has done what it was told; nothing where none is in use."""
    if current() == "cupy":
        cupy().cuda.Device().synchronize()


def device_name() -> str:
    """What the driver calls the GPU that the backend cupy runs on."""
    return str(cupy().cuda.runtime.getDeviceProperties(cupy().cuda.Device().id)["name"].decode())


def out_of_memory() -> tuple[type[BaseException], ...]:
    """For `except`: the error of a device whose memory is full; nothing where CuPy was never asked for."""
    return (_usable["cupy"].cuda.memory.OutOfMemoryError,) if "cupy" in _usable else ()


def cupy() -> ModuleType:
    """CuPy, once it is sure that it can compute. Raises BackendError, which says what to install, if it cannot."""
    if "cupy" not in _usable:
        try:
            module = importlib.import_module("cupy")
        except ImportError as error:
            why = _first_line(error.__cause__ or error)
            raise BackendError(f"backend cupy: CuPy cannot be imported ({why}); {_INSTALL}") from error
        try:
            devices = module.cuda.runtime.getDeviceCount()
        except module.cuda.runtime.CUDARuntimeError as error:
            older = ', or for one of CUDA 12 python -m pip install ".[cuda12]"' if "InsufficientDriver" in str(error) else ""
            raise BackendError(f"backend cupy: there is no NVIDIA GPU that can be used here ({error}); install its driver, and "
                               f"see that nvidia-smi lists it{older}, or choose another backend (--backend numba)") from error
        if not devices:
            raise BackendError("backend cupy: the driver lists no NVIDIA GPU; see what nvidia-smi and $CUDA_VISIBLE_DEVICES say, "
                               "or choose another backend (--backend numba)")
        try:  # a product and a sum: cuBLAS, and NVRTC with its headers, which a driver alone does not bring
            one = module.ones((2, 2), "float32")
            (one @ one).sum()
        except Exception as error:  # each library has its own
            if isinstance(error, MemoryError) or "MemoryAllocation" in str(error):  # of CuPy's pool; of the driver, before that
                raise BackendError(f"backend cupy: the device's memory is full ({_first_line(error)}); nvidia-smi lists who holds "
                                   "it: end that, or choose another backend (--backend numba)") from error
            raise BackendError(f"backend cupy: CuPy cannot compute here ({_first_line(error)}); {_INSTALL}") from error
        _usable["cupy"] = module
    return _usable["cupy"]


_INSTALL = ('python -m pip install ".[cuda13]", or ".[cuda12]" for a driver of CUDA 12 (nvidia-smi shows which), brings it with '
            "the libraries that it needs")


def _first_line(error: BaseException) -> str:
    """Of its text, the first that says something; else its type."""
    return next((line.strip() for line in str(error).splitlines() if any(map(str.isalpha, line))), type(error).__name__)


def _checked(name: str) -> str:
    if name not in FILES:
        raise BackendError(f"backend: got {name!r}, expected one of {', '.join(FILES)}")
    if name == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise BackendError(
            "backend numba: NUMBA_DISABLE_JIT is set, so its kernels cannot be compiled; "
            "unset it, or choose the numpy backend (--backend numpy or RESNET_NP_BACKEND=numpy)"
        )
    if name == "cupy":
        cupy()
    return name
