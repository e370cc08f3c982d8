"""What every pair checks at its border: type, dtype, number of axes, sizes that must agree.

Shapes are written in the letters of the docstrings: `arrays("conv2d", x=(x, "N C H W"), w=(w, "F C KH KW"))` demands
four axes of each and the same number of channels C in both. What has the axes N C H W (or N F OH OW), or any shape ("..."), is
maps: those may be bf16, and the others are float32 then.
"""

import numpy as np

from resnet_np.backend import namespace, on_device
from resnet_np.errors import InputError
from resnet_np.precision import BF16

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
MAPS = ("N C H W", "N F OH OW", "...")
WORDS = {"N": "images", "C": "channels", "F": "filters", "H": "rows", "W": "columns", "KH": "kernel rows",
         "KW": "kernel columns", "I": "input features", "O": "output features", "K": "classes"}


def arrays(operation: str, **named: tuple[np.ndarray, str]) -> list[np.ndarray]:
    """Check float arrays against their letters ("..." is any shape); return them as `ready` does, in order.

    Raises InputError if one is not a NumPy (or CuPy) array of float32 or float64 (maps: or bf16), if dtypes or sizes differ, if one
    is empty, or if some are on the device and some are not.
    """
    sizes: dict[str, tuple[int, str]] = {}  # letter -> size, and the array that set it
    for name, (array, letters) in named.items():
        _check_float(operation, name, array, letters in MAPS)
        axes = [""] * array.ndim if letters == "..." else letters.split()
        if len(axes) != array.ndim:
            raise InputError(f"{operation}: {name} has {array.ndim} axes, expected {len(axes)} ({', '.join(axes)}): "
                             f"{_shapes(named)}")
        for letter, size in zip(axes, array.shape, strict=True):
            if size == 0:
                raise InputError(f"{operation}: {name} is empty, expected at least one value along every axis: {_shapes(named)}")
            known, owner = sizes.setdefault(letter, (size, name)) if letter else (size, name)
            if known != size:
                raise InputError(f"{operation}: {owner} has {known} {WORDS[letter]} but {name} expects {size}: {_shapes(named)}")
    arrays = [array for array, _ in named.values()]
    in_bf16 = any(array.dtype == BF16 for array in arrays)
    if any(array.dtype != ((BF16 if letters in MAPS else np.float32) if in_bf16 else arrays[0].dtype)
           for array, letters in named.values()):
        expected = "maps in bfloat16 and the rest in float32" if in_bf16 else "all float32 or all float64"
        raise InputError(f"{operation}: dtypes differ, expected {expected}: "
                         + ", ".join(f"{name} {array.dtype}" for name, (array, _) in named.items()))
    if len({on_device(array) for array in arrays}) > 1:
        raise InputError(f"{operation}: expected all arrays on the device or all in the computer's memory: "
                         + ", ".join(f"{name} {'on the device' if on_device(array) else 'in memory'}"
                                     for name, (array, _) in named.items()))
    return [ready(array) for array in arrays]


def _shapes(named: dict[str, tuple[np.ndarray, str]]) -> str:
    return ", ".join(f"{name} {array.shape if on_device(array) else np.shape(array)}" for name, (array, _) in named.items())


def gradient(operation: str, dout: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Check an upstream gradient against its forward pass's output; return it as `ready` does.

    Raises InputError if dout's type, shape or dtype is not that of `out`.
    """
    _check_float(operation, "dout", dout, dtype == BF16)
    if dout.shape != shape or dout.dtype != dtype:
        raise InputError(f"{operation}: dout is {dout.dtype} {dout.shape}, expected {dtype} {shape}, "
                         "like the output of the forward pass")
    return ready(dout)


def whole(operation: str, name: str, value: int, *, least: int) -> int:
    """Return `value` as an int. Raises InputError if it is not a whole number >= least."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{operation}: {name} is {value!r}, expected one whole number >= {least}")
    return int(value)


def ready(array: np.ndarray) -> np.ndarray:
    """The array as kernels want it: C-contiguous (in bf16 channels last), aligned, a plain ndarray; a copy only if it is not so.

    A read-only array is copied too: to Numba it is another type, and every kernel that met one would be compiled again.
    On the device C-contiguous is enough.
    """
    if array.dtype == BF16:
        channels_last = array.transpose(0, 2, 3, 1)
        contiguous = type(array) is np.ndarray and channels_last.flags.c_contiguous and array.flags.writeable
        return array if contiguous else channels_last.copy(order="C").transpose(0, 3, 1, 2)
    if on_device(array):
        return namespace(array).ascontiguousarray(array)
    flags = array.flags
    if type(array) is np.ndarray and flags.c_contiguous and flags.aligned and flags.writeable:
        return array
    return np.require(array, requirements=("C", "A", "W", "E"))


def _check_float(operation: str, name: str, array: np.ndarray, maps: bool) -> None:
    if not isinstance(array, np.ndarray) and not on_device(array):
        raise InputError(f"{operation}: {name} is a {type(array).__name__}, "
                         "expected a NumPy array of float32 or float64")
    if array.dtype not in FLOATS and not (maps and array.dtype == BF16 and array.ndim == 4):
        raise InputError(f"{operation}: {name} is {array.dtype}, expected float32 or float64; "
                         f"convert it with {name}.astype(np.float32)")
