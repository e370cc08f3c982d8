"""The one-standard-error rule, against its definition."""

import math

import pytest

from resnet_np.optim.selection import kept_epoch, standard_error

pytestmark = pytest.mark.nojit


def by_definition(right, n):
    """right (E,): pictures recognised after each epoch. In fractions, with a hair's breadth for rounding."""
    highest = max(right) / n
    bar = highest - math.sqrt(highest * (1 - highest) / n)
    return max(epoch for epoch, count in enumerate(right, 1) if count / n >= bar - 1e-12)


@pytest.mark.parametrize(("accuracies", "n", "epoch"), [
    ([0.5, 0.9, 0.8], 100, 2),  # the error at 90 % of 100 is 3 points
    ([0.5, 0.9, 0.87], 100, 3),  # exactly at the bar, which is within
    ([0.5, 0.9, 0.86], 100, 2),
    ([0.5, 0.9, 0.87], 10_000, 2),  # the same accuracies, of more pictures: 0.3 points
    ([17 / 24, 11 / 24, 12 / 24, 15 / 24], 24, 4),  # the error at 71 % of 24 is 9 points
    ([0.4, 0.6, 0.6], 5000, 3),  # of equal ones the latest
    ([0.2], 20, 1),
    ([0.0, 0.0], 20, 2), ([1.0, 1.0, 0.95], 20, 2),  # nothing and everything have no error
])
def test_the_latest_within_one_standard_error(accuracies, n, epoch):
    assert kept_epoch(accuracies, n) == epoch


@pytest.mark.parametrize("n", [1, 7, 20, 64, 1000])
def test_the_definition(n, rng):
    for _ in range(300):
        right = rng.integers(0, n + 1, rng.integers(1, 12))
        assert kept_epoch((right / n).tolist(), n) == by_definition(right, n), right


@pytest.mark.parametrize("n", [20, 300])
def test_a_run_that_goes_on_keeps_the_same_epoch(n, rng):
    """A run has the weights of two epochs, the new one and that which it has kept: it must be answered one of them."""
    for _ in range(300):
        accuracies = (rng.integers(0, n + 1, 10) / n).tolist()
        kept = [kept_epoch(accuracies[:epoch], n) for epoch in range(1, 11)]
        assert all(now in (before, epoch) for epoch, (before, now) in enumerate(zip(kept, kept[1:], strict=False), 2))


def test_standard_error():
    assert standard_error(0.9, 100) == pytest.approx(0.03)
    assert standard_error(0.5, 24) == pytest.approx(0.102, abs=1e-3)
    assert standard_error(1.0, 24) == standard_error(0.0, 24) == 0
