"""The stand-in's array: CuPy's `ndarray` over one of NumPy's, strict about what crosses between the device and the computer.

As in CuPy, an implicit conversion to NumPy and arithmetic with an array of NumPy raise TypeError, and a reduction gives a 0-d array
that stays on the device. Two things are stricter, on purpose: NumPy's functions (np.sqrt(x), np.float32(2) * x) refuse the array,
where CuPy would answer with its own, and what CuPy copies without a word (bool(x), float(x), boolean indices) is noted.
"""

import sys
from types import SimpleNamespace

import numpy as np


class Transfers:
    """What crossed between device and computer: a list of (direction, what, "file.py:line")."""

    def __init__(self):
        self.made = []

    def note(self, direction, what):
        frame = sys._getframe(1)
        while frame and ("/standin/" in frame.f_code.co_filename or frame.f_code.co_filename.endswith("resnet_np/backend.py")):
            frame = frame.f_back
        self.made.append((direction, what, f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"))

    @property
    def to_host(self):
        return sum(direction == "to host" for direction, *_ in self.made)

    @property
    def to_device(self):
        return sum(direction == "to device" for direction, *_ in self.made)


transfers = Transfers()


class Flags:
    """CuPy's know these three; `writeable` is none of them."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous, self.owndata = flags.c_contiguous, flags.f_contiguous, flags.owndata


class ndarray:
    __module__ = "cupy"
    __hash__ = None

    def __init__(self, shape, dtype=float):
        self._host = np.empty(shape, dtype)

    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host.flags))
    T = property(lambda self: wrap(self._host.T))
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))

    @property
    def shape(self):
        return self._host.shape

    @shape.setter
    def shape(self, shape):
        self._host.shape = shape

    # The ways to the computer
    def get(self):
        transfers.note("to host", f"get {self.shape}")
        return self._host.copy()

    def _read(self, how):
        transfers.note("to host", how)
        return self._host

    def item(self, *args):
        return self._read("item").item(*args)

    def tolist(self):
        return self._read("tolist").tolist()

    def tobytes(self):
        return self._read("tobytes").tobytes()

    def __bool__(self):
        return bool(self._read("bool"))

    def __int__(self):
        return int(self._read("int"))

    def __float__(self):
        return float(self._read("float"))

    def __repr__(self):
        return repr(self._read("repr"))

    def __str__(self):
        return str(self._read("str"))

    def __format__(self, spec):
        return format(self.item() if self.ndim == 0 else str(self), spec)

    def __reduce__(self):
        return wrap, (self.get(),)

    # The ways that are closed
    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
                        "explicitly.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        raise TypeError(f"numpy.{ufunc.__name__} of an array on the device: use CuPy's, or an operator with the array first")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} of an array on the device: use CuPy's")

    # What arrays do
    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (wrap(row) for row in self._host)

    def __getitem__(self, key):
        return wrap(self._host[_index(key)])

    def __setitem__(self, key, value):
        self._host[_index(key)] = unwrap(value)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, _):
        return self.copy()

    def copy(self, order="C"):
        return wrap(self._host.copy(order))

    def astype(self, dtype, order="K", casting="unsafe", subok=None, copy=True):
        return self if not copy and self.dtype == dtype else wrap(self._host.astype(dtype, order))

    def fill(self, value):
        self._host.fill(unwrap(value))


def wrap(value):
    """What NumPy answered, as CuPy would: arrays and scalars as arrays on the device."""
    if isinstance(value, tuple | list):
        return type(value)(map(wrap, value))
    if not isinstance(value, np.ndarray | np.generic | bool):
        return value
    array = ndarray.__new__(ndarray)
    array._host = np.asarray(value)
    return array


def unwrap(value):
    """What NumPy is to compute with. An array of NumPy is refused, as CuPy refuses it; its scalars may take part."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    if isinstance(value, tuple | list):
        return type(value)(map(unwrap, value))
    return value._host if isinstance(value, ndarray) else value


def _index(key):
    """An index; arrays on the device may be among it. CuPy copies a list of NumPy's, and waits for the device for a mask."""
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    if isinstance(key, list | np.ndarray):
        transfers.note("to device", "an index")
        return np.asarray(key)
    if isinstance(key, ndarray) and key.dtype == bool and key.ndim:
        return key._read("a boolean index")
    return unwrap(key)


def _operator(name):
    def method(self, *others):
        others = tuple(map(unwrap, others))
        result = getattr(self._host, name)(*others)
        return result if result is NotImplemented else wrap(result)

    return method


def _in_place(name):
    def method(self, other):
        getattr(self._host, name)(unwrap(other))
        return self

    return method


def _method(name, parameters):
    """One of NumPy's methods, with the parameters that CuPy's has and no others."""

    def method(self, *args, **kwargs):
        unknown = set(kwargs) - set(parameters.split())
        if unknown:
            raise TypeError(f"{name}() got an unexpected keyword argument {unknown.pop()!r}")
        out = kwargs.get("out")
        result = getattr(self._host, name)(*map(unwrap, args), **{key: unwrap(value) for key, value in kwargs.items()})
        return wrap(result) if out is None else out

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(ndarray, f"__r{_name}__", _operator(f"__r{_name}__"))
    if _name != "matmul":  # not in CuPy
        setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in ("lt", "le", "eq", "ne", "gt", "ge", "neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _names, _parameters in {
    "sum prod mean": "axis dtype out keepdims", "var std": "axis dtype out ddof keepdims", "max min any all": "axis out keepdims",
    "argmax argmin": "axis out dtype keepdims", "cumsum": "axis dtype out", "argsort": "axis", "sort": "axis",
    "clip": "min max out", "round": "decimals out", "dot": "b out", "reshape": "order", "ravel flatten": "order",
    "transpose swapaxes view nonzero": "", "squeeze": "axis", "take": "indices axis out", "repeat": "repeats axis",
}.items():
    for _name in _names.split():
        setattr(ndarray, _name, _method(_name, _parameters))
