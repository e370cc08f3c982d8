import threading
from functools import partial

import numpy as np
import pytest

from resnet_np.data import CIFAR10, Normaliser, TrainLoader, crop_flip, evaluation_batches, generator
from resnet_np.errors import InputError

pytestmark = pytest.mark.nojit

PLAIN = Normaliser.channels((0, 0, 0), (1, 1, 1))


def numbered(count):
    """Pictures whose every pixel is their own number, which is their label too."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, 8, 8)).copy()
    labels = np.arange(count)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


def loader(count=50, *, batch_size=8, seed=0, augment=True, normaliser=PLAIN, **more):
    return TrainLoader(*numbered(count), normaliser, batch_size=batch_size, seed=seed, augment=augment, classes=count, **more)


def test_labels_stay_with_their_pictures():
    batches = loader()
    for t in range(1, 20):
        x, labels = batches.batch(t)
        assert x.dtype == np.float32 and labels.dtype == np.int64
        assert x.shape == (8, 3, 8, 8) and x.flags.c_contiguous
        np.testing.assert_allclose(x.max((1, 2, 3)) * 255, labels, atol=1e-3)  # the padding is 0


def test_an_epoch_shows_no_picture_twice_and_drops_the_partial_batch():
    batches = loader()
    assert batches.steps_per_epoch == 6
    for epoch in range(3):
        labels = np.concatenate([batches.batch(epoch * 6 + i)[1] for i in range(1, 7)])
        assert len(set(labels.tolist())) == 48


def test_alternating_flips_go_with_the_picture_and_not_with_its_place():
    """Every picture is dark on the left. The epochs are shuffled; a picture is nevertheless mirrored in every second one."""
    images = np.zeros((48, 3, 8, 8), np.uint8)
    images[..., 4:] = 100
    images[:, 0] += np.arange(48, dtype=np.uint8)[:, None, None]
    batches = TrainLoader(images, np.arange(48), PLAIN, batch_size=8, seed=0, classes=48, shift=1, padding="reflect",
                          flip="alternating")
    seen = []
    for epoch in range(4):
        mirrored = np.zeros(48, bool)
        for i in range(1, 7):
            x, labels = batches.batch(epoch * 6 + i)
            mirrored[labels] = x[:, 1, 4, 0] > x[:, 1, 4, 7]
        seen.append(mirrored)
    np.testing.assert_array_equal(seen[0], ~seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[1], seen[3])
    assert 10 < seen[0].sum() < 38


def test_a_shift_moves_no_further(rng):
    """Zeros are beyond the edge: a picture of ones, moved by at most a pixel, keeps at least 7 x 7 of them."""
    images = np.full((64, 3, 8, 8), 255, np.uint8)
    x, _ = TrainLoader(images, np.zeros(64, np.int64), PLAIN, batch_size=64, seed=0, shift=1).batch(1)
    assert sorted(set(x[:, 0].sum((1, 2)).tolist())) == [49, 56, 64]
    with pytest.raises(InputError, match="moves by 8 pixels"):
        TrainLoader(images, np.zeros(64, np.int64), PLAIN, batch_size=64, seed=0, shift=8)


def test_every_epoch_has_its_own_order():
    batches = loader(48)
    first, second = (np.concatenate([batches.batch(epoch * 6 + i)[1] for i in range(1, 7)]) for epoch in range(2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(48))
    assert np.array_equal(np.sort(first), np.sort(second))


def test_yardstick_has_351_steps_an_epoch():
    images = np.broadcast_to(np.zeros((), np.uint8), (45_000, 3, 32, 32))
    batches = TrainLoader(images, np.zeros(45_000, np.int64), CIFAR10, batch_size=128, seed=0)
    assert batches.steps_per_epoch == 351


def test_a_batch_depends_on_seed_and_step_alone(rng):
    """In order, backwards, from a new loader, from a second thread: the same bits."""
    steps = list(range(1, 26))
    in_order = {t: loader_batch for t, loader_batch in zip(steps, map(loader().batch, steps), strict=True)}
    batches = loader()
    shuffled = rng.permutation(steps).tolist()
    from_thread = {}
    ahead = threading.Thread(target=lambda: from_thread.update({t: batches.batch(t) for t in reversed(steps)}))
    ahead.start()
    mixed = {t: batches.batch(t) for t in shuffled}
    ahead.join()
    for t in steps:
        for other in (mixed[t], from_thread[t], loader().batch(t)):
            assert np.array_equal(in_order[t][0], other[0]) and np.array_equal(in_order[t][1], other[1])


def test_other_seed_other_order_and_other_crops():
    assert not np.array_equal(loader(seed=0).batch(1)[1], loader(seed=1).batch(1)[1])
    whole = [loader(8, seed=seed).batch(1) for seed in (0, 1)]  # one batch holds every picture: put them in one order
    first, second = (x[np.argsort(labels)] for x, labels in whole)
    assert not np.array_equal(first, second)


def test_pictures_are_normalised_before_they_are_padded(rng):
    images = rng.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    batches = TrainLoader(images, np.arange(8), CIFAR10, batch_size=8, seed=3)
    x, labels = batches.batch(5)
    assert np.array_equal(x, crop_flip(CIFAR10(images[labels]), generator(3, 5, "augment")))


def test_without_augmentation_pictures_come_as_they_are():
    x, labels = loader(augment=False).batch(2)
    expected = np.broadcast_to((labels / 255).astype(np.float32)[:, None, None, None], x.shape)
    np.testing.assert_allclose(x, expected, rtol=1e-6)


def test_a_batch_that_was_handed_out_is_not_touched_again():
    batches = loader()
    x, labels = batches.batch(1)
    before = x.copy(), labels.copy()
    batches.batch(2)
    assert np.array_equal(x, before[0]) and np.array_equal(labels, before[1])


def test_evaluation_sees_every_picture_once_in_order():
    images, labels = numbered(21)
    seen = list(evaluation_batches(images, labels.astype(np.uint8), PLAIN, batch_size=8))
    assert [len(x) for x, _ in seen] == [8, 8, 5]
    assert all(x.dtype == np.float32 and y.dtype == np.int64 for x, y in seen)
    assert np.array_equal(np.concatenate([y for _, y in seen]), labels)
    assert np.array_equal(np.concatenate([x for x, _ in seen]), PLAIN(images))


def test_wrong_arguments():
    images, labels = numbered(20)
    with pytest.raises(InputError, match="batch size 32 is above the 20 training pictures"):
        TrainLoader(images, labels, PLAIN, batch_size=32, seed=0)
    with pytest.raises(InputError, match=r"20 pictures need labels of shape \(20,\), got \(19,\)"):
        TrainLoader(images, labels[1:], PLAIN, batch_size=4, seed=0)
    for wrong in (labels, labels[::-1] - 10):
        with pytest.raises(InputError, match=r"labels run from -?\d+ to \d+, expected 0 to 9; give their number with classes="):
            TrainLoader(images, wrong, PLAIN, batch_size=4, seed=0)
    with pytest.raises(InputError, match="batch size must be at least 1, got 0"):
        evaluation_batches(images, labels, PLAIN, batch_size=0)
    with pytest.raises(InputError, match="steps are counted from 1, got 0"):
        loader().batch(0)
    side = images.shape[2]
    TrainLoader(images, labels, PLAIN, batch_size=4, seed=0, classes=20, cutout=side - 1)
    with pytest.raises(InputError, match=f"a cutout of {side} pixels, expected fewer than the {side} of a picture's side"):
        TrainLoader(images, labels, PLAIN, batch_size=4, seed=0, classes=20, cutout=side)


def test_cutout_and_mixup_are_functions_of_seed_and_step():
    plain, first, again = loader(), loader(cutout=4, mixup=0.2), loader(cutout=4, mixup=0.2)
    for t in (7, 3):
        x, targets = first.batch(t)
        assert x.dtype == targets.dtype == np.float32 and targets.shape == (8, 50)
        for ours, theirs in zip(first.batch(t), again.batch(t), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert set(np.nonzero(targets)[1]) == set(plain.batch(t)[1])  # the same pictures as without


def test_what_is_off_changes_nothing():
    for ours, theirs in zip(loader().batch(3), loader(cutout=0, mixup=0.0).batch(3), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    holes = loader(augment=False, cutout=4).batch(3)[0]
    whole = loader(augment=False).batch(3)[0]
    assert ((holes == 0) | (holes == whole)).all() and (holes == 0).mean() > 0.05


def test_small_pictures_first(rng):
    """The same pictures in the same order, smaller; what is measured in pixels is as much of a picture."""
    images, labels = rng.integers(1, 256, (12, 3, 16, 16), np.uint8), np.arange(12)
    make = partial(TrainLoader, images, labels, PLAIN, batch_size=4, seed=5, classes=12, shift=4)
    grows, as_they_are, small = make(start=(8, 5)), make(), make(image_size=8, shift=2)
    for t in range(1, 10):
        (x, targets), (whole, same) = grows.batch(t), as_they_are.batch(t)
        np.testing.assert_array_equal(targets, same)
        np.testing.assert_array_equal(x, small.batch(t)[0] if t <= 5 else whole)
    holes = make(augment=False, cutout=8, start=(8, 5))
    for t, side in ((1, 4), (6, 8)):  # a hole is cut at the edge of the picture
        assert max(int((x[0] == 0).sum(axis=0).max()) for x in holes.batch(t)[0]) in range(side // 2, side + 1)
    assert make(shift=1, start=(4, 5)).batch(1)[0].shape == (4, 3, 4, 4)  # a shift stays one
