"""Runs on machines that are slower than they were measured."""

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.models import load_checkpoint
from resnet_np.training import RunFolder, loop, plan
from resnet_np.training.deadline import Deadline
from resnet_np.training.run import Run

pytestmark = pytest.mark.nojit

COUNT = plan.Pictures(72, 8, 40)


@pytest.fixture(autouse=True)
def numpy_backend(monkeypatch):
    monkeypatch.setattr(plan, "FIXED", 0.0)
    monkeypatch.setattr(plan, "EPOCH", 0.0)
    with backend.using("numpy"):
        yield


class Machine:
    """Where a step is planned to take 4 seconds with full-size pictures and 1 with smaller ones, and to evaluate a picture a
    hundredth; and what they really take."""

    def __init__(self, pace=lambda t: 1.0, evaluating=0.01, first=1):
        self.now, self.pace, self.evaluating, self.first = 100.0, pace, evaluating, first

    def go(self, run, deadline, every=1):
        """To the end of the run, as the loop goes; -> the seconds that it takes, test included."""
        start, steps, unread = self.now, run.loader.steps_per_epoch, []
        while run.progress.step < run.total:
            t = run.progress.step + 1
            unread.append((1.0 if t <= run.start_steps else 4.0) * self.pace(t))
            run.progress.step, self.now = t, self.now + unread[-1]
            if len(unread) == every or t % steps == 0 or t == run.total:
                deadline.took(run, len(unread), sum(unread))
                unread = []
            if t % steps == 0 or t == run.total:
                validation = self.evaluating * COUNT.validation * (self.first if t == steps else 1)
                run.progress.records.append({"seconds": 1.0 + validation, "training_seconds": 1.0})
                self.now += validation
        self.now += plan.other_seconds(self.evaluating, 0, run.total / steps, COUNT)
        return self.now - start


def planned(run):
    """The whole of it, and the speed of which that is reckoned."""
    quick = run.start_steps
    speed = plan.Speed((quick + 4 * (run.planned - quick)) / run.planned / run.batch_size, 0.01, 4.0)
    return plan.seconds_of(speed, run.planned / run.loader.steps_per_epoch, COUNT), speed


@pytest.fixture
def fast(recipe):
    """Forty epochs of nine steps, half of them with smaller pictures."""
    def make(**changes):
        return recipe(**({"epochs": 40, "batch_size": 8, "start_scale": 0.5, "start_share": 0.5, "final_factor": 0.0} | changes))
    return make


def test_a_machine_as_fast_as_it_was_takes_every_step(fast, pictures, folder):
    run = Run(fast(), pictures, folder)
    seconds, speed = planned(run)
    machine = Machine()
    assert machine.go(run, Deadline(100.0 + 1.001 * seconds, speed, COUNT, clock=lambda: machine.now)) == pytest.approx(seconds)
    assert run.progress.left_out == 0 and run.total == 360


@pytest.mark.parametrize(("pace", "share"), [
    (lambda t: 1.5, 0.5), (lambda t: 1.2 + 0.3 * (t % 2), 0.5), (lambda t: 2.0 if t > 100 else 1.0, 0.63),
    (lambda t: 1.7 if t > 250 else 1.0, 0.58)],
    ids=["from the start", "in turns", "with small pictures", "late"])
def test_a_slower_machine_ends_in_time(fast, pictures, folder, pace, share):
    run = Run(fast(), pictures, folder)
    seconds, speed = planned(run)
    machine = Machine(pace)
    took = machine.go(run, Deadline(100.0 + seconds, speed, COUNT, clock=lambda: machine.now))
    assert 0.95 * seconds < took < 1.01 * seconds
    assert 0 < run.progress.left_out < 200 and run.progress.step == run.total
    assert run.rate(run.total) == 0  # the schedule is gone through to its end
    assert run.start_steps / run.total == pytest.approx(share, abs=0.02)  # of what was left, neither size has paid for the other


def test_validation_that_takes_long_is_reckoned_with(fast, pictures, folder):
    """A validation lasts 24 seconds in place of 0.08, and is not over with the last step."""
    run = Run(fast(epochs=10), pictures, folder)
    speed, seconds = planned(run)[1], 1_700.0
    machine = Machine(evaluating=3.0)
    assert 0.9 * seconds < machine.go(run, Deadline(100.0 + seconds, speed, COUNT, clock=lambda: machine.now)) < seconds + 5
    assert run.progress.left_out > 0


@pytest.mark.parametrize(("slow", "most"), [
    (lambda t: 20.0 if t == 200 else 1.0, 14), (lambda t: 2.0 if 190 < t <= 210 else 1.0, 25)], ids=["a step", "twenty steps"])
def test_what_a_slow_minute_took_away_comes_back(fast, pictures, folder, slow, most):
    """80 seconds are lost of 900, of which 27 were to spare: 13 steps' worth of four seconds."""
    run = Run(fast(), pictures, folder)
    seconds, speed = planned(run)
    machine = Machine(slow)
    took = machine.go(run, Deadline(100.0 + 1.03 * seconds, speed, COUNT, clock=lambda: machine.now))
    assert 13 <= run.progress.left_out <= most and took < 1.03 * seconds + 4
    assert run.rate(run.total) == 0


