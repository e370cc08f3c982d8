"""A data set so small that a run takes a second."""

from types import SimpleNamespace

import numpy as np
import pytest

from resnet_np.training import RunFolder, loop, preset


@pytest.fixture(autouse=True, scope="module")
def no_plots():
    """They take most of the time of a run as small as these; tests/viz and the commands' tests draw them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "curves", lambda records: None)
        patch.setattr(loop, "save", lambda figure, stream: None)
        yield


@pytest.fixture
def pictures():
    """Two classes of 8x8 pictures, bright and dark, with noise: learned in a few steps. The attributes of an ImageSet."""
    rng = np.random.default_rng(7)

    def draw(count):
        labels = np.arange(count, dtype=np.int64) % 2
        images = rng.integers(0, 120, (count, 3, 8, 8)) + 100 * labels[:, None, None, None]
        return images.astype(np.uint8), labels

    (train_images, train_labels), (test_images, test_labels) = draw(80), draw(40)
    return SimpleNamespace(
        name="custom", classes=("dark", "bright"), train_images=train_images, train_labels=train_labels,
        test_images=test_images, test_labels=test_labels, origin="a test", official=None, crop=1.0)


@pytest.fixture
def recipe():
    """Two epochs of four steps on a ResNet-8; keywords change it."""
    def make(**changes):
        return preset("quick", **({"model": "resnet8", "epochs": 2, "batch_size": 16, "lr": 0.05} | changes))
    return make


@pytest.fixture
def folder(tmp_path):
    """Not locked, so that a test may open it again."""
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")
