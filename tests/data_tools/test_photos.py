"""Photos of every mode and size: exact pixels."""

import struct

import numpy as np
import pytest
from PIL import Image

from data_tools import photos
from resnet_np.errors import InputError

pytestmark = pytest.mark.nojit
TURNED = {  # what must be done to the stored pixels (H, W, 3) at each of EXIF's orientations
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: a.swapaxes(0, 1)[::-1, ::-1], 8: np.rot90,
}


def seen(path, image_size=8, **options):
    """What the net sees, as (S, S, 3)."""
    pixels = photos.read(path, image_size=image_size, **options).pixels
    assert (pixels.dtype, pixels.shape, pixels.flags.c_contiguous) == (np.uint8, (3, image_size, image_size), True)
    return pixels.transpose(1, 2, 0)


# Preprocessing.

@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF"])
def test_a_picture_of_that_size_comes_through_bit_by_bit(save, rng, form):
    stored = rng.integers(0, 256, (224, 224, 3), np.uint8)
    path = save(stored, form)
    photo = photos.read(str(path), image_size=224)
    np.testing.assert_array_equal(photo.pixels, stored.transpose(2, 0, 1))
    np.testing.assert_array_equal(photo.shown, stored)
    assert photo.size == (224, 224)


@pytest.mark.parametrize(("size", "image_size", "crop", "resized", "corner"), [
    ((300, 200), 224, 0.875, (384, 256), (80, 16)),
    ((200, 300), 224, 0.875, (256, 384), (16, 80)),
    ((500, 333), 224, 0.875, (384, 256), (80, 16)),  # 384.4: the longer side is rounded down
    ((257, 256), 224, 0.875, (257, 256), (16, 16)),  # 16.5: to the nearest even, as Python rounds
    ((259, 256), 224, 0.875, (259, 256), (18, 16)),
    ((40, 30), 32, 1.0, (42, 32), (5, 0)),  # enlarged
    ((1000, 20), 32, 1.0, (1600, 32), (784, 0)),
])
def test_resize_and_center_crop_of_torchvision(save, rng, size, image_size, crop, resized, corner):
    stored = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    whole = np.asarray(stored.resize(resized, Image.Resampling.BILINEAR))
    expected = whole[corner[1]:corner[1] + image_size, corner[0]:corner[0] + image_size]
    np.testing.assert_array_equal(seen(save(stored), image_size, crop=crop), expected)


def test_halving_is_antialiased(save):
    # Halving weighs 1, 3, 3, 1 pixels, which makes grey of stripes; without antialiasing some of them would vanish.
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4], stripes[:, 1::4] = 255, 255
    inner = seen(save(stripes), 32)[:, 1:-1, 0]
    np.testing.assert_array_equal(inner[:, ::2], 64)  # (255 + 3 * 0 + 3 * 0 + 255) / 8
    np.testing.assert_array_equal(inner[:, 1::2], 191)


@pytest.mark.parametrize("size", [(900, 9), (9, 900), (7, 800), (1, 1000), (301, 2)])
@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_long_pictures_are_cut_before_they_are_enlarged(save, rng, monkeypatch, size, crop):
    path = save(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    expected = seen(path, 32, crop=crop)
    monkeypatch.setattr(photos, "MAX_RESIZED", 0)
    found = seen(path, 32, crop=crop)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found == expected).mean() > 0.99


@pytest.mark.parametrize("size", [(65_000, 1), (1, 65_000), (20_000_001, 1)])
def test_a_line_of_pixels_takes_no_gigabytes(save, size, monkeypatch):
    resize = Image.Image.resize

    def small(picture, new, *arguments, **options):
        assert new[0] * new[1] <= photos.MAX_RESIZED
        return resize(picture, new, *arguments, **options)

    monkeypatch.setattr(Image.Image, "resize", small)
    path = save(Image.new("RGB", size, (9, 8, 7)), compress_level=1)
    assert (seen(path, 224, crop=0.875) == (9, 8, 7)).all()
    photo = photos.read(path, image_size=8)
    assert photo.size == size
    assert max(photo.shown.shape) == photos.SHOWN
    assert min(photo.shown.shape) == 1


