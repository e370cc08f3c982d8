import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import dropout_backward, dropout_forward
from resnet_np.gradcheck import check_entries, require


def run(x, dout, rate=0.3):
    out, cache = dropout_forward(x, rate=rate, rng=np.random.default_rng(5))
    return out, dropout_backward(dout, cache)


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 5, 5), (7,)], ids=str)
def test_backends_agree(fast_backend, shape, dtype, draw, same_twice):
    x, dout = draw(*shape, dtype=dtype), draw(*shape, dtype=dtype)
    ours = same_twice(lambda: run(x, dout))
    with using("loops"):
        oracle = run(x, dout)
    for a, b in zip(ours, oracle, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9])
def test_the_expectation_stays(backend, rate, dtype):
    """What is kept is divided by 1 - rate. The mean of n values has the deviation sqrt(rate / (1 - rate) / n)."""
    count = 20_000
    out, _ = dropout_forward(np.ones((count, 1), dtype), rate=rate, rng=np.random.default_rng(1))
    assert set(np.unique(out)) <= {dtype.type(0), dtype.type(1) / dtype.type(1 - rate)}
    assert abs(out.mean(dtype=np.float64) - 1) <= 5 * (rate / (1 - rate) / count) ** 0.5


def test_gradient(backend, draw):
    x, dout = draw(4, 5), draw(4, 5)
    dx = run(x, dout)[1]
    assert (dx == 0).any() and (dx != 0).any()
    require(check_entries(lambda x: run(x, dout)[0], {"x": x}, {"x": dx}, upstream=dout))


def test_forward_and_backward_drop_the_same_values(backend, draw):
    x = draw(10, 10)
    out, dx = run(x, np.ones((10, 10)))
    np.testing.assert_array_equal(out == 0, dx == 0)


def test_nan_passes_through(backend, dtype):
    out, _ = run(np.full((50, 1), np.nan, dtype), np.ones((50, 1), dtype))
    assert np.isnan(out).all()  # the dropped ones too, so that it is found in every step


@pytest.mark.nojit
@pytest.mark.parametrize("rate", [1, -0.1, float("nan")])
def test_rates_that_make_no_sense(rate):
    with using("numpy"), pytest.raises(InputError, match="dropout: rate is .*, expected a number of at least 0 and below 1"):
        run(np.ones((2, 2)), np.ones((2, 2)), rate)
    with using("numpy"), pytest.raises(InputError, match="dropout_backward: dout is float64"):
        run(np.ones((2, 2)), np.ones((2, 3)))
