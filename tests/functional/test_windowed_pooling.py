"""Max and average pooling of windows."""

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward
from resnet_np.gradcheck import check_entries, require

# x shape, k, stride, pad: ImageNet's stem, overlapping and separate windows, odd sizes, a window as large as the map, gaps
CASES = [((1, 2, 12, 12), 3, 2, 1), ((2, 2, 7, 9), 3, 2, 1), ((1, 2, 6, 6), 2, 2, 0), ((2, 1, 5, 8), 3, 1, 0),
         ((1, 1, 4, 4), 4, 1, 2), ((2, 2, 7, 7), 2, 3, 1), ((1, 3, 1, 1), 1, 1, 0), ((3, 1, 2, 5), 2, 1, 1)]
# Many maps of few windows of 2x2, which are compared together, a single window, and a map of more than are.
TOGETHER = [((5, 7, 6, 7), 2, 2, 0), ((2, 1, 2, 3), 2, 2, 0), ((1, 2, 34, 35), 2, 2, 0)]
cases = pytest.mark.parametrize(("shape", "k", "stride", "pad"), CASES, ids=str)
unpadded = pytest.mark.parametrize(("shape", "k", "stride"), [(shape, k, stride) for shape, k, stride, _ in CASES
                                                              if k <= min(shape[2:])], ids=str)


