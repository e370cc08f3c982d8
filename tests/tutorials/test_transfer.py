from types import SimpleNamespace

import numpy as np
import pytest

from resnet_np.data import Normaliser
from resnet_np.models import Checkpoint, resnet_cifar
from resnet_np.tutor.transfer import WAYS, fine_tuned, from_scratch, learn

pytestmark = pytest.mark.nojit


@pytest.fixture
def pictures(rng):
    """Dark and bright ones."""
    labels = np.arange(80) % 2
    images = (rng.integers(0, 60, (80, 3, 8, 8)) + 190 * labels[:, None, None, None]).astype(np.uint8)
    return SimpleNamespace(crop=1.0, name="two", classes=("dark", "bright"), train_images=images, train_labels=labels,
                           test_images=images,
                           test_labels=labels, origin="the test", official=False)


@pytest.fixture
def source():
    return Checkpoint(resnet_cifar(14, width=8, classes=3), Normaliser.channels((0.5,) * 3, (0.3,) * 3), ("a", "b", "c"),
                      image_size=8)


def weights(net):
    return {name: parameter.data.copy() for name, parameter in net.named_parameters().items()}


@pytest.mark.parametrize("way", WAYS)
def test_what_learns(pictures, source, way):
    run = fine_tuned(way, source, pictures, epochs=2, seed=0)
    before, kept = weights(run.net), weights(source.net)
    assert learn(run) >= 0.5
    moved = {name.split(".")[0] for name, array in weights(run.net).items() if not np.array_equal(array, before[name])}
    expected = {"head only": {"fc"}, "gradual": {"fc", "layer3"}}
    assert moved == expected.get(way, {"conv1", "bn1", "layer1", "layer2", "layer3", "fc"})
    assert all(np.array_equal(array, kept[name]) for name, array in weights(source.net).items()), "the source stays as it was"


def test_from_scratch(pictures):
    accuracies = [learn(from_scratch(pictures, epochs=10, seed=0)) for _ in range(2)]
    assert accuracies[0] == accuracies[1] > 0.9


def test_no_folder_is_made(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learn(from_scratch(pictures, epochs=1, seed=0))
    assert not list(tmp_path.iterdir())
