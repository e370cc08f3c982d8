"""python -m data_tools."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_tools import __main__ as command
from data_tools import cifar, fetch, find, shapes10, verify
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit
CHINESE = ("飞机", "汽车", "鸟", "猫", "鹿", "狗", "青蛙", "马", "船", "卡车 $x_1$")


@pytest.fixture(autouse=True)
def small_shapes(monkeypatch):
    small = shapes10.make(train=50, test=20)
    monkeypatch.setattr(shapes10, "make", lambda: small)
    return small


@pytest.fixture
def run(capsys):
    """A command line -> exit code, standard output, standard error."""
    def call(*arguments):
        code = command.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()
    return call


@pytest.mark.parametrize("layout", cifar.LAYOUTS)
def test_make_writes_what_can_be_read(tmp_path, run, layout):
    place = tmp_path / "out" / cifar.FOLDERS.get(layout, "")
    assert run("make", "shapes10", tmp_path / "out", "--layout", layout) == (0, f"{place}\n", "")
    found = cifar.read(tmp_path / "out")
    assert (found.name, found.classes) == ("shapes10", shapes10.CLASSES)
    assert (len(found.train_labels), len(found.test_labels)) == (50, 20)


def test_make_twice_is_one_line(tmp_path, run):
    assert run("make", "shapes10", tmp_path)[0] == 0
    code, _, err = run("make", "shapes10", tmp_path)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "exists already" in err


def test_fetch_passes_the_folder_on(tmp_path, monkeypatch, run):
    monkeypatch.setattr(fetch, "fetch", lambda folder, progress: folder / "archive")
    assert run("fetch", "--to", tmp_path) == (0, f"{tmp_path / 'archive'}\n", "")


def test_fetch_offline_is_one_line(monkeypatch, run):
    def offline(*_, **__):
        raise DataError("fetch: offline: no answer")

    monkeypatch.setattr(fetch, "fetch", offline)
    assert run("fetch") == (2, "", "data_tools: fetch: offline: no answer\n")


@pytest.mark.parametrize(("error", "code", "line"), [(MemoryError(), 2, "not enough memory"),
                                                     (KeyboardInterrupt(), 130, "interrupted")])
def test_other_ends(monkeypatch, run, error, code, line):
    def stop(*_, **__):
        raise error

    monkeypatch.setattr(fetch, "fetch", stop)
    found, out, err = run("fetch")
    assert (found, out, len(err.splitlines())) == (code, "", 1)
    assert line in err


@pytest.mark.parametrize("layout", cifar.LAYOUTS)
def test_convert_and_verify(tmp_path, run, layout, image_set, assert_same_pictures):
    source = cifar.write(image_set(classes=CHINESE), tmp_path / "source", "py")
    code, out, err = run("convert", source, tmp_path / "out", "--to", layout)
    assert (code, err) == (0, "")
    assert_same_pictures(cifar.read(Path(out.strip())), image_set(classes=CHINESE))
    code, out, err = run("verify", out.strip())
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 5
    for part in (verify.LAYOUTS[layout], "15 train, 4 test", "鸟, 猫, 鹿", "official  no"):
        assert part in out


def test_convert_twice_is_one_line(tmp_path, run):
    arguments = "convert", "shapes10", tmp_path / "set.npz", "--to", "npz"
    assert run(*arguments) == (0, f"{tmp_path / 'set.npz'}\n", "")
    before = (tmp_path / "set.npz").read_bytes()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "exists already" in err
    assert (tmp_path / "set.npz").read_bytes() == before


def test_verify_an_archive(tmp_path, run, image_set, pack, monkeypatch):
    archive = pack(cifar.write(image_set(), tmp_path / "x", "bin"), tmp_path / "cifar-10-binary.tar.gz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    for path in (archive, tmp_path):
        _, out, _ = run("verify", path)
        assert "binary batches, in an archive" in out
        assert "official  unknown" in out
        assert f"sha256    {digest}, neither of the official archives" in out
    monkeypatch.setitem(verify.OFFICIAL_ARCHIVES, digest, "CIFAR-10's official binary archive")
    assert f"{digest}, CIFAR-10's official binary archive" in run("verify", archive)[1]


def test_the_official_archives():
    # FACTS: both archives of the home page.
    assert verify.OFFICIAL_ARCHIVES == {
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd": "CIFAR-10's official binary archive",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce": "CIFAR-10's official python archive"}


def test_verify_official_pixels(image_set):
    for official, word in ((True, "yes"), (False, "no"), (None, "unknown")):
        lines = verify.describe(dataclasses.replace(image_set(), official=official))
        assert [line for line in lines if line.startswith(f"official  {word}")]


@pytest.fixture
def known(tmp_path, image_set):
    """A data set whose figures are easily counted."""
    base = image_set(train=15, test=4)
    train, test = base.train_images.copy(), base.test_images.copy()
    train[:, 0], train[:, 1] = 255, 51
    train[:, 2] = np.arange(15)[:, None, None]  # all pictures differ
    train[7] = train[12] = train[3]
    test[1], test[2] = train[3], test[0]
    labels = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8])
    return cifar.write(dataclasses.replace(base, train_images=train, train_labels=labels, test_images=test,
                                           test_labels=np.array([9, 9, 9, 0])), tmp_path / "known.npz", "npz")


def test_inspect_as_json(run, known):
    code, out, err = run("inspect", known, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["name"], found["layout"], found["official"]) == ("cifar10", "npz", None)
    assert found["classes"] == list(cifar.CLASSES)
    assert found["train_counts"] == [3, 2, 1, 1, 1, 1, 1, 1, 4, 0]
    assert found["test_counts"] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    blue = np.array([0, 1, 2, 3, 4, 5, 6, 3, 8, 9, 10, 11, 3, 13, 14]) / 255
    assert found["mean"] == pytest.approx([1, 0.2, blue.mean()])
    assert found["std"] == pytest.approx([0, 0, blue.std()])
    assert found["train_duplicates"] == {"count": 2, "pairs": [[3, 7], [3, 12]]}
    assert found["test_duplicates"] == {"count": 1, "pairs": [[0, 2]]}
    assert found["across_duplicates"] == {"count": 1, "pairs": [[3, 1]]}


def test_inspect_as_text(run, known):
    _, out, _ = run("inspect", known)
    lines = out.splitlines()
    for line in ("       3        1  airplane", "       0        3  truck", "      15        4  all",
                 "exact duplicates within train: 2: (3, 7), (3, 12)", "exact duplicates within test: 1: (0, 2)",
                 "test pictures that are in train too (train, test): 1: (3, 1)"):
        assert line in lines
    assert "mean  1.0000, 0.2000, 0.0" in out


def test_many_duplicates_are_counted_and_a_few_shown(tmp_path, run, image_set):
    base = image_set()
    same = dataclasses.replace(base, train_images=np.zeros_like(base.train_images))
    assert "train: 14: (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), …" in run("inspect", cifar.write(same, tmp_path / "x", "npz"))[1]


def test_moments_of_random_pictures(run, tmp_path, image_set):
    path = cifar.write(image_set(), tmp_path / "x", "npz")
    found = json.loads(run("inspect", path, "--json")[1])
    pixels = image_set().train_images / 255
    assert found["mean"] == pytest.approx(pixels.mean(axis=(0, 2, 3)))
    assert found["std"] == pytest.approx(pixels.std(axis=(0, 2, 3)))


@pytest.mark.parametrize("words", [["verify"], ["inspect"], ["convert", "OUT", "--to", "npz"]])
def test_what_is_not_there_is_one_line(tmp_path, run, words):
    words = [words[0], tmp_path / "none", *words[1:]]
    assert run(*words) == (2, "", f"data_tools: '{tmp_path / 'none'}': no such file or folder; expected a path, cifar10 or "
                                  "shapes10\n")


def test_a_folder_of_pictures(pets, run):
    code, out, err = run("verify", pets)
    assert (code, len(err.splitlines())) == (0, 1)
    assert "no test folder, so a fifth of each class is kept for testing: 6 of 30 pictures" in err
    assert out.splitlines() == [f"sound     pets, {pets}", "layout    folders of pictures",
                                "pictures  24 train, 6 test, 32 x 32 pixels", "classes   2: cat, dog",
                                "official  no: not the pixels that CIFAR-10's home page publishes"]
    assert "6 test, 48 x 48 pixels" in run("verify", pets, "--image-size", 48)[1]
    code, out, _ = run("inspect", pets)
    assert code == 0
    assert {"       8        2  cat", "      16        4  dog", "      24        6  all"} < set(out.splitlines())


def test_a_folder_that_cannot_be_converted_is_one_line(tmp_path, pets, run):
    code, out, err = run("convert", pets, tmp_path / "out", "--to", "npz")
    assert (code, out) == (2, "")
    assert "pets: has 2 classes of 32 x 32 pixels; these layouts hold ten classes" in err.splitlines()[-1]
    assert os.listdir(tmp_path) == ["pets"]


def test_a_folder_of_ten_classes_is_converted(tmp_path, pets, run, assert_same_pictures):
    for name in "abcdefgh":
        shutil.copytree(pets / "cat", pets / name)
    assert run("convert", pets, tmp_path / "set.npz", "--to", "npz")[:2] == (0, f"{tmp_path / 'set.npz'}\n")
    assert_same_pictures(cifar.read(tmp_path / "set.npz"), find(str(pets), say=lambda _: None, progress=False))


def test_an_image_size_that_makes_no_sense_is_one_line(pets, run):
    for size in (0, -1, 5000):
        assert run("verify", pets, "--image-size", size) == (
            2, "", f"data_tools: image size: got {size}, expected a whole number from 1 to 1,024\n")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["make", "mnist", "x"], ["make", "shapes10"], ["verify"],
                                       ["convert", "a", "b"], ["convert", "a", "b", "--to", "jpg"], ["fetch", "--insecure"]])
def test_bad_command_lines_exit_2(arguments):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    assert {"fetch", "verify", "inspect", "convert", "make"} <= set(capsys.readouterr().out.split())


def test_a_terminal_without_chinese_letters_and_a_reader_that_leaves(tmp_path, image_set):
    path = cifar.write(image_set(classes=CHINESE), tmp_path / "x", "npz")
    call = [sys.executable, "-m", "data_tools", "inspect", path]
    plain = os.environ | {"PYTHONIOENCODING": "ascii"}
    out = subprocess.run(call, check=True, capture_output=True, env=plain).stdout
    assert rb"\u732b" in out
    for unbuffered in ("", "1"):  # the first word that nobody reads leaves at the end, or at once
        left = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
        left.stdout.close()
        assert left.stderr.read() == b""
        assert left.wait() == 1
