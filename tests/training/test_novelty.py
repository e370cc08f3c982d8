"""Pictures unlike the training pictures are found, those like them are let pass, on nets and data of several kinds."""


import numpy as np
import pytest

import data_tools
from data_tools import shapes10
from resnet_np.data import CIFAR10, Normaliser, train_validation_split
from resnet_np.errors import CheckpointError
from resnet_np.models import load_weights, resnet_cifar, resnet_imagenet
from resnet_np.training import novelty
from resnet_np.training.novelty import NothingTypical, Novelty, learn, roughness, statistics


@pytest.fixture(scope="module")
def shapes():
    return shapes10.make()


@pytest.fixture(scope="module")
def net():
    """Of random weights: what pictures look like is seen by those, too."""
    return resnet_cifar(8, seed=3)


@pytest.fixture(scope="module")
def typical(net, shapes):
    return learn(net, CIFAR10, shapes.train_images[:600], shapes.train_images[600:900], image_size=32, seed=0)


def strange(rng, count, size=32):
    """name -> uint8 (N, 3, S, S)."""
    shape = (count, 3, size, size)
    colours = rng.integers(0, 256, (count, 3, 1, 1))
    colours[:2] = np.array([0, 255])[:, None, None, None]  # black and white
    return {"uniform": rng.integers(0, 256, shape, dtype=np.uint8),
            **{f"gaussian {deviation}": np.clip(rng.normal(127, deviation, shape), 0, 255).astype(np.uint8)
               for deviation in (10, 25, 64)},
            "grey noise": np.repeat(np.clip(rng.normal(127, 64, (count, 1, size, size)), 0, 255), 3, 1).astype(np.uint8),
            "one colour": np.broadcast_to(colours, shape).astype(np.uint8)}


def test_noise_and_plain_colours_are_unlike_the_pictures_are_not(net, shapes, typical, rng):
    detector = Novelty(net, CIFAR10, typical)
    assert detector.is_unlike(shapes.test_images[:500]).mean() <= 0.08
    for name, pictures in strange(rng, 20).items():
        assert detector.is_unlike(pictures).all(), name


def test_negatives_are_told_from_pictures_of_which_side_is_known(net, rng):
    """Dark things on bright paper: their negatives are as smooth, and hardly further away."""
    def draw(count):
        paper = np.full((count, 3, 16, 16), 215.0)
        for picture in paper:
            top, left, side = *rng.integers(0, 9, 2), rng.integers(4, 8)
            picture[:, top:top + side, left:left + side] = rng.integers(20, 180, (3, 1, 1))
        return np.clip(paper + rng.normal(0, 4, paper.shape), 0, 255).astype(np.uint8)

    typical = learn(net, CIFAR10, draw(400), draw(300), image_size=16, seed=0)
    detector, pictures = Novelty(net, CIFAR10, typical), draw(300)
    assert detector.is_unlike(pictures).mean() <= 0.09
    assert detector.is_unlike(255 - pictures).mean() >= 0.98
    evidence, other = detector.answers(pictures).against, detector.answers(255 - pictures).against
    np.testing.assert_allclose(evidence, -other, rtol=1e-3, atol=1e-3)  # a negative has minus the evidence of its photo


def test_what_is_learned(net, shapes, typical):
    D = 2 * (16 + 16 + 32 + 64)
    shapes_of = {"mean": (D,), "scale": (D,), "weights": (2 * D,), "limits": (3,)}
    assert {name: array.shape for name, array in typical.items()} == shapes_of
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in typical.values())
    assert (typical["scale"] > 0).all() and sum(array.nbytes for array in typical.values()) < 5000
    images, held_out = shapes.train_images[:600].copy(), shapes.train_images[600:900].copy()
    again = learn(net, CIFAR10, images, held_out, image_size=32, seed=0)
    assert all(np.array_equal(again[name], typical[name]) for name in typical)  # same seed, same bits
    np.testing.assert_array_equal(images, shapes.train_images[:600])  # nothing is written into
    np.testing.assert_array_equal(held_out, shapes.train_images[600:900])
    few, others = (learn(net, CIFAR10, images, held_out, image_size=32, seed=seed, most=300) for seed in (0, 1))
    assert not np.array_equal(few["mean"], typical["mean"]) and not np.array_equal(few["mean"], others["mean"])


@pytest.mark.slow
def test_the_limits_are_those_of_held_out_pictures(net, shapes):
    """999 scores: one, three and 33 of a thousand may lie beyond."""
    held_out = shapes.train_images[600:1599]
    typical = learn(net, CIFAR10, shapes.train_images[:300], held_out, image_size=32, seed=0)
    answers = Novelty(net, CIFAR10, typical).answers(held_out)
    assert [int((scores >= limit).sum()) for scores, limit in zip(answers, typical["limits"], strict=True)] == [1, 3, 33]


