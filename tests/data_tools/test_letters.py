import numpy as np
import pytest

from data_tools import letters

pytestmark = pytest.mark.nojit


def test_make():
    made = letters.make(train=3, test=2)
    assert made.name == "letters15" and len(made.classes) == 15
    assert made.train_images.shape == (45, 3, 32, 32) and made.train_images.dtype == np.uint8
    assert np.bincount(made.train_labels).tolist() == [3] * 15 and np.bincount(made.test_labels).tolist() == [2] * 15
    again, other = letters.make(train=3, test=2), letters.make(seed=1, train=3, test=2)
    assert np.array_equal(made.train_images, again.train_images) and not np.array_equal(made.train_images, other.train_images)
    assert not (made.test_images[:, None] == made.train_images).all((2, 3, 4)).any()


def test_letters_differ_and_colours_do_not_tell():
    """Scaled to ink and ground alike, the mean picture of a class is nearest to the class; the mean colour is not."""
    made = letters.make(train=40, test=20)

    def shapes(images):
        grey = np.abs(images.astype(float) - np.median(images, axis=(2, 3), keepdims=True)).sum(1)
        return (grey / grey.max((1, 2), keepdims=True)).reshape(len(images), -1)

    def colours(images):
        return images.mean((2, 3))

    def nearest_mean(features):
        train, test = features(made.train_images), features(made.test_images)
        means = np.array([train[made.train_labels == k].mean(0) for k in range(15)])
        chosen = ((test[:, None] - means) ** 2).sum(2).argmin(1)
        return (chosen == made.test_labels).mean()

    assert nearest_mean(shapes) > 0.3
    assert nearest_mean(colours) < 0.12
