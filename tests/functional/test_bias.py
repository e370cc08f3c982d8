import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import bias_backward, bias_forward, relu_backward, relu_forward
from resnet_np.gradcheck import check_entries, require

shapes = pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (3, 24, 31, 31)], ids=str)
relus = pytest.mark.parametrize("relu", [False, True])


def run(x, b, dout, relu):
    out, cache = bias_forward(x, b, relu=relu)
    return out, *bias_backward(dout, cache)


@shapes
@relus
def test_against_numpy(backend, shape, dtype, relu, draw):
    x, b, dout = draw(*shape, dtype=dtype), draw(shape[1], dtype=dtype), draw(*shape, dtype=dtype)
    out, dx, db = run(x, b, dout, relu)
    total = x + b[:, None, None]
    passes = total > 0 if relu else np.ones(shape, bool)
    np.testing.assert_array_equal(out, np.where(passes, total, 0))
    np.testing.assert_array_equal(dx, np.where(passes, dout, 0))
    np.testing.assert_allclose(db, np.where(passes, dout, 0).sum((0, 2, 3)), rtol=0,
                               atol=np.finfo(dtype).eps * 4 * np.abs(dout).sum((0, 2, 3)).max())
    assert out.dtype == dx.dtype == db.dtype == dtype


@shapes
def test_with_relu_it_is_the_two_pairs(fast_backend, shape, dtype, draw, same_twice):
    x, b, dout = draw(*shape, dtype=dtype), draw(shape[1], dtype=dtype), draw(*shape, dtype=dtype)
    ours = same_twice(lambda: run(x, b, dout, True))
    plain, cache = bias_forward(x, b)
    out, relu = relu_forward(plain)
    np.testing.assert_array_equal(ours[0], out)
    dx, db = bias_backward(relu_backward(dout, relu), cache)
    np.testing.assert_array_equal(ours[1], dx)
    np.testing.assert_allclose(ours[2], db, rtol=0, atol=np.finfo(dtype).eps * 4 * np.abs(dout).sum((0, 2, 3)).max())


@pytest.mark.peer
@relus
def test_pytorch_agrees(backend, dtype, relu, draw, torch):
    x, b, dout = draw(2, 3, 4, 5, dtype=dtype), draw(3, dtype=dtype), draw(2, 3, 4, 5, dtype=dtype)
    tx, tb = (torch.from_numpy(array.copy()).requires_grad_() for array in (x, b))
    out = tx + tb.view(-1, 1, 1)
    out = torch.relu(out) if relu else out
    out.backward(torch.from_numpy(dout.copy()))
    ours, dx, db = run(x, b, dout, relu)
    np.testing.assert_array_equal(ours, out.detach().numpy())
    np.testing.assert_array_equal(dx, tx.grad.numpy())
    np.testing.assert_allclose(db, tb.grad.numpy(), rtol=np.finfo(dtype).eps * 100)


@relus
def test_gradient(backend, relu, draw, spaced):
    x, b, dout = spaced(2, 3, 3, 4), np.zeros(3), draw(2, 3, 3, 4)
    _, dx, db = run(x, b, dout, relu)
    require(check_entries(lambda x, b: bias_forward(x, b, relu=relu)[0], {"x": x, "b": b}, {"x": dx, "b": db}, upstream=dout))


def test_loops_too(dtype, draw):
    """The slow twin is that of batch norm's kernels."""
    x, b, dout = draw(2, 3, 4, 5, dtype=dtype), draw(3, dtype=dtype), draw(2, 3, 4, 5, dtype=dtype)
    with using("loops"):
        out, dx, db = run(x, b, dout, False)
    np.testing.assert_array_equal(out, x + b[:, None, None])
    np.testing.assert_array_equal(dx, dout)


def test_what_does_not_fit(backend, draw):
    with pytest.raises(InputError, match="3 channels but b expects 2"):
        bias_forward(draw(2, 3, 4, 4), draw(2))
    _, cache = bias_forward(draw(2, 3, 4, 4), draw(3))
    with pytest.raises(InputError, match="like the output"):
        bias_backward(draw(2, 3, 4, 5), cache)
