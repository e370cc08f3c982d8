"""Runs without a folder: the same weights as a run of `resnet-np train`."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from resnet_np.models.checkpoint import load_checkpoint, net_arrays
from resnet_np.training import RunFolder, preset
from resnet_np.training.loop import train
from resnet_np.training.run import Run
from resnet_np.tutor.small_runs import on_training_pictures, small_run


@pytest.fixture
def pictures():
    """Two classes of 8x8 pictures, bright and dark."""
    rng = np.random.default_rng(7)
    labels = np.arange(80, dtype=np.int64) % 2
    images = (rng.integers(0, 120, (80, 3, 8, 8)) + 100 * labels[:, None, None, None]).astype(np.uint8)
    return SimpleNamespace(crop=1.0, name="custom", classes=("dark", "bright"), train_images=images, train_labels=labels,
                           test_images=images[:40], test_labels=labels[:40], origin="a test", official=None)


def recipe(**changes):
    return preset("quick", **{"model": "resnet8", "width": 4, "epochs": 3, "batch_size": 16, "lr": 0.05} | changes)


def assert_weights(small, path):
    for (name, ours), theirs in zip(net_arrays(small.net).items(), net_arrays(load_checkpoint(path).net).values(), strict=True):
        assert np.array_equal(ours, theirs), name


@pytest.mark.parametrize("changes", [{}, {"label_smoothing": 0.1, "dropout": 0.3}])
def test_same_weights_as_a_run_folder(pictures, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    small, records = small_run(recipe(**changes), pictures)
    assert not list(tmp_path.iterdir()), "nothing is written"
    (tmp_path / "run").mkdir()
    folder = RunFolder(tmp_path / "run")
    result = train(recipe(**changes), pictures, folder, resume=False, say=lambda line: None, progress=False)
    assert len(records) == result["epochs"]
    assert_weights(small, folder.last)


@pytest.mark.slow
def test_early_stopping_is_that_of_a_run_folder(pictures, tmp_path, monkeypatch):
    """The standard error at 6 of 8 pictures is 1.2. So the third epoch is kept, and after two lower ones the run ends."""
    measured = Run.validate

    def runs():
        right = iter((4, 6, 5, 3, 4, 6, 6))
        monkeypatch.setattr(Run, "validate", lambda run: replace(measured(run), top1=next(right) / 8))
        return recipe(epochs=7, early_stopping=2)

    small, records = small_run(runs(), pictures)
    folder = RunFolder(tmp_path)
    result = train(runs(), pictures, folder, resume=False, say=lambda line: None, progress=False)
    assert (len(records), small.progress.best_epoch) == (result["epochs"], result["best_epoch"]) == (5, 3)
    assert_weights(small, folder.best)


def test_records(pictures):
    small, records = small_run(recipe(), pictures)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    last, validation = records[-1], small.validate()
    assert (last["validation_loss"], last["validation_accuracy"]) == (validation.loss, validation.top1)
    assert last["validation_count"] == validation.count == len(small.validation)
    train = on_training_pictures(small)
    assert (last["train_loss"], last["train_accuracy"]) == (train.loss, train.top1) and train.count == len(small.train)


def test_steps_that_end_within_an_epoch(pictures):
    _, records = small_run(recipe(max_steps=5), pictures)
    assert [record["epoch"] for record in records] == [1, 2]
