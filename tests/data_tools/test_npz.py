"""The npz layout: what it holds, and that damaged or hostile files end in one clear line."""

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from data_tools import cifar, npz
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit


@pytest.fixture
def path(tmp_path, image_set):
    return cifar.write(image_set(), tmp_path / "set.npz", "npz")


def refusal(path):
    with pytest.raises(DataError) as caught:
        cifar.read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def changed(path, **arrays):
    with np.load(path) as content:
        held = dict(content)
    held.update(arrays)
    np.savez(path, **{name: array for name, array in held.items() if array is not None})
    return path


def npy(array, **header):
    """The bytes of an .npy file, with other entries in its header than `array` has."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array) | header)
    return stream.getvalue() + array.tobytes()


def with_member(path, name, raw, **options):
    """The same file with `raw` in the place of one member."""
    with zipfile.ZipFile(path) as archive:
        held = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for member, content in held.items():
            archive.writestr(member, raw if member == f"{name}.npy" else content)
    return path


def test_anybody_can_read_and_write_it(tmp_path, path, image_set):
    expected = image_set()
    with np.load(path, allow_pickle=False) as content:
        assert tuple(content["classes"]) == expected.classes
        np.testing.assert_array_equal(content["train_images"], expected.train_images)
        assert set(content) == set(npz.ARRAYS)
    changed(path, train_labels=expected.train_labels.astype(np.uint8), remark=np.array("another array"),
            test_images=np.asfortranarray(expected.test_images))
    found = cifar.read(path)
    np.testing.assert_array_equal(found.train_labels, expected.train_labels)
    np.testing.assert_array_equal(found.test_images, expected.test_images)
    assert found.test_images.flags.c_contiguous


@pytest.mark.parametrize("name", npz.ARRAYS)
def test_missing_array(path, name):
    assert f"{name} missing" in refusal(changed(path, **{name: None}))


@pytest.mark.parametrize(("arrays", "expected"), [
    ({"train_images": np.zeros((15, 32, 32, 3), np.uint8)}, "train_images is uint8 (15, 32, 32, 3), expected uint8"),
    ({"train_images": np.zeros((15, 3, 32, 32), np.float32)}, "train_images is float32"),
    ({"test_images": np.zeros((0, 3, 32, 32), np.uint8)}, "test_images is uint8 (0, 3, 32, 32)"),
    ({"train_labels": np.zeros(14, np.int64)}, "train_labels is int64 (14,), expected 15 whole numbers"),
    ({"test_labels": np.zeros(4)}, "test_labels is float64"),
    ({"test_labels": np.array([0, 1, 200, 3])}, "test_labels: record 2 has the label 200, expected 0 to 9"),
    ({"test_labels": np.array([0, 1, -1, 3], np.int8)}, "label -1"),
    ({"classes": np.array(["one"])}, "expected the names of ten classes"),
    ({"classes": np.array("airplane")}, "expected ten texts"),
    ({"classes": np.arange(10)}, "classes is int64 (10,), expected ten texts"),
    ({"classes": np.array(["a\nb", *"bcdefghij"])}, "expected the names of ten classes"),
], ids=lambda value: value if isinstance(value, str) else None)
def test_wrong_arrays(path, arrays, expected):
    assert expected in refusal(changed(path, **arrays))


def test_objects_are_refused_and_not_run(tmp_path, path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"echo run > {tmp_path / 'evil'}",)

    assert "holds Python objects" in refusal(changed(path, train_labels=np.array([Evil()] * 15, object)))
    assert not (tmp_path / "evil").exists()


def test_compressed_arrays_are_refused(path):
    with np.load(path) as content:
        np.savez_compressed(path, **content)
    assert "compressed; expected them as they are" in refusal(path)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_cut_short(path, share):
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
    assert "cut short" in refusal(path)


def test_damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF  # a pixel: the checksum of the member sees it
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("kind", ["header", "zip", "both"])
def test_announced_gigabytes_take_no_memory(path, kind):
    count = 2 << 20  # pictures: 6 GiB
    if kind in ("header", "both"):
        with_member(path, "train_images", npy(np.zeros((15, 3, 32, 32), np.uint8), shape=(count, 3, 32, 32)))
    if kind in ("zip", "both"):
        content = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo("train_images.npy").file_size
        entry = content.index(b"PK\1\2")
        assert struct.unpack_from("<LL", content, entry + 20) == (size, size)
        path.write_bytes(content[:entry + 20] + struct.pack("<LL", 3 << 30, 3 << 30) + content[entry + 28:])
    tracemalloc.start()
    try:
        message = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert ("damaged" if kind == "header" else "announces 3,") in message


def test_many_entries_are_refused_before_zipfile_makes_an_object_of_each(path, monkeypatch):
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(2000):
            archive.writestr(f"{number}", b"")
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert "more contents than the 5 arrays" in refusal(path)


@pytest.mark.parametrize("raw", [b"", b"\x93NUMPY\x02\x00", b"\x93NUMPY\x01\x00\xff\xff",
                                 npy(np.zeros(15), descr="<U2147483647"), npy(np.zeros(15), shape=(-15,)),
                                 npy(np.zeros(15)).replace(b"'shape'", b"'sh\\qpe'"),
                                 npy(np.zeros(15)).replace(b"(15,)", b"(15L,)")],
                         ids=["empty", "version", "long header", "long texts", "negative", "escape", "python 2"])
def test_hostile_headers(path, raw, recwarn):
    refusal(with_member(path, "train_labels", raw))
    assert not recwarn.list  # a warning would be a second line


def test_too_large_a_file(path, monkeypatch):
    monkeypatch.setattr("data_tools.contents.MAX_BYTES", 1000)
    assert "expected at most 1,000" in refusal(path)


def test_some_other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"hello")
    assert "train_images, train_labels, test_images, test_labels, classes missing" in refusal(path)
