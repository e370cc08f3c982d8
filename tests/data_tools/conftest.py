"""A small data set, what it means that two are the same, and small pictures and folders of them."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from data_tools import ImageSet, cifar, folders


@pytest.fixture(scope="session")
def image_set():
    def make(train=15, test=4, classes=cifar.CLASSES):
        rng = np.random.default_rng(0)
        return ImageSet("cifar10", classes, rng.integers(0, 256, (train, 3, 32, 32), np.uint8), rng.integers(0, 10, train),
                        rng.integers(0, 256, (test, 3, 32, 32), np.uint8), rng.integers(0, 10, test), "test", None)
    return make


@pytest.fixture(scope="session")
def assert_same_pictures():
    def compare(a, b):
        assert a.classes == b.classes
        for field in ("train_images", "train_labels", "test_images", "test_labels"):
            found, expected = getattr(a, field), getattr(b, field)
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == (np.uint8 if "images" in field else np.int64)
            assert found.flags.c_contiguous
    return compare


@pytest.fixture(scope="session")
def pack():
    """A folder -> an archive of it."""
    def write(folder, archive, mode="w:gz"):
        with tarfile.open(archive, mode) as tar:
            tar.add(folder, folder.name)
        return archive
    return write


@pytest.fixture(scope="session")
def pack_members():
    """(name or TarInfo, content) of each member -> an archive of them."""
    def write(archive, members):
        with tarfile.open(archive, "w:gz") as tar:
            for member, content in members:
                member = tarfile.TarInfo(member) if isinstance(member, str) else member
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return archive
    return write


@pytest.fixture
def save(tmp_path):
    """A picture, or an array, and Pillow's options -> its file."""
    def write(picture, form="PNG", name="photo", **options):
        picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
        picture.save(tmp_path / name, form, **options)
        return tmp_path / name
    return write


@pytest.fixture
def colours(rng):
    return rng.integers(0, 256, (8, 8, 3), np.uint8)


@pytest.fixture(scope="session")
def draw():
    """A folder, and a number of pictures to put there: red tells its name, green the picture's number."""
    def write(folder, count, *, first=0):
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            picture = Image.new("RGB", (6, 5), (sum(folder.name.encode()) % 256, number, 0))
            picture.save(folder / f"{number:03}.png")
    return write


@pytest.fixture
def said():
    return []


@pytest.fixture
def look(said):
    """A folder -> the data set, read at 4 x 4 pixels."""
    return lambda folder, **options: folders.read(folder, **{"image_size": 4, "say": said.append, "progress": False} | options)


@pytest.fixture
def pets(tmp_path, draw):
    """<class>/* alone: 10 cats and 20 dogs."""
    draw(tmp_path / "pets" / "dog", 20)
    draw(tmp_path / "pets" / "cat", 10)
    return tmp_path / "pets"


@pytest.fixture
def parted(tmp_path, draw):
    """train/<class>/* and test/<class>/*."""
    for name in ("dog", "cat"):
        draw(tmp_path / "parted" / "train" / name, 3)
        draw(tmp_path / "parted" / "test" / name, 2, first=100)
    return tmp_path / "parted"