def test_one_pixel(save):
    path = save(Image.new("RGB", (1, 1), (1, 2, 3)))
    assert (seen(path, 32) == (1, 2, 3)).all()
    assert photos.read(path, image_size=1).shown.tolist() == [[[1, 2, 3]]]


def test_shown_is_made_when_it_is_asked_for(save, rng):
    photo = photos.read(save(rng.integers(0, 256, (300, 1500, 3), np.uint8)), image_size=8)
    assert "shown" not in vars(photo)
    assert photo.shown.shape == (102, 512, 3)
    assert photo.shown.dtype == np.uint8
    assert photo.shown is photo.shown
    assert photo.size == (1500, 300)


# Modes.

@pytest.mark.parametrize(("mode", "form"), [("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("P", "GIF"), ("L", "TIFF"), ("1", "BMP"),
                                            ("CMYK", "TIFF"), ("LAB", "TIFF"), ("YCbCr", "TIFF"), ("CMYK", "JPEG"),
                                            ("L", "JPEG"), ("RGB", "JPEG"), ("RGB", "WEBP"), ("L", "PPM"), ("1", "PPM")])
def test_modes_are_made_rgb_as_pillow_does(save, colours, mode, form):
    path = save(Image.fromarray(colours).convert(mode), form)
    with Image.open(path) as stored:
        np.testing.assert_array_equal(seen(path), np.asarray(stored.convert("RGB")))


def test_grey_and_black_and_white_by_hand(save):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    np.testing.assert_array_equal(seen(save(grey)), np.stack([grey] * 3, axis=-1))
    assert set(seen(save(Image.fromarray(grey > 99))).ravel()) == {0, 255}


def test_transparent_pictures_lie_on_white_paper(save, colours):
    alpha = np.full((8, 8), 255, np.uint8)
    alpha[:2], alpha[2:4] = 0, 51  # invisible, and a fifth
    found = seen(save(np.dstack([colours, alpha])))
    assert (found[:2] == 255).all()
    np.testing.assert_allclose(found[2:4], 0.2 * colours[2:4] + 0.8 * 255, atol=1)
    np.testing.assert_array_equal(found[4:], colours[4:])
    grey = Image.merge("LA", [Image.fromarray(np.array([row], np.uint8)) for row in ((0, 100), (0, 255))])
    palette = Image.new("PA", (2, 1))
    palette.putpalette([0, 0, 0, 100, 100, 100])
    palette.putpixel((1, 0), (1, 255))
    for picture, form in ((grey, "PNG"), (grey, "TIFF"), (palette, "TIFF")):
        assert photos.read(save(picture, form), image_size=1).shown[0].tolist() == [[255] * 3, [100] * 3]


@pytest.mark.parametrize(("form", "transparency"), [("PNG", 1), ("PNG", b"\xff\x00"), ("GIF", 1)])
def test_a_palette_with_a_transparent_colour(save, form, transparency):
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    path = save(picture, form, transparency=transparency)
    assert photos.read(path, image_size=1).shown[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_a_transparent_colour_without_a_palette(save):
    path = save(np.array([[7, 8]], np.uint8), transparency=8)
    assert photos.read(path, image_size=1).shown[0].tolist() == [[7] * 3, [255] * 3]
    path = save(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), transparency=(1, 2, 3))
    assert photos.read(path, image_size=1).shown[0].tolist() == [[255] * 3, [4, 5, 6]]


def test_the_clear_level_of_a_16_bit_picture(tmp_path):
    """A PNG may name one level that is no part of the picture: white paper, as where there are 8 bits."""
    levels = np.full((8, 8), 40_000, np.uint16)
    levels[:4] = 12_345
    Image.fromarray(levels).save(tmp_path / "deep.png", transparency=12_345)
    found = photos.read(tmp_path / "deep.png", image_size=8).pixels
    assert (found[:, :4] == 255).all() and (found[:, 4:] == round(40_000 * 255 / 65535)).all()


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_and_not_clipped(save, form):
    deep = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], np.uint16)
    path = save(deep, form)
    assert photos.read(path, image_size=1).shown[0, :, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
    assert photos.read(path, image_size=1).shown[0, :, 2].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]


