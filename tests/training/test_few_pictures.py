"""Fine-tuning on few photos: what validation keeps, what is said before the first step, and a batch larger than the set."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_tools import letters
from resnet_np.data import CIFAR10, some_of_all
from resnet_np.errors import InputError
from resnet_np.layers import WhitenedStem
from resnet_np.models import Checkpoint, load_weights, resnet_cifar
from resnet_np.training import RunFolder, loop, preset
from resnet_np.training.finetune import FinetuneRun
from resnet_np.training.finetune_config import finetune_preset
from resnet_np.training.run import Run

WEIGHTS = Path(__file__).resolve().parents[2] / "tutorials" / "weights" / "shapes10-resnet14-width8.safetensors"
SEEDS = 10


@pytest.fixture
def photos():
    """200 pictures of 15 classes, of which 20 are held back, and 600 to test on."""
    drawn = letters.make(train=14)
    return SimpleNamespace(
        name="photos", classes=drawn.classes, train_images=drawn.train_images[:200], train_labels=drawn.train_labels[:200],
        test_images=drawn.test_images, test_labels=drawn.test_labels, origin="a test", official=None, crop=1.0)


@pytest.mark.slow
def test_twenty_validation_pictures_do_not_choose_by_chance(photos, tmp_path, monkeypatch):
    """Mean test accuracy over ten seeds, each with a split of its own: what the one-standard-error rule keeps is, to a point, as
    good as the last weights, and better than the first epoch of the highest validation accuracy, which was the rule of 0.1.0."""
    source = load_weights("resnet14", WEIGHTS).checkpoint
    after_epoch = []
    validate = Run.validate
    monkeypatch.setattr(Run, "validate", lambda run: after_epoch.append(run.test(run.net).top1) or validate(run))
    kept, last, highest = [], [], []
    for seed in range(SEEDS):
        config = finetune_preset("whole", weights="shapes10", epochs=6, batch_size=32, lr=0.03, augment=False, seed=seed,
                                 split_seed=seed)
        with RunFolder.open(tmp_path / str(seed), resume=False) as folder:
            run = FinetuneRun(config, photos, folder, source)
            after_epoch.clear()
            result = loop.carry_out(run, resume=False, say=lambda line: None, progress=False)
        accuracies = [record["validation_accuracy"] for record in run.progress.records]
        assert result["validation_count"] == 20 and after_epoch[result["best_epoch"] - 1] == result["test_accuracy"]
        kept.append(result["test_accuracy"])
        last.append(result["last_test_accuracy"])
        highest.append(after_epoch[int(np.argmax(accuracies))])
    assert np.mean(kept) >= np.mean(last) - 0.01
    assert np.mean(kept) > np.mean(highest)
    assert np.mean(last) > 3 / 15  # the nets have learned something: three times what guessing gives


@pytest.fixture
def said(pictures, folder):
    """said(preset, **changes of the recipe) -> what is told before the first step. 72 training and 8 validation pictures."""
    source = Checkpoint(resnet_cifar(8, classes=3), CIFAR10, ("a", "b", "c"), image_size=8)

    def describe(name="whole", **changes):
        lines = []
        config = finetune_preset(name, **({"weights": "w.npz", "epochs": 2, "batch_size": 16} | changes))
        loop.report.describe(FinetuneRun(config, pictures, folder, source), lines.append)
        return lines

    return describe


@pytest.mark.nojit
def test_few_pictures_are_said_with_what_helps(said):
    lines = said()
    place = next(i for i, line in enumerate(lines) if line.startswith("caution"))
    assert lines[place:place + 4] == [
        "caution    72 training pictures are not many, and 8 for validation measure an accuracy to +-18 points",
        "           worth trying: let the last layer alone learn (--preset head)",
        "                         more epochs (--epochs 10)",
        "                         more augmentation (--cutout 2, --mixup 0.2)"]


@pytest.mark.nojit
def test_only_what_is_not_done_yet_is_advised(said):
    text = "\n".join(said("head", epochs=20))
    assert "--preset head" not in text and "(--epochs 100)" in text and "(--augment)" in text
    assert "--mixup" not in "\n".join(said(cutout=2))
    assert "--preset head" in "\n".join(said("gradual"))  # there the trunk thaws
    assert "--epochs" not in "\n".join(said(max_steps=5))  # more of them would change nothing


@pytest.mark.nojit
def test_training_from_scratch_is_told_of_fine_tuning(recipe, pictures, folder):
    lines = []
    loop.report.describe(Run(recipe(), pictures, folder), lines.append)
    assert any("resnet-np finetune WEIGHTS --preset head" in line for line in lines)


@pytest.mark.nojit
def test_many_pictures_need_no_caution(recipe, pictures, folder):
    many = np.arange(2000) % 80
    pictures.train_images, pictures.train_labels = pictures.train_images[many], pictures.train_labels[many]
    lines = []
    loop.report.describe(Run(recipe(), pictures, folder), lines.append)  # 200 are held back
    assert not any(line.startswith("caution") for line in lines)


@pytest.mark.nojit
def test_a_batch_larger_than_the_set_is_the_set(recipe, pictures, folder):
    lines = []
    run = Run(recipe(batch_size=100, epochs=3), pictures, folder)
    result = loop.carry_out(run, resume=False, say=lines.append, progress=False)
    assert run.batch_size == 72 and result["steps"] == 3
    assert "           a batch is the whole training set, which is smaller than --batch-size 100" in lines
    assert any(": 3 steps of 72 pictures" in line for line in lines)
    assert result["config"]["batch_size"] == 100  # as it was asked for: a resume must find the same recipe
    lines.clear()
    again = loop.carry_out(Run(recipe(batch_size=100, epochs=3), pictures, folder), resume=True, say=lines.append, progress=False)
    assert again["steps"] == 3
    assert any(line.startswith("caution") for line in lines) and not any("worth trying" in line for line in lines)


@pytest.mark.nojit
def test_a_batch_of_one_is_none(recipe, pictures, folder):
    with pytest.raises(InputError, match="--limit-train: got 1, expected at least 2: batch norm"):
        Run(recipe(limit_train=1), pictures, folder)


@pytest.mark.nojit
def test_class_by_class_a_part_is_of_all_classes(pictures, folder, monkeypatch):
    """As a folder of pictures is read. The whitening, too, is measured on pictures of all."""
    order = np.argsort(pictures.train_labels, kind="stable")
    pictures.train_images = np.repeat(np.repeat(pictures.train_images[order], 2, 2), 2, 3)
    pictures.train_labels = pictures.train_labels[order]
    seen = []
    monkeypatch.setattr("resnet_np.training.run.WHITENING", 2)
    monkeypatch.setattr(WhitenedStem, "whiten", lambda stem, x: seen.append(x))
    run = Run(preset("fast", width=24, limit_train=30), pictures, folder)
    assert len(run.train) == 30 and set(pictures.train_labels[run.train]) == {0, 1}
    (x,) = seen
    chosen = run.train[some_of_all(pictures.train_labels[run.train], len(x))]
    assert len(x) == 10 and set(pictures.train_labels[chosen]) == {0, 1}
    np.testing.assert_array_equal(x, run.normaliser(pictures.train_images[chosen]))


@pytest.mark.nojit
def test_the_line_of_an_epoch_says_of_how_many(recipe, pictures, folder):
    lines = []
    loop.carry_out(Run(recipe(), pictures, folder), resume=False, say=lines.append, progress=False)
    assert all(" of 8  lr " in line for line in lines if line.startswith("epoch"))
