import functools
import os

import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import to_device, to_host, using

NOJIT = pytest.mark.nojit


def _running(name, request):
    if name == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run")
    if name == "cupy":
        _bridge(request)
    return using(name)


def _bridge(request):
    """Let the functions take NumPy's arrays and return them, while they compute on a GPU; where there is none, on its stand-in."""
    monkeypatch = request.getfixturevalue("monkeypatch")
    request.getfixturevalue("cupy")
    for name in F.__all__:
        if name.endswith(("forward", "backward", "softmax", "running")):
            bridged = _bridged(getattr(F, name), labels=name == "softmax_cross_entropy_forward")
            for module in (F, request.module):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, bridged)


def _bridged(function, *, labels):
    @functools.wraps(function)
    def there(*args, **kwargs):
        moved = [argument if labels and k else _moved(to_device, argument, {}) for k, argument in enumerate(args)]
        return _moved(to_host, function(*moved, **{name: _moved(to_device, value, {}) for name, value in kwargs.items()}), {})

    return there


def _moved(move, value, known):
    """Arrays, and those in tuples and caches, moved; an array that stands twice in one value stays one array there."""
    if isinstance(value, tuple):
        parts = [_moved(move, part, known) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.ndarray) or type(value).__module__ == "cupy":
        if id(value) not in known:
            known[id(value)] = value, move(value)
        return known[id(value)][1]
    return value


@pytest.fixture(params=[pytest.param("loops", marks=NOJIT), pytest.param("numpy", marks=NOJIT), "numba",
                        pytest.param("cupy", marks=NOJIT)])
def backend(request):
    """Every backend in turn."""
    with _running(request.param, request):
        yield request.param


@pytest.fixture(params=[pytest.param("numpy", marks=NOJIT), "numba", pytest.param("cupy", marks=NOJIT)])
def fast_backend(request):
    """The backends that are compared with the loops."""
    with _running(request.param, request):
        yield request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def draw(rng):
    """draw(*shape, dtype): random normal numbers, compared with a copy when the test is over.

    Not read-only: of a read-only array the border makes a copy, and a kernel that wrote into its argument would go
    unnoticed.
    """
    drawn = []

    def make(*shape, dtype=np.float64):
        array = rng.standard_normal(shape).astype(dtype)
        drawn.append((array, array.copy()))
        return array

    yield make
    for array, before in drawn:
        np.testing.assert_array_equal(array, before, err_msg="an argument was written")


@pytest.fixture
def spaced(rng):
    """spaced(*shape): float64 numbers from -1 to 1 in random order, none nearer to 0 than 1 / (their number + 1)."""

    def make(*shape):
        count = int(np.prod(shape))
        values = np.linspace(-1, 1, count + count % 2)[:count]
        array = rng.permutation(values).reshape(shape)
        array.setflags(write=False)
        return array

    return make


@pytest.fixture
def close():
    """close(ours, theirs): the same shape and dtype, and equal within a small part of the largest value.

    scale: take the part of this instead, for results that are small differences of large terms.
    """

    def compare(ours, theirs, *, scale=None, float32=1e-5, float64=1e-12):
        theirs = np.asarray(theirs)
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        tolerance = {"float32": float32, "float64": float64}[ours.dtype.name]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * (scale or max(np.abs(theirs).max(), 1e-30)))

    return compare


@pytest.fixture
def same_twice():
    """same_twice(f): f's arrays, after a second call gave the same bits."""

    def call(f):
        first, second = f(), f()
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
        return first

    return call
