"""What this machine has for us, and what is missing. Each finding is a line: a topic, what was found, what to do."""

import importlib.util
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from resnet_np import backend
from resnet_np.errors import BackendError

PACKAGES = ("numpy", "numba", "llvmlite", "matplotlib", "tqdm", "Pillow", "safetensors", "pooch", "ml_dtypes")
Finding = tuple[str, str]


def findings() -> list[Finding]:
    """(topic, text) for everything but the data, which the command line adds."""
    return [
        ("python", f"{platform.python_version()}, {sys.executable}"),
        ("platform", platform.platform()),
        *_packages(),
        _backend(),
        *_numba(),
        _blas(),
        _cupy(),
    ]


def _packages() -> list[Finding]:
    found = []
    for package in ("resnet_np", *PACKAGES):
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, f"MISSING: python -m pip install {package}"))
    return found


def _backend() -> Finding:
    try:
        name = backend.current()
    except BackendError as error:
        name = f"CANNOT RUN: {error}"
    return "backend", f"{name} (${backend.VARIABLE} or --backend changes it: {', '.join(backend.FILES)})"


def _numba() -> list[Finding]:
    try:
        if importlib.util.find_spec("numba") is None or backend.current() != "numba":
            return []
    except BackendError:
        return []
    try:
        from resnet_np.kernels import compile, elementwise, micro, threads
    except BackendError as error:
        return [("numba", f"CANNOT RUN: {error}")]
    except ImportError as error:
        return [("numba", f"BROKEN ({error}): python -m pip install --force-reinstall numba llvmlite")]
    one = np.ones((1, 1), np.float32)
    elementwise.add(one, one)  # Numba chooses its threading layer when the first parallel kernel runs
    folder = compile.cache_folder()
    state = (
        "no folder can be written: kernels are compiled in every process; set NUMBA_CACHE_DIR to one"
        if folder is None
        else (f"{folder} ({'warm' if compile.is_warm() else 'empty: the first step takes about half a minute longer'})")
    )
    return [
        ("threads", f"{threads.count()} of {os.cpu_count()} cores (--threads changes it)"),
        ("threading layer", threads.layer()),
        ("bf16", f"multiplied by {micro.MICRO_KERNEL} (here: {', '.join(micro.supported())}; ${micro.VARIABLE} changes it)"),
        ("kernel cache", state),
    ]


def _blas() -> Finding:
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return "BLAS", f"{blas.get('name', 'unknown')} {blas.get('version', '')} (used by the numpy backend only)"


def _cupy() -> Finding:
    if importlib.util.find_spec("cupy") is None:
        return "CuPy", 'not installed; it is optional, for an NVIDIA GPU: python -m pip install ".[cuda13]" (or ".[cuda12]")'
    try:
        cupy = backend.cupy()
        free, total = cupy.cuda.Device().mem_info
        return "CuPy", (f"{cupy.__version__}, {backend.device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free "
                        "(--backend cupy)")
    except (BackendError, RuntimeError) as error:  # CUDA's are RuntimeErrors: a device that others hold, say
        return "CuPy", str(error)
