"""Nobody else trains in the folder of a run, and a damaged last.npz costs the steps since the one before it."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from resnet_np.errors import CheckpointError, InputError, TrainingError
from resnet_np.models import load_checkpoint
from resnet_np.models.checkpoint import net_arrays
from resnet_np.training import RunFolder, loop
from resnet_np.training import run as running
from resnet_np.training.loop import train

pytestmark = pytest.mark.nojit

HOLDER = "import sys, time; from pathlib import Path; from resnet_np.training import RunFolder\n" \
    "with RunFolder.open(Path(sys.argv[1]), resume=False): print('locked', flush=True); sys.stdin.read()\n"


class Killed(BaseException):
    pass


def run(config, pictures, folder, *, resume=False):
    lines = []
    train(config, pictures, folder, resume=resume, say=lines.append, progress=False)
    return lines


def contents(path):
    """Parameters, buffers and velocities of a checkpoint, and the step after which it was written."""
    checkpoint = load_checkpoint(path)
    velocities = {f"velocity/{name}": array for name, array in checkpoint.velocities.items()}
    return net_arrays(checkpoint.net) | velocities | {"step": np.array(checkpoint.metadata["progress"]["step"])}


def assert_same(path, expected):
    found = contents(path)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}


def refusal(path, *, resume, error=InputError):
    with pytest.raises(error) as found, RunFolder.open(path, resume=resume):
        pass
    assert "\n" not in str(found.value) and found.value.exit_code == 2
    return str(found.value)


def test_one_run_at_a_time(tmp_path, recipe, pictures):
    path = tmp_path / "run"
    with RunFolder.open(path, resume=False) as folder:
        assert "another run is at work in" in refusal(path, resume=False)
        temporary = path / ".last.npz.1.tmp"
        temporary.write_text("half a checkpoint")
        run(recipe(epochs=1), pictures, folder)
        before = files(folder)
        for resume in (False, True):
            assert "another run is at work in" in refusal(path, resume=resume)
        assert files(folder) == before and temporary.exists()  # what the first is writing is not swept away
    assert "holds a run already" in refusal(path, resume=False)
    with RunFolder.open(path, resume=True):
        assert not temporary.exists()
    assert not (path / ".lock").exists()


def test_the_lock_dies_with_its_process(tmp_path):
    path = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "locked\n"
        assert "another run is at work in" in refusal(path, resume=False)
        holder.send_signal(signal.SIGKILL)
    assert (path / ".lock").exists()
    with RunFolder.open(path, resume=False):
        pass
    assert not path.exists()  # nothing began


def test_a_run_that_fails_to_begin_unlocks(tmp_path):
    path = tmp_path / "run"
    for _ in range(2):
        with pytest.raises(Killed), RunFolder.open(path, resume=False):
            raise Killed
        assert not path.exists()


def test_the_generation_before_is_kept(recipe, pictures, folder):
    run(recipe(), pictures, folder)
    assert contents(folder.last)["step"] == 8 and contents(folder.previous)["step"] == 4


@pytest.fixture
def whole(recipe, pictures, tmp_path):
    """What an uninterrupted run ends with: last.npz and best.npz."""
    with RunFolder.open(tmp_path / "whole", resume=False) as folder:
        run(recipe(), pictures, folder)
    return contents(folder.last), contents(folder.best)


@pytest.fixture
def stopped(recipe, pictures, folder, monkeypatch):
    """A run that ended after step 6: last.npz is of step 6, previous.npz of step 5."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    step, done = running.training_step, []

    def counted(*arguments, **keywords):
        done.append(1)
        if len(done) == 7:
            raise Killed
        return step(*arguments, **keywords)

    monkeypatch.setattr(running, "training_step", counted)
    with pytest.raises(Killed):
        run(recipe(), pictures, folder)
    monkeypatch.undo()
    assert contents(folder.last)["step"] == 6 and contents(folder.previous)["step"] == 5
    return folder


def resumed(recipe, pictures, folder):
    with RunFolder.open(folder.path, resume=True):
        lines = run(recipe(), pictures, folder, resume=True)
    return next(line for line in lines if line.startswith("resuming"))


@pytest.mark.parametrize("damage", ["cut", "zeros", "empty"])
def test_a_damaged_last_checkpoint(recipe, pictures, stopped, whole, damage):
    data = stopped.last.read_bytes()
    half = len(data) // 2
    stopped.last.write_bytes({"cut": data[:half], "zeros": data[:half] + bytes(99) + data[half + 99:], "empty": b""}[damage])
    assert resumed(recipe, pictures, stopped) == "resuming   after step 5 of 8, from previous.npz: last.npz is damaged"
    assert_same(stopped.last, whole[0])
    assert_same(stopped.best, whole[1])


