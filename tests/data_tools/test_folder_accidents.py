"""Unreadable pictures are named and left out; folders that cannot be a data set end in one clear line."""

import os
import shutil

import pytest
from PIL import Image

from data_tools import folders, photos
from resnet_np.errors import DataError, InputError

pytestmark = pytest.mark.nojit


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


def test_a_class_without_a_readable_picture(parted, pets, refusal, said, draw):
    for folder in (parted / "train" / "cat", parted / "test" / "cat", pets / "cat"):
        for path in folder.iterdir():
            path.write_bytes(b"")
        root = pets if folder.parent == pets else parted
        assert "none of its pictures can be read; mend them, or remove the class" in refusal(root, folder)
        assert len(said) > 1
        draw(folder, 3)


def test_a_class_of_one_picture(pets, refusal, draw):
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

def test_nothing_and_one_class(tmp_path, refusal, draw):
    assert "holds neither CIFAR-10's batches nor folders of pictures; expected train/<class>/*" in refusal(tmp_path)
    draw(tmp_path / "cat", 5)
    assert "holds the pictures of one class, 'cat', expected at least two" in refusal(tmp_path)
    assert "holds pictures, but no folders that name their classes; expected train/" in refusal(tmp_path / "cat")


@pytest.mark.parametrize("name", ["x" * 41, "a\nb", "\x1b[31m", " "])
def test_names_of_classes(pets, refusal, name, draw):
    draw(pets / name, 2)
    assert f"has a class of the name {name!r}, expected at most 40 letters" in refusal(pets)


def test_a_class_without_pictures(pets, refusal):
    (pets / "bird").mkdir()
    (pets / "bird" / "readme.txt").write_text("x")
    assert "holds no pictures, expected files like 1.jpg" in refusal(pets, pets / "bird")


def test_test_must_hold_the_classes_of_train(parted, refusal, draw):
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
