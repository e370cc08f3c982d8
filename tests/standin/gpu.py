"""The stand-in's GPU: CuPy's RawModule, for which g++ compiles the CUDA source, with gpu.h in front, and ctypes calls it.

Every launch is checked against the kernel's own parameters: their number, each value's type and size, and that no array is written
through a `const` pointer's argument.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

HEADER = Path(__file__).with_name("gpu.h")
COMPILER = "g++"
OPTIONS = ("-std=c++20", "-O2", "-ffp-contract=off", "-shared", "-fPIC")  # warnings: test_nvcc.py

cache = None  # the folder of what was compiled
launches = []  # the name of every kernel that was launched


def compiler():
    return shutil.which(COMPILER)


class RawModule:
    def __init__(self, *, code, options=()):
        self._names = re.findall(r"__global__\s+void\s+(?:__launch_bounds__\(\w+\)\s+)?(\w+)", code)
        self._library = ctypes.CDLL(str(_compiled(code, self._names, options)))

    def get_function(self, name):
        if name not in self._names:
            raise AttributeError(f"no kernel {name} in the source, only {', '.join(self._names)}")
        return _Kernel(self._library, name)


class _Kernel:
    def __init__(self, library, name):
        self._name, self._launch, ask = name, library[f"launch_{name}"], library[f"parameters_{name}"]
        ask.restype = ctypes.c_char_p
        self._parameters = ask().decode().split()

    def __call__(self, grid, block, args):
        assert len(grid) == len(block) == 1 and 0 < block[0] <= 1024 and 0 < grid[0] < 2**31, (grid, block)
        if len(args) != len(self._parameters):
            raise TypeError(f"{self._name}: got {len(args)} arguments, expected {' '.join(self._parameters)}")
        values = [_value(self._name, i, *pair) for i, pair in enumerate(zip(args, self._parameters, strict=True))]
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        launches.append(self._name)
        self._launch(ctypes.c_uint(grid[0]), ctypes.c_uint(block[0]), pointers)


def _value(kernel, i, argument, parameter):
    """The argument as an array of one value, which a pointer can point to."""
    what = f"{kernel}: argument {i} is"
    if isinstance(argument, np.generic):
        null = parameter[0] in "rw" and argument.dtype == np.uintp and argument == 0
        if not null and argument.dtype.str[1:] != parameter:
            raise TypeError(f"{what} {argument.dtype}, expected {parameter}")
        return np.asarray(argument).reshape(1)
    if type(argument).__module__ != "cupy":
        raise TypeError(f"{what} {type(argument)}, expected a CuPy array or a NumPy scalar")
    array = argument._host
    if parameter[0] not in "rw" or array.dtype.str[1:] != parameter[1:] or not array.flags.c_contiguous:
        raise TypeError(f"{what} an array of {array.dtype}, expected {parameter}, C-contiguous")
    if parameter[0] == "w" and not array.flags.writeable:
        raise TypeError(f"{what} read-only, and written")
    return np.array([array.ctypes.data], np.uintp)


def _compiled(code, names, options):
    """The library of the source, compiled unless it was before."""
    synchronises = "true" if "__syncthreads" in code else "false"
    source = code + "".join(
        f'\nextern "C" const char *parameters_{name}() {{ return gpu::parameters({name}); }}'
        f'\nextern "C" void launch_{name}(unsigned grid, unsigned block, void **values)'
        f' {{ gpu::launch<{synchronises}>({name}, grid, block, values); }}' for name in names)
    key = hashlib.sha256("\0".join((source, HEADER.read_text(), *OPTIONS, *options)).encode()).hexdigest()[:24]
    library = Path(cache) / f"{key}.so"
    if not library.exists():
        temporary = library.with_suffix(f".{os.getpid()}")
        command = [COMPILER, *OPTIONS, *options, "-include", str(HEADER), "-x", "c++", "-", "-o", str(temporary)]
        process = subprocess.run(command, input=source + "\n", capture_output=True, text=True)
        if process.returncode:
            raise RuntimeError(f"g++ does not compile the kernels: {process.stderr}")
        temporary.rename(library)
    return library
