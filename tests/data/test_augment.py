import itertools

import numpy as np
import pytest

from resnet_np.data import CIFAR10, crop_flip, cutout, mixup
from resnet_np.data.augment import alternating_mirrors, draw_windows, take_windows
from resnet_np.errors import InputError

pytestmark = pytest.mark.nojit


def slow_twin(images, rng, *, pad):
    """The same, a picture at a time."""
    N, _, H, W = images.shape
    down, right = rng.integers(0, 2 * pad + 1, (2, N))
    mirror = rng.random(N) < 0.5
    out = np.empty_like(images)
    for n in range(N):
        padded = np.pad(images[n], ((0, 0), (pad, pad), (pad, pad)))
        window = padded[:, down[n]:down[n] + H, right[n]:right[n] + W]
        out[n] = window[:, :, ::-1] if mirror[n] else window
    return out


@pytest.mark.parametrize(("shape", "pad"), [
    ((64, 3, 32, 32), 4), ((1, 3, 7, 5), 2), ((5, 1, 4, 9), 0), ((9, 2, 2, 2), 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_against_the_slow_twin(rng, shape, pad, dtype):
    images = rng.standard_normal(shape).astype(dtype)
    images.setflags(write=False)
    out = crop_flip(images, np.random.default_rng(1), pad=pad)
    assert out.dtype == dtype and out.flags.c_contiguous
    assert np.array_equal(out, slow_twin(images, np.random.default_rng(1), pad=pad))


@pytest.mark.parametrize(("shape", "pad"), [((64, 3, 32, 32), 2), ((5, 1, 4, 9), 3), ((3, 2, 5, 5), 0)])
def test_a_reflected_edge(rng, shape, pad):
    images = rng.standard_normal(shape).astype(np.float32)
    images.setflags(write=False)
    windows = draw_windows(np.random.default_rng(1), len(images), pad)
    out = take_windows(images, windows, pad, reflect=True)
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
    for n, (down, right, mirror) in enumerate(windows.T):
        window = padded[n, :, down:down + shape[2], right:right + shape[3]]
        np.testing.assert_array_equal(out[n], window[:, :, ::-1] if mirror else window)


def test_alternating_mirrors_show_both_sides_in_any_two_epochs():
    epochs = [alternating_mirrors(np.random.default_rng(3), 2000, epoch) for epoch in range(4)]
    for first, second in itertools.pairwise(epochs):
        assert (first != second).all()
    assert abs(int(epochs[0].sum()) - 1000) < 6 * 22.4  # half of them, at random: six standard deviations


def test_every_window_and_both_mirrors_occur_about_equally_often():
    """One bright pixel in the centre of an odd picture tells the window; another beside it tells the mirror."""
    N, pad = 6000, 2
    images = np.zeros((N, 1, 9, 9), np.float32)
    images[:, :, 4, 4], images[:, :, 4, 5] = 1, 0.5
    out = crop_flip(images, np.random.default_rng(0), pad=pad)[:, 0]
    rows, columns = np.divmod(out.reshape(N, -1).argmax(1), 9)
    mirrored = out[np.arange(N), rows, columns - 1] == 0.5
    seen = {key: 0 for key in itertools.product(range(2, 7), range(2, 7), (False, True))}
    for key in zip(rows.tolist(), columns.tolist(), mirrored.tolist(), strict=True):
        seen[key] += 1
    # 50 equally likely cells of 120 expected, standard deviation 11: six of them
    assert min(seen.values()) > 120 - 66 and max(seen.values()) < 120 + 66


def test_padding_is_zero_after_normalisation():
    """The border is the mean colour, not black: black would be (0 - mean) / std, about -2."""
    black = CIFAR10(np.zeros((200, 3, 32, 32), np.uint8))
    out = crop_flip(black, np.random.default_rng(0))
    assert set(np.unique(out)) == {0, *np.unique(black)}


def test_window_reaches_no_further_than_the_padding():
    out = crop_flip(np.ones((2000, 1, 6, 6), np.float32), np.random.default_rng(0), pad=2)
    assert out.sum((1, 2, 3)).min() == 16  # the furthest corner: 4 x 4 of the picture remain


def test_same_seed_same_bits_and_other_seed_other_bits(rng):
    images = rng.standard_normal((16, 3, 32, 32)).astype(np.float32)
    first, again, other = (crop_flip(images, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_wrong_arguments(rng):
    with pytest.raises(InputError, match=r"got \(3, 32, 32\) and 4"):
        crop_flip(np.zeros((3, 32, 32), np.float32), rng)
    with pytest.raises(InputError, match="and -1"):
        crop_flip(np.zeros((1, 3, 32, 32), np.float32), rng, pad=-1)


def test_cutout_blanks_one_square_a_picture(rng):
    images = np.ones((200, 3, 9, 11), np.float32)
    out = cutout(images, rng, side=4)
    assert out.dtype == np.float32 and (images == 1).all()
    centres = set()
    for picture in out:
        rows, columns = np.nonzero(picture[0] == 0)
        assert (picture == picture[0]).all() and set(np.unique(picture)) <= {0, 1}
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width and 2 <= height <= 4 and 2 <= width <= 4  # a rectangle, cut by the edge at most in half
        if height == width == 4:
            centres.add((rows.min(), columns.min()))
    assert len(centres) > 30  # of 6 x 8 places
    np.testing.assert_array_equal(cutout(images, rng, side=0), images)
    with pytest.raises(InputError, match="side >= 0"):
        cutout(images, rng, side=-1)


def test_mixup_blends_pictures_and_labels_alike(rng):
    images = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1) * np.ones((6, 3, 2, 2), np.float32)
    labels = np.arange(6)
    mixed, targets = mixup(images, labels, rng, alpha=1.0, classes=6)
    assert mixed.dtype == targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], targets @ np.arange(6), rtol=1e-5)  # picture k is k everywhere
    assert ((targets > 0).sum(axis=1) <= 2).all() and ((targets > 0).sum(axis=1) == 2).any()
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(6))
    with pytest.raises(InputError, match="alpha must be a number above 0, got 0"):
        mixup(images, labels, rng, alpha=0, classes=6)
