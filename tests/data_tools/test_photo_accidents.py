"""Whatever is no photo, or a damaged or hostile one, ends in one clear line."""

import logging
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from data_tools import photos
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit


def refusal(path):
    with pytest.raises(DataError) as caught:
        photos.read(path, image_size=8)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "; " in message, "it does not say what to do"
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(("content", "expected"), [
    (b"", "is empty, expected a picture"),
    (b"a text\n" * 99, "is no picture that can be read; expected JPEG, PNG, WEBP, GIF, BMP, TIFF or PPM; save it as JPEG"),
    (b"\xff\xd8\xff", "is no picture that can be read"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no picture that can be read"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no picture that can be read"),
])
def test_what_is_no_picture(tmp_path, content, expected):
    (tmp_path / "photo.jpg").write_bytes(content)
    assert expected in refusal(tmp_path / "photo.jpg")


@pytest.mark.parametrize("form", ["EPS", "PDF", "TGA", "ICO", "SGI", "PCX", "DDS"])
def test_formats_that_are_not_read(save, colours, form):
    assert "is no picture that can be read" in refusal(save(colours, form))


@pytest.mark.parametrize(("form", "options"), [("JPEG", {}), ("PNG", {}), ("GIF", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {}),
                                               ("WEBP", {}), ("JPEG", {"progressive": True}),
                                               ("TIFF", {"compression": "tiff_lzw"})])
def test_cut_short(save, rng, form, options, capfd, recwarn):
    path = save(rng.integers(0, 256, (99, 99, 3), np.uint8), form, **options)
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(content[:int(share * len(content))])
        message = refusal(path)
        assert "cut short or damaged" in message or "no picture that can be read" in message
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_libtiff_and_the_log_are_quiet(save, rng, capfd, monkeypatch):
    path = save(rng.integers(0, 256, (99, 99), np.uint8), "TIFF", compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(range(100))  # libtiff prints a line about it, from C
    path.write_bytes(content)
    refusal(path)
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's; without any, Python prints
    with photos.quiet():
        logging.getLogger("PIL.TiffImagePlugin").error("more samples per pixel than can be decoded")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("size", "expected"), [
    ((10_000, 10_000), "has 10,000 x 10,000 pixels, expected at most 89,478,485 in all"),
    ((30_000, 30_000), "has more than 178,956,970 pixels, expected at most 89,478,485"),
])
def test_decompression_bombs(tmp_path, size, expected, monkeypatch, recwarn):
    def chunk(kind, content):
        return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))

    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">LLBBBBB", *size, 8, 2, 0, 0, 0))
                                         + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b""))
    assert expected in (message := refusal(tmp_path / "photo.png"))
    assert message.endswith("make it smaller")
    assert not recwarn.list


def test_the_limit_is_pillows_own(save, colours, monkeypatch):
    path = save(colours)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    assert photos.read(path, image_size=8).shown.tolist() == colours.tolist()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 63)
    assert "has 8 x 8 pixels, expected at most 63" in refusal(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert photos.read(path, image_size=8).shown.tolist() == colours.tolist()


def test_what_is_no_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.jpg")
    assert "is a folder, expected a picture" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "is a pipe or a device" in refusal(tmp_path / "pipe.jpg")
    assert "is a pipe or a device" in refusal(Path("/dev/zero"))
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert "cannot be read (Too many levels of symbolic links)" in refusal(tmp_path / "loop.jpg")
    assert "no such file" in refusal(tmp_path / "file" / "photo.jpg")
    assert "cannot be read (File name too long)" in refusal(tmp_path / ("x" * 300))


def test_a_file_that_may_not_be_read(save, colours, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    path = save(colours)
    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read (Permission denied)" in refusal(path)


def test_a_large_file(tmp_path, save, colours, monkeypatch):
    monkeypatch.setattr(photos, "MAX_FILE", 70)
    assert "bytes, expected a picture of at most 70; make it smaller" in refusal(save(colours))


def test_too_little_memory(save, colours, monkeypatch):
    def fail(_):
        raise MemoryError

    path = save(colours)
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "needs more memory than there is" in refusal(path)


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\x1b[31mb.jpg", "a\0b.jpg"])
def test_names_that_would_break_the_line(tmp_path, name):
    with pytest.raises(DataError) as caught:
        photos.read(tmp_path / name, image_size=8)
    assert str(caught.value).startswith(repr(str(tmp_path / name)))
    assert str(caught.value).isprintable()


def test_a_jpeg_of_endless_scans(tmp_path):
    """Every scan of a progressive JPEG costs the decoding of the whole picture, and may take a hundred bytes."""
    path = tmp_path / "slow.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path, progressive=True)
    whole = path.read_bytes()
    assert photos.read(path, image_size=32).pixels.shape == (3, 32, 32)
    last = whole[whole.rindex(b"\xff\xda"):-2]
    path.write_bytes(whole[:-2] + last * 400 + whole[-2:])
    with pytest.raises(DataError, match="goes over its picture more than 100 times"):
        photos.read(path, image_size=32)


def test_scans_that_hide(tmp_path):
    """Behind a byte that begins nothing within a scan, but whose two next ones look like a length."""
    path = tmp_path / "slow.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path, progressive=True)
    whole = path.read_bytes()
    last = whole[whole.rindex(b"\xff\xda"):-2]
    path.write_bytes(whole[:-2] + (last + b"\xff\x02\xff\xff") * 400 + whole[-2:])
    with pytest.raises(DataError, match="goes over its picture more than 100 times"):
        photos.read(path, image_size=32)


def test_counting_scans_is_quick(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "long.jpg")
    whole = (tmp_path / "long.jpg").read_bytes()
    (tmp_path / "long.jpg").write_bytes(whole[:-2] + b"\xff\x01" * 5_000_000 + whole[-2:])
    start = time.thread_time()
    photos.read(tmp_path / "long.jpg", image_size=32)
    assert time.thread_time() - start < 1


def test_what_only_looks_like_a_scan(tmp_path):
    """In a segment, as a thumbnail's, or behind the picture, as the film of a phone's moving photo."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "plain.jpg")
    whole = (tmp_path / "plain.jpg").read_bytes()
    marks = b"\xff\xda" * 5000
    for content in (whole + marks, whole[:2] + b"\xff\xe2" + (2 + len(marks)).to_bytes(2, "big") + marks + whole[2:]):
        (tmp_path / "moving.jpg").write_bytes(content)
        found, expected = (photos.read(tmp_path / name, image_size=32).pixels for name in ("moving.jpg", "plain.jpg"))
        np.testing.assert_array_equal(found, expected)
