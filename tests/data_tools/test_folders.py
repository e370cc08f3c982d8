"""Folders of pictures as data sets: layouts, the seeded split, and how find reads them."""

import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from data_tools import cifar, find, folders, photos
from resnet_np.errors import InputError

pytestmark = pytest.mark.nojit


def numbers(images):
    """Which pictures they are: the green channel."""
    assert (images == images[:, :, :1, :1]).all()
    return images[:, 1, 0, 0].tolist()


# Layouts.

@pytest.mark.parametrize("name", ["test", "val", "valid", "validation", "Test"])
def test_train_and_test(parted, look, said, name):
    (parted / "test").rename(parted / name)
    found = look(parted)
    assert found.classes == ("cat", "dog")
    assert found.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.test_labels.tolist() == [0, 0, 1, 1]
    assert numbers(found.train_images) == [0, 1, 2] * 2
    assert numbers(found.test_images) == [100, 101] * 2
    for images, labels in ((found.train_images, found.train_labels), (found.test_images, found.test_labels)):
        assert images[:, 0, 0, 0].tolist() == [sum(found.classes[label].encode()) % 256 for label in labels]
        assert (images.dtype, images.shape[1:], images.flags.c_contiguous) == (np.uint8, (3, 4, 4), True)
        assert labels.dtype == np.int64
    assert (found.name, found.layout, found.official, found.origin) == ("parted", "folder", False, str(parted))
    assert said == []


def test_classes_alone(pets, look, said):
    found = look(pets)
    assert found.classes == ("cat", "dog")
    assert np.bincount(found.train_labels).tolist() == [8, 16]
    assert np.bincount(found.test_labels).tolist() == [2, 4]
    for label, count in ((0, 10), (1, 20)):
        train, test = (numbers(images[labels == label]) for images, labels in ((found.train_images, found.train_labels),
                                                                               (found.test_images, found.test_labels)))
        assert sorted(train + test) == list(range(count))
        assert train == sorted(train)
    assert said == [f"{pets}: has no test folder, so a fifth of each class is kept for testing: 6 of 30 pictures"]


def test_train_without_test_is_split_the_same_way(pets, look, assert_same_pictures, tmp_path):
    expected = look(pets)
    (tmp_path / "other").mkdir()
    pets.rename(tmp_path / "other" / "train")
    assert_same_pictures(look(tmp_path / "other"), expected)


def test_test_comes_before_val_and_one_without_labels_is_not_read(parted, look, said, draw):
    shutil.copytree(parted / "test", parted / "val")
    (parted / "val" / "cat" / "100.png").unlink()
    assert len(look(parted).test_labels) == 4
    assert said.pop() == f"{parted}: beside the folders for training and testing, 'val' is not read"
    shutil.rmtree(parted / "test")
    draw(parted / "test", 9)  # pictures without folders: labels that were kept secret
    assert len(look(parted).test_labels) == 3
    assert "'test' is not read" in said.pop()


def test_train_may_be_a_class(tmp_path, look, draw):
    for name in ("car", "train", "test"):
        draw(tmp_path / name, 5)
    assert look(tmp_path).classes == ("car", "test", "train")


@pytest.mark.parametrize("size", [1, 32, 50])
def test_any_size(pets, look, size):
    assert look(pets, image_size=size, crop=0.875).train_images.shape == (24, 3, size, size)


def test_pixels_are_those_of_photos(tmp_path, look, rng):
    stored = rng.integers(0, 256, (2, 2, 40, 70, 3), np.uint8)
    for name, pictures in zip(("a", "b"), stored, strict=True):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / name / f"{number}.bmp")
    found = look(tmp_path, image_size=16, crop=0.8)
    files = [tmp_path / name / f"{number}.bmp" for name in "ab" for number in (0, 1)]
    expected = [photos.read(file, image_size=16, crop=0.8).pixels for file in files]
    both = np.concatenate([found.train_images, found.test_images])
    assert sorted(image.tobytes() for image in both) == sorted(image.tobytes() for image in expected)


def test_what_is_not_a_picture_is_ignored(pets, look, said, assert_same_pictures, draw):
    expected = look(pets)
    for name in ("Thumbs.db", ".DS_Store", "labels.txt", ".hidden.png", "png"):
        (pets / "cat" / name).write_bytes(b"x")
    (pets / "labels.csv").write_text("x")
    draw(pets / ".git", 3)
    draw(pets / "__MACOSX" / "cat", 3)
    del said[:]
    assert_same_pictures(look(pets), expected)
    assert len(said) == 1


def test_pictures_of_a_kind_that_is_not_read_are_counted(pets, look, said, assert_same_pictures):
    expected = look(pets)
    for name in ("one.HEIC", "two.avif"):
        (pets / "cat" / name).write_bytes(b"x")
    del said[:]
    assert_same_pictures(look(pets), expected)
    assert "cat: 2 of its pictures are of a kind that is not read ('one.HEIC', 'two.avif'); save them" in said[0]


@pytest.mark.parametrize("suffix", ["JPG", "Jpeg", "PNG", "tif", "webp", "GIF", "bmp", "ppm", "jfif"])
def test_suffixes(pets, look, suffix):
    Image.new("RGB", (6, 5)).save(pets / "cat" / "x", "PNG")
    (pets / "cat" / "x").rename(pets / "cat" / f"x.{suffix}")
    found = look(pets)
    assert len(found.train_labels) + len(found.test_labels) == 31


