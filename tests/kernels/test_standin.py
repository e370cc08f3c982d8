"""The stand-in for CuPy is as strict as the tests that use it believe."""

import copy
import math
import sys

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.errors import BackendError
from resnet_np.kernels import elementwise

pytestmark = pytest.mark.nojit

SOURCE = """
extern "C" __global__ void scale(long long count, REAL *out, const REAL *x, REAL factor)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = factor * x[i];
}
"""
REVERSE = """
extern "C" __global__ void reverse(int *x)
{
    __shared__ int copy[64];
    copy[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    WAIT
    x[blockIdx.x * blockDim.x + threadIdx.x] = copy[blockDim.x - 1 - threadIdx.x];
}
"""


@pytest.fixture
def x(cupy_standin):
    x = cupy_standin.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    cupy_standin.transfers.made.clear()
    return x


@pytest.mark.parametrize("mix", [
    np.asarray, np.array, np.sqrt, np.sum, np.float32, lambda x: x + np.ones(3), lambda x: np.ones(3) + x,
    lambda x: np.float32(2) * x, lambda x: np.concatenate([x, x]), lambda x: x.__setitem__(0, np.ones(3)), lambda x: range(x.sum()),
    lambda x: x.sum(where=True), lambda x: np.testing.assert_array_equal(x, x)])
def test_it_does_not_mix_with_numpy(x, mix):
    with pytest.raises(TypeError):
        mix(x)


def test_what_crosses_is_counted(cupy_standin, x):
    made = cupy_standin.transfers
    y = (2 * x + x.mean(axis=0)).reshape(3, 2).T @ x.T
    y[0] = 1
    y += cupy_standin.where(y > 0, np.float32(1), y)
    copy.deepcopy(y)
    assert type(y.sum()) is cupy_standin.ndarray and y.sum().shape == () and y.dtype == np.float32
    assert (made.to_host, made.to_device) == (0, 0)
    assert (float(x.sum()), int(x[0, 1]), bool(x.any()), x.max().item(), f"{x.sum():.1f}") == (15, 1, True, 5, "15.0")
    assert math.isfinite(x.sum()) and made.to_host == 6
    x.get(), cupy_standin.asnumpy(x), x[x > 1]
    assert made.to_host == 9 and made.to_device == 0
    cupy_standin.asarray(x)
    cupy_standin.asarray(np.ones(3))
    assert made.to_device == 1
    assert all(where.startswith("test_standin.py:") for _, _, where in made.made)


def test_a_name_that_cupy_lacks(cupy_standin):
    with pytest.raises(AttributeError, match="no attribute 'asfortranarray'"):
        cupy_standin.asfortranarray(np.ones(3))
    with pytest.raises(AttributeError):
        cupy_standin.zeros(3).setflags(write=False)


@pytest.mark.parametrize("threads", [2, 3, 64])
def test_the_threads_of_a_block_wait_for_each_other(cupy_standin, threads):
    for wait, reversed_ in (("__syncthreads();", True), ("", False)):
        x = cupy_standin.arange(3 * threads).astype(np.int32)
        cupy_standin.RawModule(code=REVERSE.replace("WAIT", wait)).get_function("reverse")((3,), (threads,), (x,))
        expected = np.arange(3 * threads).reshape(3, threads)[:, ::-1].ravel()
        assert np.array_equal(x.get(), expected) == reversed_, "a missing barrier must be seen"


def test_a_kernel_is_called_with_what_it_takes(cupy_standin, x):
    scale = cupy_standin.RawModule(code=SOURCE, options=("-DREAL=float",)).get_function("scale")
    out, f = cupy_standin.zeros(6, np.float32), np.float32
    scale((1,), (32,), (np.int64(6), out, x, f(2)))
    np.testing.assert_array_equal(out.get(), np.arange(6) * 2)
    read_only = cupy_standin.zeros(6, np.float32)
    read_only._host.setflags(write=False)
    for wrong in [(np.int64(6), out, x), (np.int32(6), out, x, f(2)), (np.int64(6), out, x, np.float64(2)), (6, out, x, f(2)),
                  (np.int64(6), out, x.T, f(2)), (np.int64(6), out, x.astype(np.float64), f(2)),
                  (np.int64(6), read_only, x, f(2)), (np.int64(6), np.zeros(6, np.float32), x, f(2))]:
        with pytest.raises(TypeError):
            scale((1,), (32,), wrong)


def test_the_backend_meets_it_and_forgets_it(cupy_standin, x):
    with backend.using("cupy"), backend.recorded() as files:
        assert backend.to_host(elementwise.add(x, x)).sum() == 30
    assert files == {"elementwise/cuda"} and backend.cupy() is cupy_standin is sys.modules["cupy"]


def test_hooks_make_it_fail(cupy_standin, monkeypatch):
    def fail():
        raise cupy_standin.cuda.runtime.CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    monkeypatch.setattr(cupy_standin.cuda.runtime, "getDeviceCount", fail)
    with pytest.raises(BackendError, match="no NVIDIA GPU that can be used here .*cudaErrorNoDevice"):
        backend.use("cupy")
    monkeypatch.setattr(cupy_standin.cuda.runtime, "getDeviceCount", lambda: 0)
    with pytest.raises(BackendError, match="lists no NVIDIA GPU"):
        backend.use("cupy")


def test_cupy_has_every_name(standin):
    """Runs where CuPy is installed; it needs no GPU for this."""
    cupy = pytest.importorskip("cupy")
    assert cupy.__spec__ is not None  # not the stand-in
    assert [name for name in (*standin.FUNCTIONS, *standin.SHARED, "RawModule", "asnumpy") if not hasattr(cupy, name)] == []
    assert [name for name in vars(standin.ndarray) if not name.startswith("_") and not hasattr(cupy.ndarray, name)] == []
    assert [name for name in vars(standin.ndarray) if name.startswith("__") and name != "__dict__" and name != "__weakref__"
            and not hasattr(cupy.ndarray, name)] == []