def test_12_bits(tmp_path):
    values = (0, 4095, 2048, 16)
    packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(6, "big")
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 6}
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items())
    (tmp_path / "photo").write_bytes(b"II*\0" + struct.pack("<L", 14) + packed + struct.pack("<H", 9) + entries + bytes(4))
    assert photos.read(tmp_path / "photo", image_size=1).shown[0, :, 0].tolist() == [0, 255, 128, 1]


@pytest.mark.parametrize(("values", "expected"), [
    (np.array([[-100, 0, 100]], np.int32), [0, 128, 255]),
    (np.array([[0, 1 << 30, 1 << 31 - 1]], np.int32), [0, 255, 255]),
    (np.array([[0.25, 0.5, 0.75]], np.float32), [0, 128, 255]),
    (np.array([[-3e38, 0, 3e38]], np.float32), [0, 128, 255]),
    (np.array([[np.nan, -np.inf, np.inf, 1, 2]], np.float32), [0, 0, 255, 0, 255]),
    (np.full((1, 3), 5, np.float32), [0, 0, 0]),
    (np.full((1, 2), np.nan, np.float32), [0, 0]),
], ids=["int32", "large", "float", "huge", "not finite", "one value", "nothing"])
def test_pictures_without_black_and_white_are_stretched(save, values, expected):
    found = photos.read(save(values, "TIFF"), image_size=1).shown[0, :, 0].tolist()
    assert np.abs(np.subtract(found, expected)).max() <= (1 if 128 in expected else 0)  # 127.5


# Orientation, and files of several pictures.

@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("JPEG", {}),
                                               ("TIFF", {"compression": "tiff_lzw"})])
def test_photos_stand_upright(save, rng, form, options, orientation):
    exif = Image.Exif()
    exif[photos.ORIENTATION] = orientation
    stored = rng.integers(0, 256, (4, 6, 3), np.uint8)
    path = save(stored, form, exif=exif, **options)
    if form == "JPEG":
        with Image.open(path) as decoded:
            stored = np.asarray(decoded.convert("RGB"))
    photo = photos.read(path, image_size=4)
    expected = TURNED[orientation](stored)
    np.testing.assert_array_equal(photo.shown, expected)
    assert photo.size == expected.shape[1::-1]
    middle = expected[1:5] if orientation > 4 else expected[:, 1:5]
    np.testing.assert_array_equal(photo.pixels.transpose(1, 2, 0), middle)


@pytest.mark.parametrize("exif", [b"nonsense", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0"])
def test_damaged_exif_data_do_not_matter(save, colours, exif):
    np.testing.assert_array_equal(seen(save(colours, exif=b"Exif\0\0" + exif)), colours)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_do_not_exist(save, colours, value):
    exif = Image.Exif()
    exif[photos.ORIENTATION] = value
    np.testing.assert_array_equal(seen(save(colours, exif=exif)), colours)


@pytest.mark.parametrize(("form", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("MPO", {})])
def test_the_first_of_several_pictures(save, form, options):
    pictures = [Image.new("RGB", (8, 8), (250 * (number == 0), 0, 250 * (number == 1))) for number in range(3)]
    path = save(pictures[0], form, save_all=True, append_images=pictures[1:], **options)
    with Image.open(path) as stored:
        assert (stored.n_frames, stored.format) == (3, form)
    np.testing.assert_allclose(seen(path), np.full((8, 8, 3), (250, 0, 0)), atol=2 if form == "MPO" else 0)


@pytest.mark.parametrize(("image_size", "crop", "expected"), [
    (0, 1.0, "image size: got 0, expected a whole number from 1 to 1,024"), (-5, 1.0, "got -5"), (1025, 1.0, "got 1025"),
    (32, 0.0, "crop: got 0.0, expected the share of the shorter side that is kept, 0.1 to 1"), (32, 1.01, "crop: got 1.01"),
    (32, -1.0, "crop: got -1.0"), (32, float("nan"), "crop: got nan"),
])
def test_sizes_and_crops_that_make_no_sense(save, colours, image_size, crop, expected):
    with pytest.raises(InputError, match=expected):
        photos.read(save(colours), image_size=image_size, crop=crop)


def test_bytes_after_the_picture_do_not_matter(save, colours):
    path = save(colours)
    path.write_bytes(path.read_bytes() + b"more")
    np.testing.assert_array_equal(seen(path), colours)
