"""A run that is killed, interrupted or terminated, again and again, ends with the bits of one that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_tools import cifar
from data_tools.image_set import ImageSet
from resnet_np.models import load_checkpoint
from resnet_np.models.checkpoint import net_arrays

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")]

EPOCHS, STEPS = 6, 22  # steps an epoch
# The real command, but for the seconds between two saves, and a line before and after each.
COMMAND = """
import os, sys
from resnet_np import cli
from resnet_np.training import loop

def noisy(self, path, save=loop.Run.save, **keywords):
    print("saving", self.progress.step, path.name, flush=True)
    save(self, path, **keywords)
    print("saved", self.progress.step, path.name, flush=True)

loop.SAVE_SECONDS, loop.Run.save = float(sys.argv[1]), noisy
"""
LIVE = COMMAND + "sys.exit(cli.main(sys.argv[2:]))"
DIE_BEFORE_THE_FIRST_SAVE = COMMAND + "loop.Run.save = lambda *a, **k: os.kill(os.getpid(), 9)\n" + LIVE.removeprefix(COMMAND)
TIMES = ("training_seconds", "images_per_second", "seconds")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(3)
    labels = np.arange(200) % 10
    images = (rng.integers(0, 150, (200, 3, 32, 32)) + 10 * labels[:, None, None, None]).astype(np.uint8)
    names = tuple("abcdefghij")
    return cifar.write(ImageSet("custom", names, images, labels, images[:50], labels[:50], "a test", None),
                       tmp_path_factory.mktemp("data"), "bin")


def start(data, out, *, epochs=EPOCHS, resume=False, script=LIVE, save_seconds=0.0):
    options = ["train", "--data", str(data), "--out", str(out)]
    recipe = ["--resume"] if resume else ["--model", "resnet8", "--epochs", str(epochs), "--batch-size", "8", "--lr", "0.02"]
    return subprocess.Popen([sys.executable, "-c", script, str(save_seconds), *options, *recipe],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The run that was left alone."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(start(data, out))
    return out


@pytest.fixture(scope="module")
def short(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("short") / "run"
    finish(start(data, out, epochs=3))
    return out


def wait_for(process, *beginnings):
    """Read lines until one begins so. False if the process ends first."""
    return any(line.startswith(beginnings) for line in process.stdout)


def assert_same_run(path, whole):
    for name in ("last.npz", "best.npz"):
        found, expected = (load_checkpoint(folder / name) for folder in (path, whole))
        found_arrays, expected_arrays = (
            net_arrays(one.net) | {f"velocity/{key}": array for key, array in one.velocities.items()} for one in (found, expected))
        assert found_arrays.keys() == expected_arrays.keys()
        for key, array in expected_arrays.items():
            np.testing.assert_array_equal(found_arrays[key], array, err_msg=f"{name} {key}")
    assert len(load_checkpoint(path / "last.npz").velocities) > 20
    ours, theirs = ([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in (path, whole))
    ours.append(json.loads((path / "result.json").read_text()))
    theirs.append(json.loads((whole / "result.json").read_text()))
    assert [without_times(record) for record in ours] == [without_times(record) for record in theirs]
    assert {file.name for file in path.iterdir()} == {file.name for file in whole.iterdir()}


def without_times(record):
    return {key: value for key, value in record.items() if key not in TIMES}


def scene(out):
    """After which step the newest checkpoint was written, and what the killed process was about."""
    last = out / "last.npz"
    step = load_checkpoint(last if last.exists() else out / "previous.npz").metadata["progress"]["step"]
    being_written = [file.name.split(".")[1] for file in out.glob(".*.tmp")]
    return step, f"writing {being_written[0]}" if being_written else "training" if last.exists() else "between the renames"


def test_killed_again_and_again(data, whole, tmp_path):
    """At a random moment behind each of eight steps, three of which end an epoch, so that validation and plot follow; and, in every
    epoch, while one other is saved."""
    out, rng, kills = tmp_path / "run", random.Random(5), []
    ends = rng.sample(range(STEPS, EPOCHS * STEPS, STEPS), 3)
    steps, reached = [], -1
    while_saved = {rng.randrange(epoch * STEPS + 1, (epoch + 1) * STEPS - 3) for epoch in range(EPOCHS)}
    for target in sorted({0, EPOCHS * STEPS - 3, *ends, *while_saved, *rng.sample(range(1, EPOCHS * STEPS), 3)}):
        if target > reached:
            process = start(data, out, resume=reached >= 0)
            if target in while_saved:
                assert wait_for(process, f"saving {target} last.npz")
                time.sleep(rng.uniform(0, 0.003))
            else:
                assert wait_for(process, f"saved {target} ")
                time.sleep(rng.uniform(0, 0.4 if target in ends else 0.04))
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            reached, what = scene(out)
            steps.append(reached)
            kills.append(f"{reached} ({what})")
            assert reached >= target - (target in while_saved)
    finish(start(data, out, resume=True))
    print("killed after step", ", ".join(kills))
    assert len(set(steps)) >= 10 and len({step // STEPS for step in steps}) == EPOCHS  # in every epoch
    assert len({kill.partition("(")[2] for kill in kills}) >= 2  # and in several phases of a step
    assert_same_run(out, whole)


def test_killed_before_the_first_checkpoint(data, short, tmp_path):
    out = tmp_path / "run"
    process = start(data, out, epochs=3, script=DIE_BEFORE_THE_FIRST_SAVE)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert {file.name for file in out.iterdir()} == {".lock", "config.json"}
    process = start(data, out, resume=True)
    assert "there is no run in" in process.communicate(timeout=120)[1] and process.returncode == 2
    finish(start(data, out, epochs=3))  # the same command again
    assert_same_run(out, short)


@pytest.mark.parametrize("number, code, words", [
    (signal.SIGINT, 130, "resnet-np: interrupted\n"), (signal.SIGTERM, 143, ""),
])
def test_asked_to_stop(data, short, tmp_path, number, code, words):
    out = tmp_path / "run"
    process = start(data, out, epochs=3, save_seconds=60)
    assert wait_for(process, "epoch 1/3")
    time.sleep(0.1)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (code, words)
    assert stdout.splitlines()[-1] == f"stopped    the run is saved; go on with: resnet-np train --resume --out {out}"
    step = load_checkpoint(out / "last.npz").metadata["progress"]["step"]
    assert STEPS < step < 3 * STEPS
    assert f"after step {step} of" in finish(start(data, out, resume=True))
    assert_same_run(out, short)


def test_two_runs_in_one_folder(data, short, tmp_path):
    out = tmp_path / "run"
    first = start(data, out, epochs=3)
    assert wait_for(first, "forecast")
    for resume in (False, True):
        second = start(data, out, epochs=3, resume=resume)
        _, stderr = second.communicate(timeout=120)
        assert second.returncode == 2 and stderr == (
            f"resnet-np: --out: another run is at work in {out}; wait for its end, or choose another folder\n")
    finish(first)
    assert_same_run(out, short)