def test_a_damaged_one_does_not_replace_the_good_one(recipe, pictures, stopped, monkeypatch):
    """Killed after the first save of the resumed run has moved last.npz, and before the new one is in its place."""
    stopped.last.write_bytes(b"damaged")
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    kill_at_replace(monkeypatch, 4)  # 1 previous -> last, 2 and 3 metrics and curves, 4 last -> previous
    with pytest.raises(Killed):
        run(recipe(), pictures, stopped, resume=True)
    monkeypatch.undo()
    assert not stopped.last.exists() and contents(stopped.previous)["step"] == 5


def kill_at_replace(monkeypatch, count):
    """Die after the renaming number `count`."""
    replace, done = os.replace, []

    def counted(*names):
        replace(*names)
        done.append(names)
        if len(done) == count:
            raise Killed

    monkeypatch.setattr(os, "replace", counted)


def test_killed_between_the_two_renames(recipe, pictures, folder, whole, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    kill_at_replace(monkeypatch, 5)  # 1 config.json, 2 last.npz of step 0, 3 and 4 step 1, 5 the first of step 2
    with pytest.raises(Killed):
        run(recipe(), pictures, folder)
    monkeypatch.undo()
    assert not folder.last.exists() and contents(folder.previous)["step"] == 1
    assert "holds a run already" in refusal(folder.path, resume=False)
    assert resumed(recipe, pictures, folder) == "resuming   after step 1 of 8, from previous.npz: last.npz is missing"
    assert_same(folder.last, whole[0])


def test_both_damaged(recipe, pictures, stopped):
    stopped.last.write_bytes(b"damaged")
    stopped.previous.write_bytes(b"too")
    before = files(stopped)
    with pytest.raises(CheckpointError) as refusal:
        resumed(recipe, pictures, stopped)
    text = str(refusal.value)
    assert str(stopped.last) in text and str(stopped.previous) in text and "\n" not in text and refusal.value.exit_code == 2
    assert files(stopped) == before


def test_a_refused_resume_changes_nothing(recipe, pictures, stopped):
    stopped.last.write_bytes(b"damaged")
    before = files(stopped)
    with pytest.raises(CheckpointError, match="no longer holds the recipe"):
        run(recipe(lr=0.01), pictures, stopped, resume=True)
    assert files(stopped) == before


def test_the_best_weights_are_damaged(recipe, pictures, stopped):
    run(recipe(), pictures, stopped, resume=True)
    stopped.best.write_bytes(stopped.best.read_bytes()[:1000])
    with pytest.raises(TrainingError) as stop:
        run(recipe(), pictures, stopped, resume=True)
    text = str(stop.value)
    assert "the weights that validation kept are lost: " in text and str(stopped.best) in text and f"safe in {stopped.last}" in text
    assert "\n" not in text


def test_saves_within_an_epoch(recipe, pictures, folder, monkeypatch):
    """After 60 seconds, counted from the last save."""
    clock, saved = [0.0], []
    save = loop.Run.save
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def step(*arguments, learn=running.training_step, **keywords):
        clock[0] += 25
        return learn(*arguments, **keywords)

    def noted(self, path, **keywords):
        if path == folder.last:
            saved.append(self.progress.step)
        save(self, path, **keywords)

    monkeypatch.setattr(running, "training_step", step)
    monkeypatch.setattr(loop.Run, "save", noted)
    run(recipe(epochs=2, batch_size=9), pictures, folder)  # 8 steps an epoch
    assert saved == [0, 3, 6, 8, 11, 14, 16]


@pytest.mark.parametrize("number, error", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_asked_to_stop_during_the_last_validation(recipe, pictures, folder, whole, monkeypatch, number, error):
    """Then everything is saved, and the test set is left to the resumed run."""
    before = signal.getsignal(number)
    validate = loop.Run.validate

    def interrupted(self):
        if self.progress.step == 8:
            signal.raise_signal(number)
        return validate(self)

    monkeypatch.setattr(loop.Run, "validate", interrupted)
    with pytest.raises(error) as stop:
        run(recipe(), pictures, folder)
    assert number == signal.SIGINT or stop.value.code == 143
    assert signal.getsignal(number) == before and not folder.result.exists()
    resumed(recipe, pictures, folder)
    assert folder.result.is_file()
    assert_same(folder.last, whole[0])


@pytest.mark.parametrize("place", ["epochs", 0.5, [1]])
def test_a_place_in_the_run_that_is_none(recipe, pictures, stopped, monkeypatch, place):
    checkpoint = load_checkpoint(stopped.last)
    checkpoint.metadata["progress"]["step"] = place
    monkeypatch.setattr(RunFolder, "newest", lambda self: (self.last, checkpoint))
    with pytest.raises(CheckpointError, match="does not say where its run was"):
        run(recipe(), pictures, stopped, resume=True)
