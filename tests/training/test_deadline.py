"""Runs on machines that are slower than they were measured."""

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.models import load_checkpoint
from resnet_np.training import loop, plan
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

    def __init__(self, pace=lambda t: 1.0, evaluating=0.01):
        self.now, self.pace, self.evaluating = 100.0, pace, evaluating

    def go(self, run, deadline):
        """To the end of the run, as the loop goes; -> the seconds that it takes, test included."""
        start, steps = self.now, run.loader.steps_per_epoch
        while run.progress.step < run.total:
            t = run.progress.step + 1
            seconds = (1.0 if t <= run.start_steps else 4.0) * self.pace(t)
            run.progress.step, self.now = t, self.now + seconds
            deadline.took(run, 1, seconds)
            if t % steps == 0 or t == run.total:
                validation = self.evaluating * COUNT.validation
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


def test_a_hiccup_hardly_matters(fast, pictures, folder):
    run = Run(fast(), pictures, folder)
    seconds, speed = planned(run)
    machine = Machine(lambda t: 20.0 if t == 200 else 1.0)  # 80 seconds lost of 900
    machine.go(run, Deadline(100.0 + 1.03 * seconds, speed, COUNT, clock=lambda: machine.now))
    assert run.progress.left_out < 30


def test_no_time_left_at_all(fast, pictures, folder):
    """Two steps remain, and then it is over."""
    run = Run(fast(), pictures, folder)
    run.progress.step = 250
    deadline = Deadline(0.0, planned(run)[1], COUNT, clock=lambda: 100.0)
    for _ in range(5):
        deadline.took(run, 1, 4.0)
    assert run.total == 251


def test_a_shortened_schedule_goes_on_where_it_was_and_ends_where_it_would(fast, pictures, folder):
    run = Run(fast(lookahead=5), pictures, folder)
    before = [run.rate(t) for t in range(1, 361)]
    run.progress.step = 100
    run.shorten(230)  # 130 steps for 260
    assert run.start_steps == 140 and run.lookahead.total == 230
    np.testing.assert_allclose([run.rate(t) for t in range(100, 231)], before[99::2])
    assert [run.loader.batch(t)[0].shape[2] for t in (140, 141)] == [4, 8]
    run.progress.step = 180
    run.shorten(190)  # 10 steps for 100
    np.testing.assert_allclose([run.rate(t) for t in range(180, 191)], before[259::10])
    assert run.total == 190 and run.progress.left_out == 170
    assert run.start_steps == 140  # as it was


class Once:
    """A deadline that leaves out steps behind one."""

    def __init__(self, behind):
        self.behind = behind

    def took(self, run, steps, seconds):
        if run.progress.step == self.behind:
            run.shorten(13)


@pytest.mark.parametrize(("behind", "stop"), [(4, 6), (10, 11)], ids=["small", "full size"])
def test_a_shortened_run_resumes_to_the_same_bits(fast, pictures, tmp_path, monkeypatch, behind, stop):
    """Ctrl-C some steps later; 13 steps are left of 18. Who resumes has all the time."""
    config, results, lines = fast(epochs=2, lookahead=5), {}, []
    for name in ("whole", "halved"):
        (tmp_path / name).mkdir()
        folder = loop.RunFolder(tmp_path / name)
        if name == "halved":
            step = Run.step

            def stopping(self, t, workspace, step=step):
                if t == stop:
                    loop.signal.raise_signal(loop.signal.SIGINT)
                return step(self, t, workspace)

            monkeypatch.setattr(Run, "step", stopping)
            with pytest.raises(KeyboardInterrupt):
                loop.carry_out(Run(config, pictures, folder), resume=False, say=lines.append, progress=False, deadline=Once(behind))
            monkeypatch.undo()
            with backend.using("numpy"):
                results[name] = loop.train(config, pictures, folder, resume=True, say=lines.append, progress=False)
        else:
            results[name] = loop.carry_out(Run(config, pictures, folder), resume=False, say=lines.append, progress=False,
                                           forecast=False, deadline=Once(behind))
        results[name + " weights"] = {
            key: parameter.data.copy() for key, parameter in load_checkpoint(folder.last).net.named_parameters().items()}
    assert results["whole"]["steps"] == results["halved"]["steps"] == 13
    assert results["whole"]["steps_left_out"] == results["halved"]["steps_left_out"] == 5
    assert "slower     than it was measured: 5 of 18 steps are left out, to end in time" in lines
    for key, array in results["whole weights"].items():
        np.testing.assert_array_equal(array, results["halved weights"][key])
