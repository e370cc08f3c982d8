import math

import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.optim import CosineSchedule, OneCycle, StepSchedule

pytestmark = pytest.mark.nojit


def test_paper_divides_by_ten_after_32k_and_48k_steps():
    """He et al. 2015, section 4.2."""
    schedule = StepSchedule(0.1, milestones=(32_000, 48_000))
    rates = {1: 0.1, 32_000: 0.1, 32_001: 0.01, 48_000: 0.01, 48_001: 0.001, 64_000: 0.001}
    assert {t: pytest.approx(schedule(t)) for t in rates} == rates


def test_paper_warms_resnet_110_up_at_a_constant_rate():
    schedule = StepSchedule(0.1, milestones=(32_000, 48_000), warmup=400, warmup_lr=0.01)
    assert [schedule(t) for t in (1, 400, 401)] == [0.01, 0.01, 0.1]


def test_one_cycle_is_the_yardstick_s():
    """The formula of shared/peers/torch_train.py, over ten epochs of 351 steps."""
    total, warm = 3510, 877
    schedule = OneCycle(0.04, 0.4, 0.0004, total=total, warmup=warm)
    for t in range(1, total + 1):
        expected = 0.04 + 0.36 * t / warm if t < warm else 0.4 + (0.0004 - 0.4) * (t - warm) / (total - warm)
        assert schedule(t) == pytest.approx(expected, rel=1e-12)
    assert schedule(warm) == 0.4
    assert schedule(total) == pytest.approx(0.0004)


def test_one_cycle_without_warm_up_falls_from_the_start():
    schedule = OneCycle(0.0, 0.02, 0.0, total=4, warmup=0)
    assert [schedule(t) for t in (1, 2, 3, 4)] == pytest.approx([0.015, 0.01, 0.005, 0.0])


def test_cosine():
    schedule = CosineSchedule(0.2, total=110, warmup=10, final=0.01)
    assert [schedule(t) for t in (1, 5, 10)] == pytest.approx([0.02, 0.1, 0.2])
    assert schedule(60) == pytest.approx(0.105)  # half-way
    assert schedule(35) == pytest.approx(0.01 + 0.19 * (1 + math.cos(math.pi / 4)) / 2)
    assert schedule(110) == pytest.approx(0.01)
    falling = [schedule(t) for t in range(10, 111)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("schedule", [
    StepSchedule(np.float64(0.1), (5,), gamma=np.float64(0.1), warmup=1, warmup_lr=np.float64(0.01)),
    CosineSchedule(np.float64(0.1), 10, warmup=2), OneCycle(np.float64(0.04), 0.4, 0.0004, 10, 2)])
def test_rates_are_plain_floats(schedule):
    """A NumPy float64 scalar would turn float32 weights into float64."""
    assert {type(schedule(t)) for t in range(1, 11)} == {float}


def test_schedules_are_values():
    assert OneCycle(0.04, 0.4, 0.0, 10, 2) == OneCycle(0.04, 0.4, 0.0, 10, 2) != OneCycle(0.04, 0.4, 0.0, 10, 3)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: StepSchedule(0.1, (10, 5)), "milestones must rise"),
    (lambda: StepSchedule(0.1, (), warmup=5), "a warm-up needs steps and a rate, got 5 and None"),
    (lambda: StepSchedule(-0.1, ()), "lr must be finite and not negative, got -0.1"),
    (lambda: CosineSchedule(math.nan, 10), "lr must be finite"),
    (lambda: CosineSchedule(0.1, 10, warmup=10), "got warmup 10 of 10 steps"),
    (lambda: OneCycle(0.1, 0.2, 0.0, 10, -1), "got warmup -1 of 10 steps"),
    (lambda: StepSchedule(0.1, ())(0), "step 0 is outside 1"),
    (lambda: CosineSchedule(0.1, 10)(11), "step 11 is outside 1 … 10"),
    (lambda: OneCycle(0.1, 0.2, 0.0, 10, 2)(11), "step 11 is outside 1 … 10"),
])
def test_wrong_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()
