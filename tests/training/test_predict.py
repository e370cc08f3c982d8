import dataclasses

import numpy as np
import pytest

from resnet_np.data import CIFAR10
from resnet_np.errors import CheckpointError, InputError
from resnet_np.models import Checkpoint, load_checkpoint, resnet_cifar
from resnet_np.training import novelty
from resnet_np.training.loop import train
from resnet_np.training.predict import predict

pytestmark = pytest.mark.nojit


@pytest.fixture
def checkpoint():
    return Checkpoint(resnet_cifar(8, classes=5, seed=1), CIFAR10, ("a", "b", "c", "飞机", "e"), image_size=16)


@pytest.fixture
def photos(rng):
    images = rng.integers(0, 256, (7, 3, 16, 16), dtype=np.uint8)
    images.setflags(write=False)
    return images


def test_against_a_softmax_by_hand(checkpoint, photos, monkeypatch):
    logits = checkpoint.net.forward(CIFAR10(photos), training=False).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for pixels in (100 * 32**2, 3 * 16**2):  # in one batch, and in three
        monkeypatch.setattr("resnet_np.training.predict._PIXELS", pixels)
        answers = predict(checkpoint, photos, top=5)
        for answer, row in zip(answers, expected, strict=True):
            assert answer.unlike is None
            assert [name for name, _ in answer.top] == [checkpoint.class_names[k] for k in np.argsort(-row)]
            assert [p for _, p in answer.top] == pytest.approx(sorted(row, reverse=True), rel=1e-5)
            assert sum(p for _, p in answer.top) == pytest.approx(1, abs=1e-12)
            assert all(type(p) is float for _, p in answer.top)


def test_top(checkpoint, photos):
    assert [len(predict(checkpoint, photos, top=top)[0].top) for top in (1, 3, 5, 1000)] == [1, 3, 5, 5]
    assert predict(checkpoint, photos[:0], top=3) == []


def test_extreme_and_equal_logits(checkpoint, photos):
    head = checkpoint.net.head.children["fc"]
    head.parameters["weight"].data[...] = 0
    head.parameters["bias"].data[:] = (-5e4, 0, 0, 1e4, 0)
    assert predict(checkpoint, photos, top=5)[0].top == (("飞机", 1.0), ("a", 0.0), ("b", 0.0), ("c", 0.0), ("e", 0.0))
    head.parameters["bias"].data[:] = 0
    assert [name for name, _ in predict(checkpoint, photos, top=5)[0].top] == list(checkpoint.class_names)
    head.parameters["bias"].data[0] = np.nan
    with pytest.raises(CheckpointError, match="not finite"):
        predict(checkpoint, photos, top=5)


def test_wrong_arguments(checkpoint, photos):
    for wrong in (photos[0], photos[:, :, :8], photos.astype(np.float32), photos[:, :1]):
        with pytest.raises(InputError, match=r"uint8 \(N, 3, 16, 16\), got"):
            predict(checkpoint, wrong, top=5)
    with pytest.raises(InputError, match="top: got 0"):
        predict(checkpoint, photos, top=0)


def test_a_run_learns_what_is_typical_and_predictions_say_it(recipe, pictures, folder, rng, monkeypatch):
    """Of bright and dark pictures with noise; a plain colour is neither. The other records of the run are left as they were."""
    monkeypatch.setattr(novelty, "LEAST", 20)
    pictures.train_labels = np.arange(400) % 2
    brightness = 100 * pictures.train_labels[:, None, None, None]
    pictures.train_images = (rng.integers(0, 120, (400, 3, 8, 8)) + brightness).astype(np.uint8)
    seen = []
    learn = novelty.learn
    monkeypatch.setattr(novelty, "learn", lambda *given, **options: seen.append((given, options)) or learn(*given, **options))
    train(recipe(), pictures, folder, resume=False, say=lambda line: None, progress=False)
    best, last = load_checkpoint(folder.best), load_checkpoint(folder.last)
    assert best.typical and not last.typical
    assert best.metadata["progress"]["best_epoch"] == len(best.metadata["progress"]["records"])  # as it was when it was best
    (_, _, images, held_out), options = seen[0]
    assert (len(images), len(held_out)) == (360, 40) and options == {"image_size": 8, "seed": 0, "most": 2 * 22 * 16}
    answers = predict(best, np.concatenate([pictures.test_images[:20], np.full((1, 3, 8, 8), 60, np.uint8)]), top=2)
    assert [answer.unlike for answer in answers].count(True) <= 3 and answers[-1].unlike is True
    before = folder.best.read_bytes()
    train(recipe(), pictures, folder, resume=True, say=lambda line: None, progress=False)
    assert folder.best.read_bytes() == before and len(seen) == 1
    with pytest.raises(CheckpointError, match="typical"):
        predict(dataclasses.replace(best, typical={"mean": best.typical["mean"]}), pictures.test_images, top=1)
