"""A whitening does what its name says, and the identity begins as the identity."""

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.layers import BatchNorm2d, Conv2d, FusedIdentityBlock, FusedWhitenedStem, WhitenedStem
from resnet_np.layers.whitened import EPS, whitening_filters

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def numpy_backend():
    with using("numpy"):
        yield


@pytest.fixture
def smooth(rng):
    """200 pictures whose neighbouring pixels are alike, and whose channels are, as those of photos."""
    noise = rng.standard_normal((200, 1, 12, 12)) + 0.3 * rng.standard_normal((200, 3, 12, 12))
    x = noise[:, :, 1:, 1:] + noise[:, :, :-1, 1:] + noise[:, :, 1:, :-1] + noise[:, :, :-1, :-1]
    return (x - x.mean((0, 2, 3), keepdims=True)).astype(np.float32)


def patches(x, kernel):
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))  # (N, C, OH, OW, k, k)
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 3 * kernel * kernel).astype(np.float64)


@pytest.mark.parametrize("kernel", [2, 3])
def test_whitened_patches_are_uncorrelated_and_of_variance_1(smooth, kernel):
    filters = whitening_filters(smooth, kernel)
    size = 3 * kernel * kernel
    assert filters.shape == (2 * size, 3, kernel, kernel) and filters.dtype == np.float32
    np.testing.assert_array_equal(filters[:size], -filters[size:])
    p = patches(smooth, kernel)
    white = p @ filters[:size].reshape(size, size).T.astype(np.float64)
    moments = white.T @ white / len(white)
    variances = np.sort(np.linalg.eigvalsh(p.T @ p / len(p)))[::-1]
    np.testing.assert_allclose(moments, np.diag(variances / (variances + EPS)), atol=1e-4)
    before = np.corrcoef(p.T)
    assert np.abs(before - np.eye(size)).max() > 0.5  # they were correlated


def test_the_order_of_pictures_does_not_matter_and_the_sign_is_settled(smooth):
    filters = whitening_filters(smooth, 2)
    np.testing.assert_allclose(whitening_filters(smooth[::-1], 2), filters, rtol=0, atol=1e-5)
    flat = filters[:12].reshape(12, 12)
    assert (flat[range(12), np.abs(flat).argmax(1)] > 0).all()


@pytest.mark.parametrize("x, words", [
    (np.zeros((2, 3, 1, 5), np.float32), "1x5"), (np.zeros((2, 3, 4, 4), np.uint8), "uint8"),
    (np.zeros((2, 1, 4, 4)), "2, 1, 4, 4"), (np.zeros((0, 3, 4, 4)), "0, 3, 4, 4"), (np.zeros((3, 4, 4)), "3, 4, 4")])
def test_what_cannot_be_whitened(x, words):
    with pytest.raises(InputError, match=words):
        whitening_filters(x, 2)


@pytest.mark.parametrize("kind", [WhitenedStem, FusedWhitenedStem])
def test_the_stem_learns_its_bias_alone(rng, smooth, kind):
    stem = kind(2, rng=rng)
    stem.whiten(smooth)
    np.testing.assert_array_equal(stem.conv1.weight.data, whitening_filters(smooth, 2))
    stem.freeze(True)
    stem.freeze(False)  # which thaws what learns, and nothing else
    assert stem.conv1.weight.frozen and not stem.bias.bias.frozen
    out = stem.forward(smooth, training=True)
    assert stem.backward(np.ones_like(out), need_dx=False) is None
    assert stem.bias.bias.grad.any() and not stem.conv1.weight.grad.any()
    with pytest.raises(InputError):  # every cache was used up
        stem.backward(np.ones_like(out))


def test_an_identity_convolution_hands_its_channels_on(rng):
    conv = Conv2d(3, 5, 3, pad=1, identity=True, rng=rng)
    x = rng.standard_normal((2, 3, 6, 6)).astype(np.float32)
    out = conv.forward(x, training=False)
    np.testing.assert_array_equal(out[:, :3], x)
    rest = conv.weight.data[3:]
    bound = 1 / np.sqrt(27)
    assert np.abs(rest).max() <= bound and rest.std() == pytest.approx(bound / np.sqrt(3), rel=0.15)


@pytest.mark.parametrize("filters, kernel", [(2, 3), (5, 2)])
def test_what_cannot_be_an_identity(rng, filters, kernel):
    with pytest.raises(InputError, match="identity"):
        Conv2d(3, filters, kernel, identity=True, rng=rng)


def test_a_batch_norm_without_gamma(rng):
    norm = BatchNorm2d(4, scale=False)
    out = norm.forward(rng.standard_normal((8, 4, 3, 3)).astype(np.float32), training=True)
    norm.backward(rng.standard_normal(out.shape).astype(np.float32))
    norm.freeze(False)
    assert norm.weight.frozen and not norm.weight.grad.any() and norm.bias.grad.any()


def test_a_block_starts_as_its_input_normalised_and_added_to_it(rng):
    x = np.abs(rng.standard_normal((16, 4, 6, 6))).astype(np.float32)
    out = FusedIdentityBlock(4, 1, rng=rng).forward(x, training=True)
    normalised = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(out, np.maximum(normalised + x, 0), atol=1e-4)
