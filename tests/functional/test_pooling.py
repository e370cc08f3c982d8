"""The mean and the largest pixel of whole maps."""

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import (
    global_average_pool_backward,
    global_average_pool_forward,
    global_max_pool_backward,
    global_max_pool_forward,
)
from resnet_np.gradcheck import check_entries, require

shapes = pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 5, 3, 7), (3, 1, 1, 1)], ids=str)


def run(x, dout):
    out, cache = global_average_pool_forward(x)
    return out, global_average_pool_backward(dout, cache)


def run_max(x, dout):
    out, cache = global_max_pool_forward(x)
    return out, cache.winners, global_max_pool_backward(dout, cache)


@shapes
def test_backends_agree(fast_backend, shape, dtype, draw, close, same_twice):
    x, dout = draw(*shape, dtype=dtype), draw(*shape[:2], dtype=dtype)
    ours = same_twice(lambda: run(x, dout))
    with using("loops"):
        oracle = run(x, dout)
    for a, b in zip(ours, oracle, strict=True):
        close(a, b, float32=1e-6)


@pytest.mark.peer
@shapes
def test_pytorch_agrees(backend, shape, dtype, draw, close, torch):
    x, dout = draw(*shape, dtype=dtype), draw(*shape[:2], dtype=dtype)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    out = torch.nn.functional.adaptive_avg_pool2d(tx, 1).flatten(1)
    out.backward(torch.from_numpy(dout.copy()))
    ours, dx = run(x, dout)
    close(ours, out.detach().numpy())
    close(dx, tx.grad.numpy())


def test_gradient(backend, draw):
    x, dout = draw(2, 3, 2, 5), draw(2, 3)
    _, dx = run(x, dout)
    require(check_entries(lambda x: global_average_pool_forward(x)[0], {"x": x}, {"x": dx}, upstream=dout))


def test_every_pixel_has_the_same_share(backend):
    out, cache = global_average_pool_forward(np.arange(12.0).reshape(1, 2, 2, 3))
    assert out.tolist() == [[2.5, 8.5]]
    dx = global_average_pool_backward(np.array([[6.0, 12.0]]), cache)
    np.testing.assert_array_equal(dx[0], [np.full((2, 3), 1.0), np.full((2, 3), 2.0)])
    dx[0, 0, 0, 0] = 9  # fresh memory: a broadcast view would refuse, or change six pixels
    assert dx[0, 0, 0, 1] == 1


@pytest.mark.nojit
def test_errors_name_both_sides():
    with pytest.raises(InputError, match=r"global_average_pool: x has 2 axes, expected 4 \(N, C, H, W\): x \(2, 3\)"):
        global_average_pool_forward(np.ones((2, 3)))
    with using("numpy"):
        _, cache = global_average_pool_forward(np.ones((2, 3, 4, 4)))
    with pytest.raises(InputError, match=r"dout is float64 \(3, 2\), expected float64 \(2, 3\)"):
        global_average_pool_backward(np.ones((3, 2)), cache)


@shapes
def test_max_backends_agree(fast_backend, shape, dtype, draw, same_twice):
    x, dout = draw(*shape, dtype=dtype), draw(*shape[:2], dtype=dtype)
    ours = same_twice(lambda: run_max(x, dout))
    with using("loops"):
        oracle = run_max(x, dout)
    for a, b in zip(ours, oracle, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@pytest.mark.peer
@shapes
def test_max_pytorch_agrees(backend, shape, dtype, draw, torch):
    x, dout = draw(*shape, dtype=dtype), draw(*shape[:2], dtype=dtype)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    expected = torch.nn.functional.adaptive_max_pool2d(tx, 1).flatten(1)
    expected.backward(torch.from_numpy(dout.copy()))
    out, _, dx = run_max(x, dout)
    np.testing.assert_array_equal(out, expected.detach().numpy())
    np.testing.assert_array_equal(dx, tx.grad.numpy())


def test_max_gradient(backend, spaced, draw):
    """Values at least 2 / count apart: no small step changes a winner."""
    x, dout = spaced(2, 3, 2, 5), draw(2, 3)
    dx = run_max(x, dout)[2]
    require(check_entries(lambda x: global_max_pool_forward(x)[0], {"x": x}, {"x": dx}, upstream=dout))


def test_the_largest_pixel_wins_and_of_equals_the_first(backend, dtype):
    x = np.array([[[[1, 3, 2], [0, 3, -1]], [[-2, -2, -2], [-2, -2, -2]], [[-np.inf, 7, np.nan], [8, np.nan, 9]],
                   [[-np.inf] * 3] * 2]], dtype)
    out, winners, dx = run_max(x, np.array([[4, 5, 6, 7]], dtype))
    np.testing.assert_array_equal(out, [[3, -2, np.nan, -np.inf]])
    np.testing.assert_array_equal(winners, [[1, 0, 2, 0]])
    expected = [[0, 4, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0], [0, 0, 6, 0, 0, 0], [7, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(dx.reshape(4, 6), expected)


@pytest.mark.nojit
def test_errors_of_the_largest_pixel_name_both_sides():
    with pytest.raises(InputError, match=r"global_max_pool: x has 2 axes, expected 4 \(N, C, H, W\): x \(2, 3\)"):
        global_max_pool_forward(np.ones((2, 3)))
    with using("numpy"):
        _, cache = global_max_pool_forward(np.ones((2, 3, 4, 4)))
    with pytest.raises(InputError, match=r"dout is float64 \(2, 3, 1, 1\), expected float64 \(2, 3\)"):
        global_max_pool_backward(np.ones((2, 3, 1, 1)), cache)