def test_nobody_knows(net, shapes):
    images = shapes.train_images
    for count, held, most in ((199, 100, 10_000), (300, 9, 10_000), (300, 100, 199), (300, 100, 0)):
        few = f"{held} pictures were held out, at least 10" if held < 10 else f"{min(count, most)} pictures were trained on"
        with pytest.raises(NothingTypical, match=few):
            learn(net, CIFAR10, images[:count], images[300:300 + held], image_size=32, seed=0, most=most)
    learn(net, CIFAR10, images[:200], images[300:310], image_size=32, seed=0)
    broken = resnet_cifar(8)
    broken.stem.conv1.weight.data[0] = np.inf
    with np.errstate(invalid="ignore"), pytest.raises(NothingTypical, match="not finite"):
        learn(broken, CIFAR10, images[:200], images[300:400], image_size=32, seed=0)
    black = np.zeros((200, 3, 32, 32), np.uint8)
    with pytest.raises(NothingTypical, match="all pictures are the same"):
        learn(net, CIFAR10, black, black, image_size=32, seed=0)


def test_other_nets_and_sizes(shapes, rng, monkeypatch):
    """Bottlenecks and an ImageNet stem at 40 pixels; more weights than pictures, and not all pictures looked at."""
    net = resnet_imagenet(50, classes=5, width=4)
    D = 2 * (4 + 16 * 3 + 32 * 4 + 64 * 6 + 128 * 3)
    monkeypatch.setattr(novelty, "LARGEST", 220 * 2 * D)
    counted = []
    pairs = novelty._pairs
    monkeypatch.setattr(novelty, "_pairs", lambda *given: counted.append(len(given[2])) or pairs(*given))
    typical = learn(net, CIFAR10, shapes.train_images[:300], shapes.train_images[600:800], image_size=40, seed=0)
    assert counted == [220, 200] and typical["mean"].shape == (D,)
    pictures = strange(rng, 10, 40)["one colour"]
    assert Novelty(net, CIFAR10, typical).is_unlike(pictures).all()


def test_the_closed_form_solves_the_ridge_regression(rng):
    for N, M in ((40, 12), (12, 40)):
        A = rng.standard_normal((N, M)).astype(np.float32)
        w = novelty._ridge(A).astype(np.float64)
        gradient = A.T @ (A @ w - 1) + novelty.PENALTY * M * w
        np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_statistics_by_hand(net, rng):
    x = rng.standard_normal((3, 3, 12, 12)).astype(np.float32)
    maps = net.stem.forward(x, training=False)
    found = statistics(net, x)
    assert found.shape == (3, 2 * (16 + 16 + 32 + 64)) and found.dtype == np.float32
    np.testing.assert_allclose(found[:, :16], maps.mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, 16:32], maps.std((2, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[:, -128:-64], net.features(x), rtol=1e-5, atol=1e-6)  # the last means are what is pooled


def test_roughness(rng):
    assert roughness(rng.integers(0, 256, (1, 3, 200, 200), dtype=np.uint8))[0] == pytest.approx(np.sqrt(2), rel=0.01)
    slope = np.broadcast_to(np.arange(0, 200, 10, dtype=np.uint8), (1, 3, 20, 20))
    # down 0, across 10: mean square 50 over a variance of 100 (20^2 - 1) / 12
    assert roughness(slope)[0] == pytest.approx(np.sqrt(50 / (100 * 399 / 12)))
    assert np.isinf(roughness(np.full((1, 3, 8, 8), 7, np.uint8))[0]) and np.isinf(roughness(np.zeros((1, 3, 1, 1), np.uint8))[0])


@pytest.mark.parametrize("change", [
    {"mean": None}, {"limits": np.zeros(2, np.float32)}, {"weights": np.zeros(3, np.float32)}, {"other": np.zeros(1, np.float32)},
    {"scale": np.zeros(256, np.float32)}, {"mean": np.full(256, np.nan, np.float32)}], ids=lambda change: next(iter(change)))
def test_a_damaged_record_is_refused(net, typical, change):
    damaged = {name: array for name, array in (typical | change).items() if array is not None}
    with pytest.raises(CheckpointError, match="typical of the training pictures"):
        Novelty(net, CIFAR10, damaged)


def test_another_nets_record_is_refused(typical, shapes):
    with pytest.raises(CheckpointError, match="another net's: 256 statistics, expected 480"):
        Novelty(resnet_cifar(14), CIFAR10, typical).is_unlike(shapes.test_images[:2])


@pytest.mark.slow
def test_cifar10(shared, cifar10_copy, rng):
    """The public ResNet-20 on the JPEG copy: measured 95.7 % of the test pictures unflagged, 93.1 % of their negatives flagged."""
    pictures = data_tools.find(str(cifar10_copy), say=print, progress=False)
    found = load_weights(None, shared / "pretrained" / "resnet20-12fca82f.th").checkpoint
    net, normaliser = found.net, found.normaliser
    assert isinstance(normaliser, Normaliser)
    train, validation = train_validation_split(len(pictures.train_images))
    typical = learn(net, normaliser, pictures.train_images[train], pictures.train_images[validation], image_size=32, seed=0)
    detector = Novelty(net, normaliser, typical)
    test = pictures.test_images[::2]  # enough: the standard error is 0.4 %
    assert detector.is_unlike(test).mean() <= 0.05
    assert detector.is_unlike(255 - test).mean() >= 0.91
    for name, images in strange(rng, 200).items():
        assert detector.is_unlike(images).all(), name
