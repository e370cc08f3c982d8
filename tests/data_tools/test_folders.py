"""Folders of pictures as data sets: layouts, the seeded split, and what is said about pictures that cannot be read."""

import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from data_tools import cifar, find, folders, photos
from resnet_np.errors import DataError, InputError

pytestmark = pytest.mark.nojit


@pytest.fixture
def said():
    return []


@pytest.fixture
def look(said):
    """A folder -> the data set, read at 4 x 4 pixels."""
    return lambda folder, **options: folders.read(folder, **{"image_size": 4, "say": said.append, "progress": False} | options)


@pytest.fixture
def refusal(look):
    def read(folder, about=None):
        with pytest.raises(DataError) as caught:
            look(folder)
        message = str(caught.value)
        assert message.startswith(f"{about or folder}: ")
        assert message.isprintable()
        return message
    return read


def draw(folder, count, *, first=0, name="{:03}.png"):
    """Pictures of one colour each, which tells the folder and the number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("RGB", (6, 5), colour(folder, number)).save(folder / name.format(number))
    return folder


def colour(folder, number):
    return sum(folder.name.encode()) % 256, number, 0


def numbers(images):
    """Which pictures they are: the green channel."""
    assert (images == images[:, :, :1, :1]).all()
    return images[:, 1, 0, 0].tolist()


@pytest.fixture
def pets(tmp_path):
    """<class>/* alone: 10 cats and 20 dogs."""
    draw(tmp_path / "pets" / "dog", 20)
    draw(tmp_path / "pets" / "cat", 10)
    return tmp_path / "pets"


@pytest.fixture
def parted(tmp_path):
    """train/<class>/* and test/<class>/*."""
    for name in ("dog", "cat"):
        draw(tmp_path / "parted" / "train" / name, 3)
        draw(tmp_path / "parted" / "test" / name, 2, first=100)
    return tmp_path / "parted"


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
        assert images[:, 0, 0, 0].tolist() == [colour(parted / found.classes[label], 0)[0] for label in labels]
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


def test_test_comes_before_val_and_one_without_labels_is_not_read(parted, look, said):
    shutil.copytree(parted / "test", parted / "val")
    (parted / "val" / "cat" / "100.png").unlink()
    assert len(look(parted).test_labels) == 4
    assert said.pop() == f"{parted}: beside the folders for training and testing, 'val' is not read"
    shutil.rmtree(parted / "test")
    draw(parted / "test", 9)  # pictures without folders: labels that were kept secret
    assert len(look(parted).test_labels) == 3
    assert "'test' is not read" in said.pop()


def test_train_may_be_a_class(tmp_path, look):
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


def test_what_is_not_a_picture_is_ignored(pets, look, said, assert_same_pictures):
    expected = look(pets)
    for name in ("Thumbs.db", ".DS_Store", "labels.txt", ".hidden.png", "photo.heic", "png"):
        (pets / "cat" / name).write_bytes(b"x")
    (pets / "labels.csv").write_text("x")
    draw(pets / ".git", 3)
    draw(pets / "__MACOSX" / "cat", 3)
    del said[:]
    assert_same_pictures(look(pets), expected)
    assert len(said) == 1


@pytest.mark.parametrize("suffix", ["JPG", "Jpeg", "PNG", "tif", "webp", "GIF", "bmp", "ppm", "jfif"])
def test_suffixes(pets, look, suffix):
    Image.new("RGB", (6, 5)).save(pets / "cat" / "x", "PNG")
    (pets / "cat" / "x").rename(pets / "cat" / f"x.{suffix}")
    found = look(pets)
    assert len(found.train_labels) + len(found.test_labels) == 31


def test_folders_in_a_class_are_named_and_not_read(pets, look, said, assert_same_pictures):
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


def test_a_new_picture_hardly_moves_the_others(pets, look):
    before = set(numbers(look(pets).test_images[2:]))
    draw(pets / "dog", 1, first=200)
    after = set(numbers(look(pets).test_images[2:]))
    assert len(before) == len(after) == 4
    assert len(before - after) <= 1


@pytest.mark.parametrize(("count", "tested"), [(2, 1), (3, 1), (7, 1), (8, 2), (100, 20)])
def test_a_fifth_of_every_class(tmp_path, look, count, tested):
    draw(tmp_path / "a", count)
    draw(tmp_path / "b", 5)
    assert np.bincount(look(tmp_path).test_labels).tolist() == [tested, 1]


# Pictures that cannot be read.

def test_unreadable_pictures_are_named_and_left_out(pets, look, said, assert_same_pictures):
    expected = look(pets)
    (pets / "cat" / "aaa.jpg").write_bytes(b"")
    (pets / "cat" / "zzz.png").write_bytes(b"text")
    os.mkfifo(pets / "dog" / "pipe.png")
    del said[:]
    assert_same_pictures(look(pets), expected)
    assert said[0].startswith(f"left out   {pets / 'cat' / 'aaa.jpg'}: is empty")
    assert said[1].startswith(f"left out   {pets / 'cat' / 'zzz.png'}: is no picture that can be read")
    assert said[2].startswith(f"left out   {pets / 'dog' / 'pipe.png'}: is a pipe or a device")
    assert len(said) == 4


def test_many_unreadable_pictures_are_counted(pets, look, said):
    for number in range(1_234):
        (pets / "cat" / f"bad{number:04}.png").write_bytes(b"")
    look(pets)
    assert [line.split("/")[-1].split(":")[0] for line in said[:10]] == [f"bad{number:04}.png" for number in range(10)]
    assert said[10] == "left out   1,224 more pictures that cannot be read"
    assert len(said) == 12


def test_a_class_without_a_readable_picture(parted, pets, refusal, said):
    for folder in (parted / "train" / "cat", parted / "test" / "cat", pets / "cat"):
        for path in folder.iterdir():
            path.write_bytes(b"")
        root = pets if folder.parent == pets else parted
        assert "none of its pictures can be read; mend them, or remove the class" in refusal(root, folder)
        assert len(said) > 1
        draw(folder, 3)


def test_a_class_of_one_picture(pets, refusal):
    draw(pets / "bird", 1)
    (pets / "bird" / "x.png").write_bytes(b"")
    assert "holds one picture that can be read, expected at least two: one to train on" in refusal(pets, pets / "bird")


def test_no_picture_at_all_can_be_read(tmp_path, refusal):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(b"")
    assert "none of its pictures can be read" in refusal(tmp_path, tmp_path / "a")


def test_pillow_stays_quiet_in_all_threads(pets, look, capfd, recwarn, monkeypatch):
    for number in range(40):
        with Image.new("RGB", (99, 99)) as picture:
            picture.save(pets / "cat" / f"bad{number}.tif", compression="tiff_lzw")
        content = bytearray((pets / "cat" / f"bad{number}.tif").read_bytes())
        content[40:90] = bytes(range(50))
        (pets / "cat" / f"bad{number}.tif").write_bytes(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 29)
    with pytest.raises(DataError):
        look(pets)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


# Folders that are arranged in another way.

def test_nothing_and_one_class(tmp_path, refusal):
    assert "holds neither CIFAR-10's batches nor folders of pictures; expected train/<class>/*" in refusal(tmp_path)
    draw(tmp_path / "cat", 5)
    assert "holds the pictures of one class, 'cat', expected at least two" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["x" * 41, "a\nb", "\x1b[31m", " "])
def test_names_of_classes(pets, refusal, name):
    draw(pets / name, 2)
    assert f"has a class of the name {name!r}, expected at most 40 letters" in refusal(pets)


def test_a_class_without_pictures(pets, refusal):
    (pets / "bird").mkdir()
    (pets / "bird" / "readme.txt").write_text("x")
    assert "holds no pictures, expected files like 1.jpg" in refusal(pets, pets / "bird")


def test_test_must_hold_the_classes_of_train(parted, refusal):
    draw(parted / "test" / "fish", 2)
    assert "its test folder also has 'fish', expected the classes of its train folder" in refusal(parted)
    shutil.rmtree(parted / "test" / "cat")
    assert "its test folder lacks 'cat' and also has 'fish'" in refusal(parted)
    shutil.rmtree(parted / "test")
    draw(parted / "test", 2)
    assert "its test folder lacks 'cat', 'dog', expected" in refusal(parted)


def test_memory_is_bounded(pets, refusal, look, monkeypatch):
    monkeypatch.setattr(folders, "MAX_BYTES", 30 * 3 * 4 * 4)
    assert len(look(pets).train_labels) == 24
    monkeypatch.setattr(folders, "MAX_BYTES", 30 * 3 * 4 * 4 - 1)
    monkeypatch.setattr(photos, "decode", lambda _: pytest.fail("decoded"))
    assert "holds 30 pictures, of which 29 fit into" in (message := refusal(pets))
    assert "at 4 x 4 pixels; choose a smaller --image-size" in message


def test_a_folder_that_may_not_be_listed(pets, refusal, monkeypatch):
    names = os.listdir

    def listdir(path):
        if path == pets / "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return names(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert "cannot be read (Permission denied)" in refusal(pets, pets / "dog")


def test_sizes_that_make_no_sense(pets, look):
    with pytest.raises(InputError, match="image size: got 0"):
        look(pets, image_size=0)
    with pytest.raises(InputError, match="crop: got 2"):
        look(pets, crop=2)


# Through find.

def test_find(pets, said, assert_same_pictures):
    found = find(str(pets), say=said.append, progress=False)
    assert found.train_images.shape == (24, 3, 32, 32)
    assert_same_pictures(find(str(pets), say=said.append, progress=False, image_size=32, crop=1.0), found)
    expected = folders.read(pets, image_size=48, crop=0.8, say=said.append, progress=False)
    assert_same_pictures(find(str(pets), say=said.append, progress=False, image_size=48, crop=0.8), expected)
    with pytest.raises(InputError, match="image size: got 0"):
        find(str(pets), say=said.append, progress=False, image_size=0)


def test_the_layouts_of_cifar_come_first(tmp_path, image_set, assert_same_pictures):
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
