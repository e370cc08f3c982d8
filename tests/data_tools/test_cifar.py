"""CIFAR-10's layouts: written, packed, read back equal; damaged or hostile ones end in one clear line."""

import dataclasses
import io
import os
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from data_tools import ImageSet, cifar
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit
FILES = {"bin": "data_batch_3.bin", "py": "data_batch_3"}


def image_set(train=15, test=4, classes=cifar.CLASSES):
    rng = np.random.default_rng(0)
    return ImageSet("cifar10", classes, rng.integers(0, 256, (train, 3, 32, 32), np.uint8), rng.integers(0, 10, train),
                    rng.integers(0, 256, (test, 3, 32, 32), np.uint8), rng.integers(0, 10, test), "test", None)


def assert_same_pictures(a, b):
    assert (a.name, a.classes) == (b.name, b.classes)
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        found, expected = getattr(a, field), getattr(b, field)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == (np.uint8 if "images" in field else np.int64)
        assert found.flags.c_contiguous


def pack(folder, archive, mode="w:gz"):
    with tarfile.open(archive, mode) as tar:
        tar.add(folder, folder.name)
    return archive


def pack_members(archive, members):
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in members:
            member = tarfile.TarInfo(member) if isinstance(member, str) else member
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive


def refusal(path):
    with pytest.raises(DataError) as caught:
        cifar.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.fixture(params=["bin", "py"])
def layout(request):
    return request.param


@pytest.fixture
def folder(tmp_path, layout):
    return cifar.write(image_set(), tmp_path, layout)


def test_the_folder_its_parent_and_the_archives_are_read(tmp_path, folder):
    expected = image_set()
    for path in (folder, tmp_path, pack(folder, tmp_path / "a.tar.gz"), pack(folder, tmp_path / "a.tar", "w")):
        assert_same_pictures(cifar.read(path), expected)
    assert cifar.read(tmp_path).origin == str(folder)


def test_a_folder_with_the_official_archive_is_read(tmp_path, folder, layout):
    home = tmp_path / "home"
    home.mkdir()
    pack(folder, home / {"bin": "cifar-10-binary.tar.gz", "py": "cifar-10-python.tar.gz"}[layout])
    assert_same_pictures(cifar.read(home), image_set())


def test_binary_layout_byte_by_byte(tmp_path):
    expected = image_set()
    folder = cifar.write(expected, tmp_path, "bin")
    record = (folder / "data_batch_2.bin").read_bytes()[:3073]
    assert record[0] == expected.train_labels[3]
    assert record[1:1025] == expected.train_images[3, 0].tobytes()
    assert (folder / "batches.meta.txt").read_text().split() == list(cifar.CLASSES)


def test_what_python_2_and_numpy_1_wrote(tmp_path):
    # The official files: protocol 2, `str` keys, numpy.core names.
    expected = image_set()
    folder = cifar.write(expected, tmp_path, "py")
    for name in cifar.BATCHES:
        content = pickle.loads((folder / name).read_bytes())
        data, labels = content[b"data"], content[b"labels"]
        raw = data.tobytes()
        stream = (b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04"
                  b"K\x00\x85U\x01b\x87Rq\x05(K\x01K" + bytes([len(data)]) + b"M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1"
                  b"K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
                  + len(raw).to_bytes(4, "little") + raw + b"tbU\x06labelsq\x08]q\t("
                  + b"".join(b"K" + bytes([label]) for label in labels) + b"eu.")
        (folder / name).write_bytes(stream)
    assert_same_pictures(cifar.read(folder), expected)


def test_class_order_comes_from_the_file(tmp_path, layout):
    other = tuple(f"a {letter}" for letter in "jihgfedcba")
    found = cifar.read(cifar.write(image_set(classes=other), tmp_path, layout))
    assert found.classes == other
    assert found.name == "custom"


