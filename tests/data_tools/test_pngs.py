"""The png layout: names that keep the order, and one clear line for folders that are not it."""

import io
import os
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from data_tools import cifar, pngs
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit


@pytest.fixture
def folder(tmp_path, image_set):
    return cifar.write(image_set(), tmp_path / "pictures", "png")


@pytest.fixture
def first(folder):
    [path] = folder.glob("train/*/00001.png")
    return path


def refusal(path):
    with pytest.raises(DataError) as caught:
        cifar.read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def chunk(kind, content):
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))


def header(width, height):
    return chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))


def test_files(folder, image_set):
    expected = image_set()
    assert (folder / "classes.txt").read_text().split() == list(cifar.CLASSES)
    assert sorted(os.listdir(folder / "test")) == sorted(cifar.CLASSES)
    picture = folder / "train" / cifar.CLASSES[expected.train_labels[6]] / "00007.png"
    np.testing.assert_array_equal(np.asarray(Image.open(picture)).transpose(2, 0, 1), expected.train_images[6])


def test_what_file_managers_leave_behind_is_ignored(folder, assert_same_pictures, image_set):
    (folder / "train" / "Thumbs.db").write_bytes(b"x")
    (folder / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    os.mkfifo(folder / "train" / "cat" / "00099.png")
    assert_same_pictures(cifar.read(folder), image_set())


def test_a_class_without_pictures(tmp_path, image_set, assert_same_pictures):
    few = image_set(train=1, test=1)
    assert_same_pictures(cifar.read(cifar.write(few, tmp_path / "few", "png")), few)


def test_a_missing_picture(folder):
    [path] = folder.glob("test/*/00002.png")
    path.unlink()
    assert "00002.png is missing" in refusal(folder)


def test_no_pictures(folder):
    for path in folder.glob("test/*/*.png"):
        path.unlink()
    assert "00001.png is missing" in refusal(folder)


def test_a_picture_twice(folder, first):
    others = {"cat", "dog"} - {first.parent.name}
    shutil.copy(first, folder / "train" / others.pop())
    assert "00001.png twice" in refusal(folder)


def test_a_missing_split(folder):
    shutil.rmtree(folder / "test")
    assert "test: is missing" in refusal(folder)


def test_a_folder_that_is_no_class(folder):
    (folder / "train" / "dragon").mkdir()
    assert "'dragon', which is not in classes.txt" in refusal(folder)


def test_names_that_are_no_numbers(folder, first):
    first.rename(first.with_name("cat1.png"))
    assert "holds 'cat1.png', expected names like 00001.png; rename it, or remove classes.txt" in refusal(folder)


@pytest.mark.parametrize("content", [b"one\n", b"a\n" * 10, b"\xff" * (1 << 17)], ids=["one", "ten times a", "long"])
def test_wrong_class_names(folder, content):
    (folder / "classes.txt").write_bytes(content)
    message = refusal(folder)
    assert message.startswith(f"{folder / 'classes.txt'}: ")
    assert "or remove it" in message


def test_names_in_the_list_are_never_paths(tmp_path, folder):
    names = ["../../outside", *cifar.CLASSES[1:]]
    (folder / "classes.txt").write_text("\n".join(names))
    (tmp_path / "outside").mkdir()
    (folder / "train" / "airplane").rename(tmp_path / "outside" / "airplane")
    assert "missing" in refusal(folder) or "not in classes.txt" in refusal(folder)


@pytest.mark.parametrize(("mode", "size", "form"), [("L", (32, 32), "PNG"), ("RGBA", (32, 32), "PNG"), ("RGB", (33, 32), "PNG"),
                                                    ("RGB", (32, 32), "JPEG")])
def test_other_pictures(first, folder, mode, size, form):
    Image.new(mode, size).save(first, form)
    assert f"{first}: is " in (message := refusal(folder))
    assert "expected an RGB picture of 32 x 32 pixels" in message


@pytest.mark.parametrize("sizes", [[(60_000, 60_000)], [(12_000, 12_000)], [(32, 32), (60_000, 60_000)],
                                   [(32, 32), (12_000, 12_000)], [(0, 0)]])
def test_decompression_bomb(first, folder, sizes, monkeypatch, recwarn):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    first.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(header(*size) for size in sizes)
                      + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b""))
    assert str(first) in refusal(folder)
    assert not recwarn.list  # a warning would be a second line


@pytest.mark.parametrize("content", [b"", b"random bytes", b"\x89PNG\r\n\x1a\n", bytes(1 << 17)],
                         ids=["empty", "random", "signature", "long"])
def test_damaged_pictures(first, folder, content):
    first.write_bytes(content)
    assert str(first) in refusal(folder)


def test_a_picture_cut_short(first, folder):
    first.write_bytes(first.read_bytes()[:-500])
    assert "damaged" in refusal(folder)


def test_many_pictures(folder, monkeypatch):
    monkeypatch.setattr("data_tools.contents.MAX_BYTES", 10 * 3072)
    assert "holds 15 pictures, expected at most 10" in refusal(folder)


@pytest.mark.parametrize("name", ["a/b", "..", "a\\b"])
def test_class_names_that_cannot_be_folders(tmp_path, image_set, name):
    with pytest.raises(DataError, match="cannot be the name of a folder; choose npz"):
        cifar.write(image_set(classes=(name, *cifar.CLASSES[1:])), tmp_path / "out", "png")
    assert not list(tmp_path.iterdir())


def test_a_picture_is_written_without_loss(rng):
    stream = io.BytesIO()
    pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    assert len(stream.getvalue()) < pngs.MAX_PNG
    np.testing.assert_array_equal(np.asarray(Image.open(stream)), pixels)
