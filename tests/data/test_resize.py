"""Resizing agrees with Pillow's, keeps what it should keep, and refuses what it cannot do."""

import numpy as np
import pytest
from PIL import Image

from resnet_np.data import CIFAR10, TrainLoader, evaluation_batches, resize
from resnet_np.errors import InputError

pytestmark = pytest.mark.nojit


@pytest.mark.parametrize("old", [(32, 32), (7, 5), (1, 1), (64, 40)])
@pytest.mark.parametrize("new", [32, 8, 50, 1])
def test_pillow_agrees(rng, old, new):
    """Within one grey level: Pillow rounds its weights to 22 bits, and in between its rows to whole levels."""
    images = rng.integers(0, 256, (2, 3, *old), dtype=np.uint8)
    ours = resize(images, new)
    assert ours.shape == (2, 3, new, new) and ours.dtype == np.uint8
    for image, mine in zip(images, ours, strict=True):
        theirs = Image.fromarray(image.transpose(1, 2, 0)).resize((new, new), Image.Resampling.BILINEAR)
        assert np.abs(mine.transpose(1, 2, 0).astype(int) - np.asarray(theirs).astype(int)).max() <= 1


def test_the_same_size_is_the_same_array(rng):
    images = rng.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    assert resize(images, 8) is images


def test_one_colour_stays(rng):
    images = np.broadcast_to(rng.integers(0, 256, (2, 3, 1, 1), dtype=np.uint8), (2, 3, 9, 9)).copy()
    for size in (3, 20):
        np.testing.assert_array_equal(resize(images, size), np.broadcast_to(images[:, :, :1, :1], (2, 3, size, size)))


def test_what_is_refused(rng):
    picture = np.zeros((1, 3, 4, 4), np.uint8)
    for images, size in ((picture.astype(np.float32), 8), (picture[0], 8), (picture, 0)):
        with pytest.raises(InputError, match="resize: expected pictures as uint8"):
            resize(images, size)


def test_loaders_resize(rng):
    images, labels = rng.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8), np.arange(6)
    loader = TrainLoader(images, labels, CIFAR10, batch_size=4, seed=0, augment=False, image_size=16)
    x, y = loader.batch(1)
    np.testing.assert_array_equal(x, CIFAR10(resize(images[y], 16)))
    augmented = TrainLoader(images, labels, CIFAR10, batch_size=4, seed=0, image_size=16).batch(1)[0]
    assert augmented.shape == x.shape and not np.array_equal(augmented, x)
    batches = list(evaluation_batches(images, labels, CIFAR10, batch_size=5, image_size=16))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), CIFAR10(resize(images, 16)))
