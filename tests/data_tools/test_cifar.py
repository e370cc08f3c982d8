"""CIFAR-10's layouts: written, packed, read back equal; damaged or hostile ones end in one clear line."""

import dataclasses
import os
import pickle

import numpy as np
import pytest

from data_tools import batches, cifar
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit
FILES = {"bin": "data_batch_3.bin", "py": "data_batch_3"}


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
def folder(tmp_path, layout, image_set):
    return cifar.write(image_set(), tmp_path, layout)


def test_the_folder_its_parent_and_the_archives_are_read(tmp_path, folder, image_set, assert_same_pictures, pack):
    expected = image_set()
    for path in (folder, tmp_path, pack(folder, tmp_path / "a.tar.gz"), pack(folder, tmp_path / "a.tar", "w")):
        assert_same_pictures(cifar.read(path), expected)
    assert cifar.read(tmp_path).origin == str(folder)


def test_a_folder_with_the_official_archive_is_read(tmp_path, folder, layout, image_set, assert_same_pictures, pack):
    home = tmp_path / "home"
    home.mkdir()
    pack(folder, home / {"bin": "cifar-10-binary.tar.gz", "py": "cifar-10-python.tar.gz"}[layout])
    assert_same_pictures(cifar.read(home), image_set())


def test_binary_layout_byte_by_byte(tmp_path, image_set):
    expected = image_set()
    folder = cifar.write(expected, tmp_path, "bin")
    record = (folder / "data_batch_2.bin").read_bytes()[:3073]
    assert record[0] == expected.train_labels[3]
    assert record[1:1025] == expected.train_images[3, 0].tobytes()
    assert (folder / "batches.meta.txt").read_text().split() == list(cifar.CLASSES)


def test_what_python_2_and_numpy_1_wrote(tmp_path, image_set, assert_same_pictures):
    # The official files: protocol 2, `str` keys, numpy.core names.
    expected = image_set()
    folder = cifar.write(expected, tmp_path, "py")
    for name in batches.BATCHES:
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


def test_class_order_comes_from_the_file(tmp_path, layout, image_set):
    other = tuple(f"a {letter}" for letter in "jihgfedcba")
    found = cifar.read(cifar.write(image_set(classes=other), tmp_path, layout))
    assert found.classes == other
    assert found.name == "custom"


def test_official_pixels_are_recognised(tmp_path, shared, rng, image_set):
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


def test_missing_batch(tmp_path, folder, layout, pack):
    (folder / FILES[layout]).unlink()
    assert f"{FILES[layout]} missing" in refusal(folder)
    assert f"{FILES[layout]} missing" in refusal(pack(folder, tmp_path / "a.tar.gz"))


def test_missing_class_names(folder, layout):
    (folder / batches.META[layout]).unlink()
    assert f"{batches.META[layout]} missing" in refusal(folder)


@pytest.mark.parametrize("names", ["nine", "twice", "unprintable"])
def test_wrong_class_names(tmp_path, names, image_set):
    folder = cifar.write(image_set(), tmp_path, "bin")
    lines = {"nine": "abcdefghi", "twice": "abcdefghii", "unprintable": "abcdefghi\x1b"}[names]
    (folder / "batches.meta.txt").write_text("\n".join(lines))
    assert "expected the names of ten classes" in refusal(folder)


def test_truncated_batch(folder, layout):
    content = (folder / FILES[layout]).read_bytes()
    (folder / FILES[layout]).write_bytes(content[:-100])
    assert FILES[layout] in refusal(folder)


def test_batch_cut_between_two_records(tmp_path, image_set):
    folder = cifar.write(image_set(), tmp_path, "bin")
    content = (folder / FILES["bin"]).read_bytes()
    (folder / FILES["bin"]).write_bytes(content[:2 * batches.RECORD])
    assert "3, 3, 2, 3, 3 pictures, expected equally many" in refusal(folder)


def test_empty_batch(folder, layout):
    (folder / FILES[layout]).write_bytes(b"")
    assert FILES[layout] in refusal(folder)


def test_label_of_200(tmp_path, layout, image_set):
    wrong = image_set()
    wrong.train_labels[7] = 200
    folder = cifar.write(wrong, tmp_path, layout)
    assert f"{FILES[layout]}: record 1 has the label 200, expected 0 to 9" in refusal(folder)


@pytest.mark.parametrize("change", [
    {b"data": np.zeros((3, 3000), np.uint8)}, {b"data": np.zeros((3, 3072), np.int16)}, {b"data": b"x"},
    {b"labels": [1, 2]}, {b"labels": [1, 2, 3.0]}, {b"labels": [1, 2, -1]}, {b"labels": np.array([1, 2, 3])},
    {b"labels": [1, 2, 1 << 100]}, {b"labels": [], b"data": np.zeros((0, 3072), np.uint8)},
], ids=["3000 pixels", "int16", "no array", "two labels", "fraction", "negative", "label array", "huge label",
        "no pictures"])
