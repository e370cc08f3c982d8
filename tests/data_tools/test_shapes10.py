"""Shapes-10: the same bytes everywhere, and a task that neither colours nor single pixels solve."""

import hashlib

import numpy as np
import pytest

from data_tools import shapes10

pytestmark = pytest.mark.nojit
# sha256 of the pictures and labels of seed 0; another digest means another data set, whose results cannot be compared.
RECORDED = "02d52df811f8bf7264500a3473eb7d0d68fa699410cdd78f4d93f8f038cd919d"


@pytest.fixture(scope="module")
def data():
    return shapes10.make()


def test_the_bytes_are_the_recorded_ones(data):
    digest = hashlib.sha256()
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        digest.update(array.astype(np.uint8).tobytes())
    assert digest.hexdigest() == RECORDED


def test_format(data):
    assert (data.name, data.classes, data.official) == ("shapes10", shapes10.CLASSES, False)
    assert data.train_images.shape == (10_000, 3, 32, 32)
    assert data.test_images.shape == (2_000, 3, 32, 32)
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64


def test_classes_are_balanced_and_mixed(data):
    np.testing.assert_array_equal(np.bincount(data.train_labels), np.full(10, 1_000))
    np.testing.assert_array_equal(np.bincount(data.test_labels), np.full(10, 200))
    assert np.bincount(data.train_labels[:1_000]).min() > 60  # the five batch files are all of the same kind


def test_no_picture_is_in_both_halves_or_twice(data):
    images = np.concatenate([data.train_images, data.test_images])
    assert len({image.tobytes() for image in images}) == len(images)


def test_another_seed_draws_other_pictures():
    first, second = shapes10.make(seed=0, train=20, test=10), shapes10.make(seed=1, train=20, test=10)
    assert not (first.train_images == second.train_images).all(axis=(1, 2, 3)).any()
    assert not (first.train_images[:10] == first.test_images).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("name", shapes10.CLASSES)
def test_every_shape_has_the_area_pi_and_lies_in_the_middle(name):
    # Else size or place would tell the class.
    axis = (np.arange(800, dtype=np.float32) - np.float32(399.5)) / 200
    x, y = (grid[None] for grid in np.meshgrid(axis, axis))
    inside = shapes10._DISTANCE[name](x, y) < 0
    assert inside.mean() * 16 == pytest.approx(np.pi, rel=0.01)
    assert abs(x[inside].mean()) < 0.02
    assert abs(y[inside].mean()) < 0.02


@pytest.mark.parametrize("name", shapes10.CLASSES)
def test_distances_grow_by_one_pixel_a_pixel(name):
    # The smoothed edge of _paint takes distances at their word, near the edge.
    axis = (np.arange(400, dtype=np.float32) - np.float32(199.5)) / 100
    x, y = (grid[None] for grid in np.meshgrid(axis, axis))
    distance = shapes10._DISTANCE[name](x, y)[0]
    slope = np.hypot(*np.gradient(distance, 0.01))
    near = np.abs(distance) < 0.05
    assert np.median(slope[near]) == pytest.approx(1, abs=0.01)
    assert np.quantile(slope[near], 0.99) < 1.05


@pytest.mark.slow
def test_a_colour_histogram_does_not_give_the_class_away(data):
    def histogram(images):
        bins = images.astype(np.int64) >> 6
        cells = (bins[:, 0] * 4 + bins[:, 1]) * 4 + bins[:, 2]
        return np.stack([(cells == cell).mean(axis=(1, 2)) for cell in range(64)], axis=1)

    last, best = converged_accuracy(data, histogram, ridge=1e-6)
    assert last < 0.30
    assert best < 0.30


@pytest.mark.slow
def test_single_pixels_do_not_give_the_class_away(data):
    last, best = converged_accuracy(data, lambda images: images.reshape(len(images), -1), ridge=1e-3)
    assert 0.12 < last  # it learns something: the fit works
    assert last < 0.50
    assert best < 0.50  # nor anywhere on the way, before it fits the noise


def converged_accuracy(data, features, *, ridge):
    """Softmax regression on all pictures at once, converged -> test accuracy at the end, and the best on the way.

    Boehning's bound: half the second moment of x is above every Hessian of the loss, so that (x'x / 2n)^-1 times the
    gradient is a step that never fails; Nesterov's momentum, restarted where it points uphill, makes them few.
    """
    x, x_test = features(data.train_images), features(data.test_images)
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, x_test = (np.pad(((part - mean) / std).astype(np.float32), ((0, 0), (0, 1)), constant_values=1)
                 for part in (x, x_test))  # a column of ones: the bias
    wanted = np.eye(10, dtype=np.float32)[data.train_labels]
    bound = x.T @ x / np.float32(2 * len(x)) + np.float32(ridge) * np.eye(x.shape[1], dtype=np.float32)
    inverse = np.linalg.inv(bound.astype(np.float64) if len(bound) < 100 else bound).astype(np.float32)
    weights = ahead = np.zeros((x.shape[1], 10), np.float32)
    momentum, sizes, accuracies = 1.0, [], []
    while not sizes or (sizes[-1] > 0.01 * sizes[0] and len(sizes) < 300):
        logits = x @ ahead
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = odds / odds.sum(axis=1, keepdims=True) - wanted
        gradient = x.T @ error / np.float32(len(x)) + np.float32(ridge) * ahead
        step = inverse @ gradient
        sizes.append(float(np.sqrt(np.sum(gradient * step))))  # the gradient's length in the bound's own measure
        before, weights = weights, ahead - step
        if np.sum(gradient * (weights - before)) > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum ** 2)) / 2
        ahead = weights + np.float32((momentum - 1) / following) * (weights - before)
        momentum = following
        accuracies.append(float((np.argmax(x_test @ weights, axis=1) == data.test_labels).mean()))
    assert sizes[-1] <= 0.01 * sizes[0], "did not converge"
    return accuracies[-1], max(accuracies)
