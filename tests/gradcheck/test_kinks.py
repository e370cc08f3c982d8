"""Kinks are recognised by the masks, never by the size of an error."""

import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.gradcheck import Evaluation, check_directions, check_entries, check_pair, require
from resnet_np.gradcheck.differences import MOST_DRAWS, STEPS

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def kernels():
    with using("numpy"):
        yield


def relu(x):
    return Evaluation(np.maximum(x, 0), (x > 0,))


def slopes(x, upstream):
    return {"x": upstream * (x > 0)}


@pytest.mark.parametrize("distance", [3e-6, 3e-7, 3e-8])
def test_the_step_is_shortened_beside_a_kink(rng, distance):
    """At the first step the difference of a value 3e-6 above 0 would be half right and half wrong."""
    x, upstream = rng.standard_normal(50), rng.standard_normal(50)
    x[7], x[8] = distance, -distance
    (report,) = check_entries(relu, {"x": x}, slopes(x, upstream), upstream=upstream)
    assert (report.kinks, report.differences) == (0, 50)
    require([report])


@pytest.mark.parametrize("distance", [3e-6, 3e-8])
@pytest.mark.parametrize("slope", [0.0, 0.5, 1.001])
def test_a_wrong_derivative_beside_a_kink_is_rejected(rng, distance, slope):
    """Not excused for being near one: the error of 0.5 is what a step across the kink would give."""
    x, upstream = rng.standard_normal(50), 1 + rng.random(50)
    x[7] = distance
    analytic = slopes(x, upstream)
    analytic["x"][7] *= slope
    (report,) = check_entries(relu, {"x": x}, analytic, upstream=upstream)
    assert report.index == (7,) and report.error > 1e-4
    with pytest.raises(AssertionError, match="WRONG x"):
        require([report])


def test_without_masks_the_kink_is_an_error(rng):
    """Nothing is forgiven because it looks like a kink."""
    x, upstream = rng.standard_normal(50), 1 + rng.random(50)
    x[7] = 1e-6
    (report,) = check_entries(lambda x: np.maximum(x, 0), {"x": x}, slopes(x, upstream), upstream=upstream)
    assert report.index == (7,) and not report.passes(1e-6)


def test_at_most_one_entry_in_a_hundred_may_lie_on_a_kink(rng):
    upstream = rng.standard_normal(200)
    for count, passes in ((1, True), (2, True), (3, False)):
        x = rng.standard_normal(200)
        x[:count] = 0
        (report,) = check_entries(relu, {"x": x}, slopes(x, upstream), upstream=upstream)
        assert (report.kinks, report.differences, report.passes(1e-6)) == (count, 200 - count, passes)
    with pytest.raises(AssertionError, match="WRONG x: 3 of 200 entries lie on a kink, expected at most 1 %"):
        require([report])


def test_an_array_of_kinks_fails_and_says_so():
    (report,) = check_entries(relu, {"x": np.zeros(3)}, {"x": np.zeros(3)}, upstream=np.array([1.0, 2.0, 3.0]))
    assert not report.passes(1e-6) and "3 of 3 entries" in report.describe(1e-6)


def test_a_direction_is_drawn_again(rng):
    """A kink that half of all directions cross: x[0] = 0 is one whose mask changes only with a step upwards."""
    def f(x):
        return Evaluation(x**2, (np.array(x[0] + x[1] > 1e-9),))

    draws = []

    class Counting:
        def standard_normal(self, shape):
            draws.append(1)
            return np.array([1.0, 1.0]) if len(draws) % 3 else np.array([1.0, -1.0])

    x = np.zeros(2) + np.array([0.5, -0.5])
    (report,) = check_directions(f, {"x": x}, {"x": 2 * x * np.array([1.0, 3.0])}, upstream=np.array([1.0, 3.0]), rng=Counting(),
                                 directions=2)
    assert (report.differences, report.kinks, len(draws)) == (2, 4, 6)
    require([report])


def test_after_twenty_draws_the_check_fails(rng):
    calls = []

    def f(x):
        calls.append(1)
        return Evaluation(x, (np.array(len(calls)),))  # another mask at every call

    (report,) = check_directions(f, {"x": np.ones(3)}, {"x": np.ones(3)}, upstream=np.array([1.0, 2.0, 3.0]), rng=rng, directions=1)
    assert report.kinks == MOST_DRAWS and len(calls) == 1 + 2 * len(STEPS) * MOST_DRAWS
    assert not report.passes(1e-6) and "20 directions drawn" in report.describe(1e-6)


def test_pairs_report_their_masks(rng):
    """A value on either side of a ReLU's corner, and two pixels of a max pool nearer to each other than the first step."""
    x = rng.standard_normal((2, 3, 4))
    x[0, 0, 0], x[1, 1, 1] = 2e-6, -2e-7
    require(check_pair(F.relu_forward, lambda dout, cache: {"x": F.relu_backward(dout, cache)}, {"x": x}, rng=rng))
    x = rng.standard_normal((1, 1, 4, 4))
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 5, 5 + 1e-6
    require(check_pair(lambda x: F.max_pool_forward(x, k=2, stride=2),
                       lambda dout, cache: {"x": F.max_pool_backward(dout, cache)}, {"x": x}, rng=rng))


def test_a_skipped_entry_is_mentioned_and_must_be_finite(rng):
    x, upstream = rng.standard_normal(200), rng.standard_normal(200)
    x[0] = 0
    analytic = slopes(x, upstream)
    (report,) = check_entries(relu, {"x": x}, analytic, upstream=upstream)
    assert report.passes(1e-6) and "1 skipped" in report.describe(1e-6)
    analytic["x"][0] = np.nan
    (report,) = check_entries(relu, {"x": x}, analytic, upstream=upstream)
    assert not report.passes(1e-6) and "NaN or infinity" in report.describe(1e-6)
