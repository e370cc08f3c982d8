"""Lookahead's slow weights, against the sentence that defines them."""

import numpy as np
import pytest

from resnet_np.errors import CheckpointError, InputError
from resnet_np.optim import Lookahead

pytestmark = pytest.mark.nojit


def test_every_few_steps_both_become_their_mean(rng):
    w = rng.standard_normal(5)
    slow, lookahead = w.copy(), Lookahead({"w": w}, every=3, total=10)
    for t in range(1, 11):
        w += rng.standard_normal(5)  # a step of the optimiser
        before = w.copy()
        lookahead.step(t)
        if t % 3 == 0:
            keep = 0.95**3 * (t / 10) ** 3
            slow = keep * slow + (1 - keep) * before
            np.testing.assert_allclose(w, slow, rtol=1e-14)
        elif t < 10:
            np.testing.assert_array_equal(w, before)
    np.testing.assert_allclose(w, slow, rtol=1e-14)  # after the last step, which is not a third one


def test_the_first_replacement_forgets_nearly_all_of_the_start():
    assert Lookahead({"w": np.zeros(1)}, every=5, total=1000).share(5) < 1e-6


def test_the_yardsticks_own_rule(rng):
    """`../shared/peers/torch_airbench.py`: decay 0.95^5 (t / total)^3 every five steps; at the end the slow ones, as they are."""
    w, total = rng.standard_normal(4).astype(np.float32), 20
    lookahead, slow = Lookahead({"w": w}, every=5, total=total), w.astype(np.float64)
    alpha = 0.95**5 * (np.arange(total + 1) / total) ** 3
    for t in range(1, total + 1):
        w += rng.standard_normal(4).astype(np.float32)
        if t % 5 == 0:
            slow += (1 - alpha[t]) * (w - slow)
        lookahead.step(t)
        assert w.dtype == np.float32
    np.testing.assert_allclose(w, slow, rtol=1e-5)


def test_resumed_it_goes_on_with_the_same_bits(rng):
    def run(w, lookahead, steps):
        for t in steps:
            w += np.float32(t) * np.arange(6, dtype=np.float32)
            lookahead.step(t)

    w = rng.standard_normal(6).astype(np.float32)
    whole, half = w.copy(), w.copy()
    run(whole, Lookahead({"w": whole}, every=4, total=20), range(1, 21))
    first = Lookahead({"w": half}, every=4, total=20)
    run(half, first, range(1, 11))
    second = Lookahead({"w": half}, every=4, total=20)
    second.load_state(first.state())
    run(half, second, range(11, 21))
    np.testing.assert_array_equal(half, whole)


def test_a_state_that_does_not_fit_changes_nothing():
    lookahead = Lookahead({"w": np.zeros(3, np.float32)}, every=1, total=2)
    for state in ({}, {"v": np.ones(3, np.float32)}, {"w": np.ones(4, np.float32)}, {"w": np.ones(3)}):
        with pytest.raises(CheckpointError):
            lookahead.load_state(state)
    np.testing.assert_array_equal(lookahead.state()["w"], 0)


@pytest.mark.parametrize("every, total", [(0, 5), (3, 0), (-1, 5)])
def test_what_makes_no_sense(every, total):
    with pytest.raises(InputError, match="at least 1"):
        Lookahead({}, every=every, total=total)