def size(shape, k, stride, pad):
    return (*shape[:2], *((side + 2 * pad - k) // stride + 1 for side in shape[2:]))


def run_max(x, dout, k, stride, pad):
    out, cache = max_pool_forward(x, k=k, stride=stride, pad=pad)
    return out, cache.winners, max_pool_backward(dout, cache)


def run_average(x, dout, k, stride):
    out, cache = average_pool_forward(x, k=k, stride=stride)
    return out, average_pool_backward(dout, cache)


@pytest.mark.parametrize(("shape", "k", "stride", "pad"), CASES + TOGETHER, ids=str)
def test_max_backends_agree(fast_backend, shape, k, stride, pad, dtype, draw, close, same_twice):
    x, dout = draw(*shape, dtype=dtype), draw(*size(shape, k, stride, pad), dtype=dtype)
    out, winners, dx = same_twice(lambda: run_max(x, dout, k, stride, pad))
    with using("loops"):
        oracle = run_max(x, dout, k, stride, pad)
    np.testing.assert_array_equal(out, oracle[0])
    np.testing.assert_array_equal(winners, oracle[1])
    assert winners.dtype == np.int32
    close(dx, oracle[2], float32=1e-6)


@unpadded
def test_average_backends_agree(fast_backend, shape, k, stride, dtype, draw, close, same_twice):
    x, dout = draw(*shape, dtype=dtype), draw(*size(shape, k, stride, 0), dtype=dtype)
    ours = same_twice(lambda: run_average(x, dout, k, stride))
    with using("loops"):
        oracle = run_average(x, dout, k, stride)
    for a, b in zip(ours, oracle, strict=True):
        close(a, b, float32=1e-6)


@pytest.mark.peer
@cases
def test_max_pytorch_agrees(backend, shape, k, stride, pad, dtype, draw, close, torch):
    x, dout = draw(*shape, dtype=dtype), draw(*size(shape, k, stride, pad), dtype=dtype)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    expected = torch.nn.functional.max_pool2d(tx, k, stride, pad)
    expected.backward(torch.from_numpy(dout.copy()))
    out, _, dx = run_max(x, dout, k, stride, pad)
    np.testing.assert_array_equal(out, expected.detach().numpy())
    close(dx, tx.grad.numpy())


@pytest.mark.peer
@unpadded
def test_average_pytorch_agrees(backend, shape, k, stride, dtype, draw, close, torch):
    x, dout = draw(*shape, dtype=dtype), draw(*size(shape, k, stride, 0), dtype=dtype)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    expected = torch.nn.functional.avg_pool2d(tx, k, stride)
    expected.backward(torch.from_numpy(dout.copy()))
    out, dx = run_average(x, dout, k, stride)
    close(out, expected.detach().numpy())
    close(dx, tx.grad.numpy())


@cases
def test_max_gradient(backend, shape, k, stride, pad, spaced, draw):
    """Values at least 2 / count apart: no small step changes a winner."""
    x, dout = spaced(*shape), draw(*size(shape, k, stride, pad))
    dx = run_max(x, dout, k, stride, pad)[2]
    require(check_entries(lambda x: max_pool_forward(x, k=k, stride=stride, pad=pad)[0], {"x": x}, {"x": dx}, upstream=dout))


@unpadded
def test_average_gradient(backend, shape, k, stride, draw):
    x, dout = draw(*shape), draw(*size(shape, k, stride, 0))
    require(check_entries(lambda x: average_pool_forward(x, k=k, stride=stride)[0], {"x": x},
                          {"x": run_average(x, dout, k, stride)[1]}, upstream=dout))


def test_of_equal_pixels_the_first_wins(backend):
    """And the gradient goes to it alone: sent to every maximum, it would be counted four times."""
    out, winners, dx = run_max(np.ones((1, 1, 2, 2)), np.full((1, 1, 1, 1), 5.0), 2, 2, 0)
    assert (out.item(), winners.item()) == (1, 0)
    np.testing.assert_array_equal(dx[0, 0], [[5, 0], [0, 0]])


def test_padding_never_wins(backend, dtype):
    """A padding of zeros would win against these."""
    x = np.full((1, 1, 3, 3), -2, dtype)
    out, winners, dx = run_max(x, np.ones((1, 1, 2, 2), dtype), 3, 2, 1)
    np.testing.assert_array_equal(out, np.full((1, 1, 2, 2), -2))
    np.testing.assert_array_equal(winners[0, 0], [[0, 1], [3, 4]])
    assert dx.sum() == 4
    out, winners, _ = run_max(np.full((1, 1, 3, 3), -np.inf, dtype), np.ones((1, 1, 2, 2), dtype), 3, 2, 1)
    assert np.isneginf(out).all()
    np.testing.assert_array_equal(winners[0, 0], [[0, 1], [3, 4]])  # of equals the first pixel, and padding is none


def test_a_pixel_that_wins_twice_collects_both(backend):
    x = np.zeros((1, 1, 1, 3))
    x[0, 0, 0, 1] = 1
    x = np.repeat(x, 2, axis=2)
    out, _, dx = run_max(x, np.array([[[[2.0, 3.0]]]]), 2, 1, 0)
    assert out.tolist() == [[[[1, 1]]]]
    np.testing.assert_array_equal(dx[0, 0], [[0, 5, 0], [0, 0, 0]])


def test_nan_passes_through(backend, dtype):
    for place in range(4):
        x = np.zeros((1, 1, 2, 2), dtype)
        x[0, 0].flat[place] = np.nan
        out, cache = max_pool_forward(x, k=2, stride=2)
        assert np.isnan(out).all() and cache.winners.item() == place
        assert np.isnan(average_pool_forward(x, k=2, stride=2)[0]).all()


@pytest.mark.nojit
@pytest.mark.parametrize(("call", "message"), [
    (lambda x: max_pool_forward(x, k=3, stride=2, pad=2), "max_pool: pad is 2 for a 3x3 window, expected at most half of it"),
    (lambda x: max_pool_forward(x, k=9, stride=2), r"max_pool: a 9x9 window does not fit into 4x5 pixels padded by 0"),
    (lambda x: max_pool_forward(x, k=0, stride=2), "max_pool: k is 0, expected one whole number >= 1"),
    (lambda x: average_pool_forward(x, k=5, stride=2), r"average_pool: a 5x5 window does not fit into 4x5 pixels"),
    (lambda x: average_pool_forward(x, k=2, stride=1.5), "average_pool: stride is 1.5"),
    (lambda x: average_pool_forward(x[0], k=2, stride=1), r"average_pool: x has 3 axes, expected 4 \(N, C, H, W\)"),
    (lambda x: max_pool_backward(x, max_pool_forward(x, k=2, stride=2)[1]), r"dout is float64 \(2, 3, 4, 5\), expected float64 "
     r"\(2, 3, 2, 2\)"),
    (lambda x: average_pool_backward(x, average_pool_forward(x, k=2, stride=2)[1]), r"expected float64 \(2, 3, 2, 2\)"),
])
def test_errors_name_both_sides(call, message):
    with using("numpy"), pytest.raises(InputError, match=message):
        call(np.ones((2, 3, 4, 5)))