def test_official_pixels_are_recognised(tmp_path, shared, rng):
    from PIL import Image

    paths = sorted((shared / "data" / "official-samples").glob("*.png"))
    official = np.stack([np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path in paths])
    images = rng.integers(0, 256, (10_000, 3, 32, 32), np.uint8)
    for count, expected in ((20, True), (3, None), (0, False)):
        test = images.copy()
        test[5_000:5_000 + count] = official[:count]
        whole = dataclasses.replace(image_set(), test_images=test, test_labels=np.zeros(10_000, np.int64))
        assert cifar.read(cifar.write(whole, tmp_path / str(count), "bin")).official is expected
    assert cifar.read(cifar.write(image_set(), tmp_path, "bin")).official is None


def test_missing_batch(tmp_path, folder, layout):
    (folder / FILES[layout]).unlink()
    assert f"{FILES[layout]} missing" in refusal(folder)
    assert f"{FILES[layout]} missing" in refusal(pack(folder, tmp_path / "a.tar.gz"))


def test_missing_class_names(folder, layout):
    (folder / cifar.META[layout]).unlink()
    assert f"{cifar.META[layout]} missing" in refusal(folder)


@pytest.mark.parametrize("names", ["nine", "twice", "unprintable"])
def test_wrong_class_names(tmp_path, names):
    folder = cifar.write(image_set(), tmp_path, "bin")
    lines = {"nine": "abcdefghi", "twice": "abcdefghii", "unprintable": "abcdefghi\x1b"}[names]
    (folder / "batches.meta.txt").write_text("\n".join(lines))
    assert "expected the names of ten classes" in refusal(folder)


def test_truncated_batch(folder, layout):
    content = (folder / FILES[layout]).read_bytes()
    (folder / FILES[layout]).write_bytes(content[:-100])
    assert FILES[layout] in refusal(folder)


def test_batch_cut_between_two_records(tmp_path):
    folder = cifar.write(image_set(), tmp_path, "bin")
    content = (folder / FILES["bin"]).read_bytes()
    (folder / FILES["bin"]).write_bytes(content[:2 * cifar.RECORD])
    assert "3, 3, 2, 3, 3 pictures, expected equally many" in refusal(folder)


def test_empty_batch(folder, layout):
    (folder / FILES[layout]).write_bytes(b"")
    assert FILES[layout] in refusal(folder)


def test_label_of_200(tmp_path, layout):
    wrong = image_set()
    wrong.train_labels[7] = 200
    folder = cifar.write(wrong, tmp_path, layout)
    assert f"{FILES[layout]}: record 1 has the label 200, expected 0 to 9" in refusal(folder)


@pytest.mark.parametrize("change", [
    {b"data": np.zeros((3, 3000), np.uint8)}, {b"data": np.zeros((3, 3072), np.int16)}, {b"data": b"x"},
    {b"labels": [1, 2]}, {b"labels": [1, 2, 3.0]}, {b"labels": [1, 2, -1]}, {b"labels": np.array([1, 2, 3])},
    {b"labels": [1, 2, 1 << 100]},
], ids=["3000 pixels", "int16", "no array", "two labels", "fraction", "negative", "label array", "huge label"])
def test_wrong_content_of_a_pickle(tmp_path, change):
    folder = cifar.write(image_set(), tmp_path, "py")
    batch = pickle.loads((folder / "data_batch_3").read_bytes())
    (folder / "data_batch_3").write_bytes(pickle.dumps(batch | change, protocol=2))
    assert "data_batch_3" in refusal(folder)


class Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_hostile_pickle_is_not_run(tmp_path, name):
    folder = cifar.write(image_set(), tmp_path, "py")
    (folder / name).write_bytes(pickle.dumps({b"data": Evil(f"echo run > {tmp_path / 'evil'}")}, protocol=2))
    assert "nothing in it was run" in refusal(folder)
    assert "nothing in it was run" in refusal(pack(folder, tmp_path / "a.tar.gz"))
    assert not (tmp_path / "evil").exists()


def test_empty_folder_and_a_folder_of_pictures(tmp_path):
    assert "found none" in refusal(tmp_path)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    assert "folders of pictures cannot be read yet" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"some text", bytes(5000), b"PK\x03\x04" + bytes(1000)])
