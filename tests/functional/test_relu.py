import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import relu_backward, relu_forward
from resnet_np.gradcheck import check_entries, require

shapes = pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1,), (3, 4), (1, 1, 1, 1)], ids=str)


def run(x, dout):
    out, cache = relu_forward(x)
    return out, relu_backward(dout, cache)


@shapes
def test_backends_agree(fast_backend, shape, dtype, draw, same_twice):
    x, dout = draw(*shape, dtype=dtype), draw(*shape, dtype=dtype)
    ours = same_twice(lambda: run(x, dout))
    with using("loops"):
        oracle = run(x, dout)
    for a, b in zip(ours, oracle, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.peer
@shapes
def test_pytorch_agrees(backend, shape, dtype, draw, torch):
    x, dout = draw(*shape, dtype=dtype), draw(*shape, dtype=dtype)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    out = torch.relu(tx)
    out.backward(torch.from_numpy(dout.copy()))
    ours, dx = run(x, dout)
    np.testing.assert_array_equal(ours, out.detach().numpy())
    np.testing.assert_array_equal(dx, tx.grad.numpy())


def test_gradient(backend, spaced, draw):
    x, dout = spaced(2, 3, 3, 4), draw(2, 3, 3, 4)
    _, dx = run(x, dout)
    require(check_entries(lambda x: relu_forward(x)[0], {"x": x}, {"x": dx}, upstream=dout))


def test_zero_nan_and_infinity(backend, dtype):
    x = np.array([-np.inf, -1, -0.0, 0, 1e-30, 2, np.inf, np.nan], dtype)
    out, cache = relu_forward(x)
    np.testing.assert_array_equal(out, np.array([0, 0, 0, 0, 1e-30, 2, np.inf, np.nan], dtype))
    dx = relu_backward(np.arange(1, 9).astype(dtype), cache)
    np.testing.assert_array_equal(dx, np.array([0, 0, 0, 0, 5, 6, 7, 8], dtype))


def test_gradients_that_are_nan_or_infinite_pass_where_x_was_positive_only(backend, dtype):
    _, cache = relu_forward(np.array([-1, -1, 1, 1], dtype))
    dx = relu_backward(np.array([np.nan, np.inf, np.nan, np.inf], dtype), cache)
    np.testing.assert_array_equal(dx, [0, 0, np.nan, np.inf])


def test_dout_is_left_for_the_shortcut(backend, dtype):
    out, cache = relu_forward(np.array([-1, 1], dtype))
    dout = np.array([3, 4], dtype)
    dx = relu_backward(dout, cache)
    assert dout.tolist() == [3, 4]
    assert dx.tolist() == [0, 4]
    assert not np.shares_memory(dx, dout)
    assert cache.out is out  # nothing is kept that the next layer does not keep anyway


@pytest.mark.nojit
def test_errors_name_both_sides():
    with pytest.raises(InputError, match=r"relu: x is int64, expected float32 or float64; convert it with x.astype"):
        relu_forward(np.arange(3))
    with using("numpy"):
        _, cache = relu_forward(np.ones((2, 3)))
    with pytest.raises(InputError, match=r"relu_backward: dout is float64 \(3, 2\), expected float64 \(2, 3\)"):
        relu_backward(np.ones((3, 2)), cache)
