"""Commands that name the wrong thing, or find it damaged: one line, exit code 2, and every file is as it was."""

import shutil

import numpy as np
import pytest

from data_tools import cifar
from data_tools.image_set import ImageSet
from resnet_np.cli import main

pytestmark = pytest.mark.nojit


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(3)
    images, labels = rng.integers(0, 256, (40, 3, 32, 32)).astype(np.uint8), np.arange(40) % 10
    small = ImageSet("custom", tuple("abcdefghij"), images, labels, images[:10], labels[:10], "a test", None)
    return cifar.write(small, tmp_path_factory.mktemp("data"), "bin")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    recipe = ["--model", "resnet8", "--epochs", "1", "--batch-size", "12"]
    assert main(["train", "--data", str(data), *recipe, "--out", str(out)]) == 0
    return out


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("resnet-np: ") and err.count("\n") == 1 and "Traceback" not in out + err
    return err


@pytest.mark.parametrize("option, value", [("--model", "resnet14"), ("--shortcut", "B"), ("--lr", "0.5"), ("--batch-size", "4")])
def test_resuming_with_another_recipe(data, folder, capsys, option, value):
    before = files(folder)
    assert f"started with {option} " in refused(capsys, "train", "--resume", "--out", folder, "--data", data, option, value)
    assert files(folder) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"colour": 1}', b'{"lr": "fast"}'])
def test_resuming_with_a_damaged_config(data, folder, capsys, content):
    (folder / "config.json").write_bytes(content)
    before = files(folder)
    assert "config" in refused(capsys, "train", "--resume", "--out", folder, "--data", data)
    assert files(folder) == before


def test_resuming_without_a_config(data, folder, capsys):
    (folder / "config.json").unlink()
    assert "config.json cannot be read" in refused(capsys, "train", "--resume", "--out", folder, "--data", data)


def test_resuming_with_both_checkpoints_damaged(data, folder, capsys):
    for name in ("last.npz", "previous.npz"):
        (folder / name).write_bytes((folder / name).read_bytes()[:5000])
    before = files(folder)
    text = refused(capsys, "train", "--resume", "--out", folder, "--data", data)
    assert "last.npz" in text and "previous.npz" in text and files(folder) == before


def test_resuming_what_is_no_run(data, folder, tmp_path, capsys):
    empty, file = tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.write_text("mine")
    for path in (empty, file, tmp_path / "none"):
        assert "there is no run in" in refused(capsys, "train", "--resume", "--out", path, "--data", data)
    assert list(empty.iterdir()) == [] and not (tmp_path / "none").exists() and file.read_text() == "mine"


def test_a_folder_that_is_a_file(data, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "run"):
        assert f"the folder {path} cannot be made" in refused(capsys, "train", "--out", path, "--data", data)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("content, words", [
    (lambda data: data[:len(data) // 2], "cut short"), (lambda data: b"", "cut short"),
    (lambda data: data[:5000] + bytes(50) + data[5050:], "cannot be read"), (lambda data: b"PK" * 1000, "cut short"),
])
def test_evaluating_damaged_weights(data, folder, capsys, content, words):
    (folder / "best.npz").write_bytes(content((folder / "best.npz").read_bytes()))
    before = files(folder)
    text = refused(capsys, "evaluate", folder, "--data", data)
    assert words in text and "best.npz" in text
    assert files(folder) == before


def test_evaluating_what_is_no_run(data, folder, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no best.npz" in refused(capsys, "evaluate", empty, "--data", data)
    assert "it begins with" in refused(capsys, "evaluate", folder / "config.json", "--data", data)
    assert list(empty.iterdir()) == []