def test_not_an_archive(tmp_path, content):
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(content)
    assert "no tar or tar.gz archive" in (message := refusal(path)) or "found none" in message


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_archive_cut_short(tmp_path, folder, share):
    archive = pack(folder, tmp_path / "a.tar.gz")
    content = archive.read_bytes()
    archive.write_bytes(content[:int(share * len(content))])
    assert "cut short or damaged" in refusal(archive)


def test_damaged_archive(tmp_path, folder, rng):
    content = bytearray(pack(folder, tmp_path / "a.tar.gz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "b.tar.gz").write_bytes(content)
    refusal(tmp_path / "b.tar.gz")


@pytest.mark.parametrize("name", ["../data_batch_1.bin", "/data_batch_1.bin", "a/../../data_batch_1.bin"])
def test_members_that_point_outside_are_refused(tmp_path, name):
    assert "points outside" in refusal(pack_members(tmp_path / "a.tar.gz", [(name, b"x")]))
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz"]


def test_links_are_not_followed(tmp_path):
    folder = cifar.write(image_set(), tmp_path, "bin")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_3.bin")
        link.type, link.linkname = kind, "cifar-10-batches-bin/data_batch_2.bin"
        members = [(f"cifar-10-batches-bin/{path.name}", path.read_bytes())
                   for path in sorted(folder.iterdir()) if path.name != "data_batch_3.bin"]
        assert "data_batch_3.bin missing" in refusal(pack_members(tmp_path / "a.tar.gz", [*members, (link, b"")]))


def test_a_member_twice(tmp_path):
    batch = bytes(cifar.RECORD)
    archive = pack_members(tmp_path / "a.tar.gz", [("x/data_batch_1.bin", batch), ("y/data_batch_1.bin", batch)])
    assert "data_batch_1.bin twice" in refusal(archive)


def test_both_layouts_in_one_archive(tmp_path):
    for kind in ("bin", "py"):
        cifar.write(image_set(), tmp_path / "both", kind)
    assert "binary and of the python layout" in refusal(pack(tmp_path / "both", tmp_path / "a.tar.gz"))
    assert_same_pictures(cifar.read(tmp_path / "both"), image_set())


@pytest.mark.parametrize("member", ["cifar-10-batches-bin/data_batch_1.bin", "cifar-10-batches-bin/readme.html"])
def test_decompression_bomb(tmp_path, monkeypatch, member):
    monkeypatch.setattr(cifar, "MAX_FILE", 1 << 16)
    monkeypatch.setattr(cifar, "MAX_ARCHIVE", 1 << 18)
    archive = pack_members(tmp_path / "a.tar.gz", [(member, bytes(1 << 20)), ("x", b"")])
    assert archive.stat().st_size < 1 << 13
    assert "unpacks to more than" in refusal(archive)


def test_file_that_is_too_large(folder, layout, monkeypatch):
    monkeypatch.setattr(cifar, "MAX_FILE", 1000)
    assert "expected at most 1,000" in refusal(folder)


def test_write_refuses_to_overwrite(tmp_path, folder, layout):
    with pytest.raises(DataError, match="exists already"):
        cifar.write(image_set(), tmp_path, layout)


def test_write_into_something_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        cifar.write(image_set(), tmp_path / "file", "bin")


@pytest.mark.slow
def test_the_copy_in_shared_reads_the_same_in_all_four_forms(tmp_path, shared):
    build = [sys.executable, shared / "data" / "build_cifar10.py", tmp_path, "--layout", "both", "--archives"]
    subprocess.run(build, check=True, capture_output=True)
    first = cifar.read(tmp_path / "cifar-10-batches-bin")
    assert first.train_images.shape == (50_000, 3, 32, 32)
    assert first.test_images.shape == (10_000, 3, 32, 32)
    assert first.name == "cifar10"
    assert first.official is False  # JPEG changed the pixels
    np.testing.assert_array_equal(np.bincount(first.train_labels), np.full(10, 5_000))
    mean = first.train_images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=0.005)  # FACTS: the official pixels'
    for other in ("cifar-10-batches-py", "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"):
        assert_same_pictures(cifar.read(tmp_path / other), first)
