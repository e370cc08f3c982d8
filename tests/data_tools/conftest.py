"""A small data set, and what it means that two are the same."""

import io
import tarfile

import numpy as np
import pytest

from data_tools import ImageSet, cifar


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
