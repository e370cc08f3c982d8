import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import checks

pytestmark = pytest.mark.nojit


def of(shape, dtype):
    return np.ones(shape).astype(dtype)


# Every forward function of the package, on arrays of one dtype.
CALLS = {
    "conv2d": lambda d: F.conv2d_forward(of((2, 3, 4, 4), d), of((5, 3, 3, 3), d))[0],
    "batchnorm": lambda d: F.batchnorm_forward(of((2, 3, 4, 4), d), of(3, d), of(3, d))[0],
    "batchnorm_frozen": lambda d: F.batchnorm_frozen_forward(of((2, 3, 4, 4), d), *[of(3, d)] * 4)[0],
    "conv_batchnorm": lambda d: F.conv_batchnorm_forward(of((2, 3, 4, 4), d), of((5, 3, 3, 3), d), *[of(5, d)] * 2, relu=True)[0],
    "conv_batchnorm_frozen": lambda d: F.conv_batchnorm_frozen_forward(
        of((2, 3, 4, 4), d), of((5, 3, 3, 3), d), *[of(5, d)] * 4, relu=True)[0],
    "bias": lambda d: F.bias_forward(of((2, 3, 4, 4), d), of(3, d))[0],
    "scale": lambda d: F.scale_forward(of((2, 3), d), factor=0.5)[0],
    "update_running": lambda d: F.update_running(*[of(3, d)] * 4, 8)[1],
    "relu": lambda d: F.relu_forward(of((2, 3), d))[0],
    "add": lambda d: F.add_forward(of((2, 3), d), of((2, 3), d)),
    "shortcut": lambda d: F.shortcut_forward(of((2, 3, 4, 4), d), channels=6, stride=2)[0],
    "global_average_pool": lambda d: F.global_average_pool_forward(of((2, 3, 4, 4), d))[0],
    "global_max_pool": lambda d: F.global_max_pool_forward(of((2, 3, 4, 4), d))[0],
    "max_pool": lambda d: F.max_pool_forward(of((2, 3, 4, 4), d), k=2, stride=2)[0],
    "average_pool": lambda d: F.average_pool_forward(of((2, 3, 4, 4), d), k=2, stride=2)[0],
    "dropout": lambda d: F.dropout_forward(of((2, 3), d), rate=0.5, rng=np.random.default_rng(0))[0],
    "linear": lambda d: F.linear_forward(of((2, 3), d), of((4, 3), d), of(4, d))[0],
    "softmax": lambda d: F.softmax(of((2, 3), d)),
    "softmax_cross_entropy": lambda d: F.softmax_cross_entropy_forward(of((2, 3), d), np.array([0, 1]))[0],
}
calls = pytest.mark.parametrize("operation", CALLS)


def test_no_operation_is_missing():
    """A new pair must join the tests of this file."""
    forwards = {name.removesuffix("_forward") for name in F.__all__ if not name.endswith(("_backward", "Cache", "Grads"))}
    assert forwards == set(CALLS) | {"round"}  # it changes the dtype: test_bf16.py


@calls
@pytest.mark.parametrize("kind", [np.float16, np.int64, np.uint8, np.complex64, ">f4", bool])
def test_other_dtypes_are_refused(operation, kind):
    with using("numpy"), pytest.raises(InputError) as error:
        CALLS[operation](kind)
    assert f"{operation}: " in str(error.value)
    assert f"is {np.dtype(kind)}, expected float32 or float64; convert it with" in str(error.value)


@calls
def test_dtype_is_kept(operation, dtype):
    with using("numpy"):
        assert CALLS[operation](dtype).dtype == dtype


def test_lists_are_refused():
    with pytest.raises(InputError, match="relu: x is a list, expected a NumPy array of float32 or float64"):
        F.relu_forward([1.0, -1.0])


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_subclasses_become_plain_arrays():
    """NumPy's matrix would turn the kernels' products of values into products of matrices."""
    with using("numpy"):
        out, _ = F.relu_forward(np.matrix([[1.0, -1.0]]))
    assert type(out) is np.ndarray


def test_an_array_that_is_ready_is_not_copied(rng):
    array = rng.standard_normal((2, 3))
    assert checks.ready(array) is array


def test_strided_misaligned_and_read_only_arrays_are_copied():
    raw = np.zeros(4 * 8 + 1, np.uint8)
    read_only = np.ones(4)
    read_only.setflags(write=False)
    for array in (np.ones((2, 2)).T[:, ::-1], raw[1:].view(np.float64), read_only):
        ready = checks.ready(array)
        assert ready.flags.c_contiguous
        assert ready.flags.aligned
        assert ready.flags.writeable
        np.testing.assert_array_equal(ready, array)


@pytest.mark.parametrize("value", [2.0, "2", None, True, (2, 2), 0])
def test_whole_numbers(value):
    assert checks.whole("op", "stride", np.int64(3), least=1) == 3
    with pytest.raises(InputError) as error:
        checks.whole("op", "stride", value, least=1)
    assert str(error.value) == f"op: stride is {value!r}, expected one whole number >= 1"
