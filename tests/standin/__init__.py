"""A stand-in for CuPy, on the CPU: the same names, a strict array, and the real CUDA kernels, compiled by g++.

    with standin.installed(folder) as cupy:     `import cupy` finds it, and the backend "cupy" works
        ...
        cupy.transfers.made                     what was copied between the device and the computer, and where
        cupy.launches                           which of our kernels ran, in order

It cannot show speed, races between threads of different blocks, or what only a GPU would do; it shows that our code asks CuPy for
nothing that CuPy lacks, never mixes its arrays with NumPy's, and that the kernels compute the right numbers.
"""

import sys
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np

from resnet_np import backend
from resnet_np.data.normalise import NAMED
from resnet_np.kernels import device

from . import gpu
from .array import Transfers, ndarray, transfers, unwrap, wrap

# Functions of NumPy that CuPy has too: checked against the namespace of CuPy 14.2.0 by test_standin.py, where that is installed.
FUNCTIONS = """
    abs add all allclose amax amin any arange argmax argmin argsort array_equal ascontiguousarray bincount broadcast_to ceil clip
    concatenate copyto cos count_nonzero cumsum diff divide dot einsum empty empty_like equal exp expand_dims expm1 eye flip floor
    floor_divide full full_like greater greater_equal isclose isfinite isinf isnan less less_equal linspace log log1p logical_and
    logical_not logical_or matmul max maximum mean median min minimum moveaxis multiply nan_to_num negative nonzero not_equal ones
    ones_like pad power prod ravel repeat reshape rint roll round sign sin sort split sqrt square squeeze stack std subtract sum
    swapaxes take take_along_axis tanh tensordot tile transpose unique var where zeros zeros_like
""".split()
# Names that are the same in both
SHARED = """
    bool_ dtype finfo float16 float32 float64 floating iinfo inf int16 int32 int64 int8 integer issubdtype nan newaxis pi uint16
    uint32 uint64 uint8
""".split()


class Module(ModuleType):
    def __getattr__(self, name):
        raise AttributeError(f"module 'cupy' has no attribute {name!r} (the stand-in of the tests: add it there if CuPy has it)")


def make():
    """The module."""
    cupy = Module("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.__version__, cupy.ndarray, cupy.RawModule, cupy.transfers, cupy.launches = "14.2.0", ndarray, gpu.RawModule, transfers, []
    for name in FUNCTIONS:
        setattr(cupy, name, _function(name))
    for name in SHARED:
        setattr(cupy, name, getattr(np, name))
    cupy.asarray, cupy.array, cupy.asnumpy, cupy.get_array_module = _asarray, _array, _asnumpy, lambda *_: cupy
    cupy.get_default_memory_pool = lambda: cupy.pool
    cupy.pool = SimpleNamespace(free_all_blocks=lambda: None, used_bytes=lambda: 0, total_bytes=lambda: 0,
                                set_limit=lambda size=None, fraction=None: None)
    runtime = SimpleNamespace(
        CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}), getDeviceCount=lambda: 1, runtimeGetVersion=lambda: 12090,
        driverGetVersion=lambda: 13000, getDeviceProperties=lambda _: {"name": b"a stand-in", "totalGlobalMem": 8 << 30})
    device = SimpleNamespace(id=0, mem_info=(6 << 30, 8 << 30), synchronize=lambda: None, compute_capability="75")
    cupy.cuda = SimpleNamespace(
        runtime=runtime, Device=lambda device_id=None: device, is_available=lambda: True,
        memory=SimpleNamespace(OutOfMemoryError=type("OutOfMemoryError", (MemoryError,), {})))
    return cupy


@contextmanager
def installed(folder):
    """`import cupy` finds a fresh stand-in inside the block; what g++ compiles is kept in the folder."""
    before, gpu.cache = sys.modules.get("cupy"), folder
    cupy = sys.modules["cupy"] = make()
    transfers.made.clear()
    cupy.launches = gpu.launches = []
    _forget()
    try:
        yield cupy
    finally:
        _forget()
        del sys.modules["cupy"]
        if before is not None:
            sys.modules["cupy"] = before


def _forget():
    """What the package remembers of the CuPy that it met."""
    for normaliser in NAMED.values():
        vars(normaliser).pop("_on_device", None)
    backend._usable.pop("cupy", None)
    for key in [key for key in backend._modules if key[1] == "cupy"]:
        del backend._modules[key]
    device.forget()


def _function(name):
    def function(*args, **kwargs):
        result = getattr(np, name)(*map(unwrap, args), **{key: unwrap(value) for key, value in kwargs.items()})
        return wrap(np.asarray(result)) if isinstance(result, int | float) else wrap(result)

    function.__name__ = name
    return function


def _asarray(a, dtype=None, order=None):
    if isinstance(a, ndarray):
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)
    return _array(a, dtype, order=order)


def _array(a, dtype=None, copy=True, order="K"):
    if isinstance(a, ndarray):
        return a.astype(dtype or a.dtype)
    transfers.note("to device", f"asarray {np.shape(a)}")
    return wrap(np.array(a, dtype, order=order or "K"))


def _asnumpy(a):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


__all__ = ["Transfers", "installed", "make", "ndarray", "wrap"]