def test_folders_in_a_class_are_named_and_not_read(pets, look, said, assert_same_pictures, draw):
    expected = look(pets)
    for number in range(7):
        draw(pets / "cat" / f"more{number}.png", 2)
    del said[:]
    assert_same_pictures(look(pets), expected)
    assert said[0] == (f"{pets / 'cat'}: 'more0.png', 'more1.png', 'more2.png', 'more3.png', 'more4.png' and 2 more in it is not "
                       "read; pictures must lie in the folder of their class itself")


def test_links(tmp_path, pets, look, said):
    home = tmp_path / "elsewhere"
    (pets / "cat").rename(home)
    (pets / "cat").symlink_to(home)
    (home / "099.png").symlink_to(pets / "dog" / "003.png")
    (home / "back").symlink_to(pets)  # a circle, were it followed
    (home / "broken.png").symlink_to("nowhere.png")
    (home / "loop.png").symlink_to("loop.png")
    found = look(pets)
    assert len(found.train_labels) + len(found.test_labels) == 31
    assert "'back' in it is not read" in said[0]
    assert "broken.png: no such file" in said[1]
    assert "loop.png: cannot be read (Too many levels" in said[2]


# The split.

def test_the_split_depends_on_the_names_and_the_seed_alone(tmp_path, pets, look, monkeypatch, assert_same_pictures):
    expected = look(pets)
    assert_same_pictures(look(pets, seed=0), expected)
    names = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: sorted(names(path), reverse=True))
    assert_same_pictures(look(pets), expected)
    monkeypatch.undo()
    assert_same_pictures(look(pets.rename(tmp_path / "moved")), expected)
    other = look(tmp_path / "moved", seed=1)
    assert np.bincount(other.test_labels).tolist() == [2, 4]
    assert numbers(other.test_images) != numbers(expected.test_images)
    # Recorded: a split that changes with a version of anything would make old results incomparable.
    assert numbers(expected.test_images) == [2, 8, 0, 5, 7, 8]


def test_a_new_picture_hardly_moves_the_others(pets, look, draw):
    before = set(numbers(look(pets).test_images[2:]))
    draw(pets / "dog", 1, first=200)
    after = set(numbers(look(pets).test_images[2:]))
    assert len(before) == len(after) == 4
    assert len(before - after) <= 1


@pytest.mark.parametrize(("count", "tested"), [(2, 1), (3, 1), (7, 1), (8, 2), (100, 20)])
def test_a_fifth_of_every_class(tmp_path, look, count, tested, draw):
    draw(tmp_path / "a", count)
    draw(tmp_path / "b", 5)
    assert np.bincount(look(tmp_path).test_labels).tolist() == [tested, 1]


# Through find.

def test_find(pets, said, assert_same_pictures):
    found = find(str(pets), say=said.append, progress=False)
    assert found.train_images.shape == (24, 3, 32, 32)
    assert_same_pictures(find(str(pets), say=said.append, progress=False, image_size=32, crop=1.0), found)
    expected = folders.read(pets, image_size=48, crop=0.8, say=said.append, progress=False)
    assert_same_pictures(find(str(pets), say=said.append, progress=False, image_size=48, crop=0.8), expected)
    with pytest.raises(InputError, match="image size: got 0"):
        find(str(pets), say=said.append, progress=False, image_size=0)


def test_the_layouts_of_cifar_come_first(tmp_path, image_set, assert_same_pictures, draw):
    for layout in cifar.LAYOUTS:
        path = cifar.write(image_set(), tmp_path / layout, layout)
        draw(tmp_path / layout / "extra", 3) if path.is_dir() and layout != "png" else None
        found = find(str(path), say=pytest.fail, progress=False, image_size=64)
        assert_same_pictures(found, image_set())
        assert found.layout == layout


@pytest.mark.parametrize(("folder", "expected"), [
    ("flowers", "flowers"), ("My Photos (2)", "My_Photos_2"), ("cifar10", "folder"), ("shapes10", "folder"), ("custom", "folder"),
    ("花", "花"), ("...", "folder"), ("a" * 99, "a" * 40),
])
def test_the_name_is_fit_for_a_file(tmp_path, folder, expected):
    assert folders.name(tmp_path / folder) == expected
    assert folders.name(tmp_path / folder / ".." / folder) == expected


def test_the_bar(pets, look, capsys, monkeypatch):
    look(pets, progress=True)
    assert capsys.readouterr().err == ""  # few pictures
    monkeypatch.setattr(folders, "MANY", 30)
    look(pets)
    assert capsys.readouterr().err == ""
    look(pets, progress=True)
    assert "0/30" in capsys.readouterr().err


def test_pictures_are_decoded_in_order_whichever_is_ready_first(pets, look, monkeypatch, assert_same_pictures):
    expected, decode = look(pets), photos.decode

    def slow(path):
        time.sleep(0.02 if path.name < "003" else 0)
        return decode(path)

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(photos, "decode", slow)
    assert_same_pictures(look(pets), expected)