def test_wrong_content_of_a_pickle(tmp_path, change, image_set):
    folder = cifar.write(image_set(), tmp_path, "py")
    batch = pickle.loads((folder / "data_batch_3").read_bytes())
    (folder / "data_batch_3").write_bytes(pickle.dumps(batch | change, protocol=2))
    assert "data_batch_3" in refusal(folder)


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("data_batch_3", [1, 2], "expected a dictionary with the entry 'data'"),
    ("data_batch_3", {b"data": np.zeros((3, 3072), np.uint8)}, "expected a dictionary with the entry 'labels'"),
    ("batches.meta", {b"label_names": "airplane"}, "expected a list of names as label_names"),
    ("batches.meta", {b"label_names": [b"airplane"] * 10}, "expected the names of ten classes"),
])
def test_pickles_of_something_else(tmp_path, image_set, name, content, expected):
    folder = cifar.write(image_set(), tmp_path, "py")
    (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    assert f"{name}: " in (message := refusal(folder))
    assert expected in message


def test_spaces_around_class_names_are_no_part_of_them(tmp_path, image_set):
    folder = cifar.write(image_set(classes=(" airplane ", *cifar.CLASSES[1:])), tmp_path, "py")
    assert cifar.read(folder).classes == cifar.CLASSES


class Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_hostile_pickle_is_not_run(tmp_path, name, image_set, pack):
    folder = cifar.write(image_set(), tmp_path, "py")
    (folder / name).write_bytes(pickle.dumps({b"data": Evil(f"echo run > {tmp_path / 'evil'}")}, protocol=2))
    assert "nothing in it was run" in refusal(folder)
    assert "nothing in it was run" in refusal(pack(folder, tmp_path / "a.tar.gz"))
    assert not (tmp_path / "evil").exists()


def test_empty_folder_and_a_folder_of_pictures(tmp_path):
    assert "found neither" in refusal(tmp_path)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    assert "found neither" in refusal(tmp_path)  # folders of pictures are not cifar's business
    assert cifar.read_known(tmp_path) is None


def test_both_layouts_in_one_archive(tmp_path, image_set, assert_same_pictures, pack):
    for kind in ("bin", "py"):
        cifar.write(image_set(), tmp_path / "both", kind)
    assert "binary and of the python layout" in refusal(pack(tmp_path / "both", tmp_path / "a.tar.gz"))
    assert_same_pictures(cifar.read(tmp_path / "both"), image_set())


def test_file_that_is_too_large(folder, layout, monkeypatch):
    monkeypatch.setattr(batches, "MAX_FILE", 1000)
    assert "expected at most 1,000" in refusal(folder)


def test_write_refuses_to_overwrite(tmp_path, folder, layout, image_set):
    with pytest.raises(DataError, match="exists already"):
        cifar.write(image_set(), tmp_path, layout)


def test_write_refuses_what_the_layouts_cannot_hold(tmp_path, layout, image_set):
    base = image_set()
    large = dataclasses.replace(base, train_images=np.zeros((1, 3, 224, 224), np.uint8))
    few = dataclasses.replace(base, classes=("cat", "dog"))
    for other, expected in ((large, "has 10 classes of 224 x 224 pixels"), (few, "has 2 classes of 32 x 32 pixels")):
        with pytest.raises(DataError, match=f"{expected}; these layouts hold ten classes of 32 x 32"):
            cifar.write(other, tmp_path / "out", layout)
    assert not list(tmp_path.iterdir())


def test_write_into_something_that_is_no_folder(tmp_path, image_set):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        cifar.write(image_set(), tmp_path / "file", "bin")


@pytest.mark.slow
def test_the_copy_in_shared_reads_the_same_in_all_four_forms(cifar10_copy, assert_same_pictures):
    first = cifar.read(cifar10_copy / "cifar-10-batches-bin")
    assert first.train_images.shape == (50_000, 3, 32, 32)
    assert first.test_images.shape == (10_000, 3, 32, 32)
    assert first.name == "cifar10"
    assert first.official is False  # JPEG changed the pixels
    np.testing.assert_array_equal(np.bincount(first.train_labels), np.full(10, 5_000))
    mean = first.train_images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=0.005)  # FACTS: the official pixels'
    for other in ("cifar-10-batches-py", "cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"):
        assert_same_pictures(cifar.read(cifar10_copy / other), first)
