import numpy as np
import pytest

from resnet_np.data import CIFAR10, Normaliser
from resnet_np.data.normalise import named_normaliser
from resnet_np.errors import InputError

pytestmark = pytest.mark.nojit


@pytest.fixture
def images(rng):
    images = rng.integers(0, 256, (2100, 3, 5, 4), dtype=np.uint8)  # more than two chunks of `measured`
    images[:, 1] //= 2
    images.setflags(write=False)
    return images


def test_channels_against_the_formula(images):
    x = CIFAR10(images)
    assert x.dtype == np.float32 and x.shape == images.shape and x.flags.c_contiguous
    for c, (mean, std) in enumerate(zip((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), strict=True)):
        expected = (images[:, c].astype(np.float64) / 255 - mean) / std
        np.testing.assert_allclose(x[:, c], expected, rtol=0, atol=1e-6)


def test_measured_pictures_come_out_with_mean_0_and_std_1(images):
    normaliser = Normaliser.measured(images)
    np.testing.assert_allclose(normaliser.mean.ravel(), images.mean((0, 2, 3)) / 255, rtol=1e-6)
    np.testing.assert_allclose(normaliser.std.ravel(), images.std((0, 2, 3)) / 255, rtol=1e-6)
    x = normaliser(images).astype(np.float64)
    np.testing.assert_allclose(x.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 2, 3)), 1, atol=1e-5)


def test_measured_channel_of_one_value_does_not_divide_by_zero(images):
    flat = images.copy()
    flat[:, 2] = 7
    x = Normaliser.measured(flat)(flat)
    np.testing.assert_allclose(x[:, 2], 0, atol=1e-6)


def test_per_pixel_subtracts_the_mean_picture_and_divides_by_nothing(images):
    normaliser = Normaliser.per_pixel(images)
    assert normaliser.mean.shape == (3, 5, 4)
    x = normaliser(images)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.astype(np.float64).mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(x[3] - x[9], (images[3].astype(float) - images[9]) / 255, atol=1e-6)


@pytest.mark.parametrize("kind", ["measured", "per_pixel"])
def test_round_trip_gives_the_same_bits(images, kind):
    normaliser = getattr(Normaliser, kind)(images)
    again = Normaliser.from_arrays(normaliser.to_arrays())
    assert np.array_equal(normaliser(images), again(images))


def test_wrong_arguments(images):
    with pytest.raises(InputError, match="expected pictures as uint8"):
        CIFAR10(images.astype(np.float32))
    with pytest.raises(InputError, match="expected pictures as uint8"):
        CIFAR10(images[0])
    with pytest.raises(InputError, match="images are 4 x 4 pixels, but the mean picture is 5 x 4"):
        Normaliser.per_pixel(images)(images[:, :, :4])
    with pytest.raises(InputError, match="std must be above 0"):
        Normaliser.channels((0, 0, 0), (1, 0, 1))
    with pytest.raises(InputError, match=r"mean has shape \(4, 1, 1\)"):
        Normaliser.channels((0, 0, 0, 0), (1, 1, 1))
    with pytest.raises(InputError, match="expected arrays mean and std, got mean"):
        Normaliser.from_arrays({"mean": CIFAR10.mean})


@pytest.mark.parametrize("text, mean, std", [
    ("imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ("cifar10", [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    ("cifar10-0.2023", [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    ("cifar100", [0.507, 0.4865, 0.4409], [0.2673, 0.2564, 0.2761]),
    ("0,1e-1,-.5,1,2.5,3", [0, 0.1, -0.5], [1, 2.5, 3]),
])
def test_a_normaliser_by_its_name_or_its_numbers(text, mean, std):
    normaliser = named_normaliser(text)
    np.testing.assert_array_equal(normaliser.mean.ravel(), np.float32(mean))
    np.testing.assert_array_equal(normaliser.std.ravel(), np.float32(std))


@pytest.mark.parametrize("text, words", [
    ("", "expected imagenet, cifar10, cifar10-0.2023, cifar100, or three means"), ("ImageNet", "got 'ImageNet'"),
    ("1,2,3,4,5", "got '1,2,3,4,5'"), ("1,2,3,4,5,x", "three stds"), ("0.1,0.2,0.3,4,5,nan", "std must be finite"),
    ("0.1,0.2,0.3,4,5,0", "above 0"), ("125,122,113,63,62,66", "got the means 125, 122, 113, .*; divide all six by 255"),
])
def test_names_of_no_normaliser(text, words):
    with pytest.raises(InputError, match=words):
        named_normaliser(text)