def test_the_test_is_expected_to_be_as_slow_as_the_steps(fast, pictures, folder):
    """When it has begun nothing can be left out any more."""
    run = Run(fast(), pictures, folder)
    deadline = Deadline(1_000.0, planned(run)[1], COUNT)
    assert deadline._planned_pace(run, True) == pytest.approx(1.0) and deadline._planned_pace(run, False) == pytest.approx(4.0)
    assert deadline._afterwards(run, 2.0) == pytest.approx(2 * deadline._afterwards(run, 1.0))
    assert deadline._afterwards(run, 0.5) == deadline._afterwards(run, 1.0)


def test_one_slow_validation_says_little_about_the_test(fast, pictures, folder):
    """The first takes 10 seconds and the test 350 in place of 35, should it go on like that."""
    run = Run(fast(), pictures, folder)
    seconds, speed = planned(run)
    machine = Machine(evaluating=0.125, first=10)
    speed = speed._replace(evaluating=0.125)
    seconds += 0.115 * (40 * 8 + 7 * 40 + 2 * 80)
    machine.go(run, Deadline(100.0 + 1.03 * seconds, speed, COUNT, clock=lambda: machine.now))
    assert run.progress.left_out < 10


def test_a_device_that_is_asked_every_five_steps(fast, pictures, folder):
    run = Run(fast(), pictures, folder)
    seconds, speed = planned(run)
    machine = Machine(lambda t: 2.0 if t > 185 else 1.0)
    took = machine.go(run, Deadline(100.0 + seconds, speed, COUNT, clock=lambda: machine.now), every=5)
    assert 0.95 * seconds < took < 1.02 * seconds


def test_no_time_left_at_all(fast, pictures, folder):
    """One more step, and then it is over."""
    run = Run(fast(), pictures, folder)
    run.progress.step = 250
    deadline = Deadline(0.0, planned(run)[1], COUNT, clock=lambda: 100.0)
    for _ in range(5):
        deadline.took(run, 1, 4.0)
    assert run.total == 251


def test_a_schedule_in_longer_strides_goes_on_where_it_was_and_ends_where_it_would(fast, pictures, folder):
    run = Run(fast(lookahead=5), pictures, folder)
    before = [run.rate(t) for t in range(1, 361)]
    run.progress.step = 100
    run.end_after(230)  # 130 steps for 260
    assert run.start_steps == 140 and run.lookahead.total == 230
    np.testing.assert_allclose([run.rate(t) for t in range(100, 231)], before[99::2])
    assert [run.loader.batch(t)[0].shape[2] for t in (140, 141)] == [4, 8]
    run.progress.step = 180
    run.end_after(190)  # 10 steps for 100
    np.testing.assert_allclose([run.rate(t) for t in range(180, 191)], before[259::10])
    assert run.total == 190 and run.progress.left_out == 170
    assert run.start_steps == 140  # as it was
    assert run.planned_left == 100
    run.progress.step = 185
    run.end_after(185 + run.planned_left)  # the machine is as fast again
    np.testing.assert_allclose([run.rate(t) for t in range(185, 236)], before[309:])
    assert run.total == 235


class Once:
    """A deadline that leaves out steps behind one."""

    def __init__(self, behind):
        self.behind = behind

    def took(self, run, steps, seconds):
        if run.progress.step == self.behind:
            run.end_after(13)


def go(config, pictures, folder, *, deadline=None, resume=False):
    """A run in a folder of its own -> the run, its result, and what it said."""
    folder.mkdir(exist_ok=True)
    run, lines = Run(config, pictures, RunFolder(folder)), []
    result = loop.carry_out(run, resume=resume, say=lines.append, progress=False, forecast=False, deadline=deadline)
    return run, result, lines


def weights(folder):
    return {name: p.data for name, p in load_checkpoint(folder / "last.npz").net.named_parameters().items()}


@pytest.mark.parametrize(("behind", "stop"), [(4, 6), (10, 11)], ids=["small", "full size"])
def test_a_shortened_run_resumes_to_the_same_bits(fast, pictures, tmp_path, monkeypatch, behind, stop):
    """Ctrl-C some steps later; 13 steps are left of 18. Who resumes has all the time."""
    config, whole, halved = fast(epochs=2, lookahead=5), tmp_path / "whole", tmp_path / "halved"
    run, result, lines = go(config, pictures, whole, deadline=Once(behind))
    assert result["steps"] == 13 and result["steps_left_out"] == 5
    assert "slower     than it was measured: 5 of 18 steps are left out, to end in time" in lines
    step = Run.step

    def stopping(self, t, workspace):
        if t == stop:
            loop.signal.raise_signal(loop.signal.SIGINT)
        return step(self, t, workspace)

    monkeypatch.setattr(Run, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        go(config, pictures, halved, deadline=Once(behind))
    monkeypatch.undo()
    with backend.using("numpy"):
        resumed, again, lines = go(config, pictures, halved, resume=True)
    assert f"resuming   after step {stop} of 13 (5 of 18 were left out, to end in time)" in lines
    assert (again["steps"], again["steps_left_out"], resumed.start_steps) == (13, 5, run.start_steps)
    for name, array in weights(whole).items():
        np.testing.assert_array_equal(array, weights(halved)[name])
