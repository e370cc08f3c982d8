"""resnet-np convert and export as a user meets them."""

import os

import numpy as np
import pytest

from resnet_np.cli import main
from resnet_np.data import CIFAR10
from resnet_np.data.normalise import IMAGENET
from resnet_np.models import Checkpoint, build, load_checkpoint, load_weights, save_checkpoint
from resnet_np.models.checkpoint import net_arrays

pytestmark = pytest.mark.nojit


@pytest.fixture
def weights(tmp_path):
    """A ResNet-8 with akamaster's names in an .npz file; the net."""
    net = build("resnet8", width=2, seed=3)
    arrays = {f"module.{name.replace('fc.', 'linear.')}": array for name, array in net_arrays(net).items()}
    np.savez(tmp_path / "weights.npz", **arrays)
    return tmp_path / "weights.npz", net


def run(capsys, *arguments):
    """-> exit code, standard output, standard error."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse
        code = stop.code
    return code, *capsys.readouterr()


def test_convert(weights, tmp_path, capsys):
    path, net = weights
    code, out, err = run(capsys, "convert", path, tmp_path / "net.npz")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "file       weights.npz: npz, names of akamaster CIFAR",
        "net        resnet8, shortcut A (zeros half before, half after), width 2, 10 classes",
        "mapped     37 tensors",
        "assumed    zero pad both, normaliser imagenet, image size 32, crop 1.0, class names CIFAR-10's",
        "           The file does not say what is assumed; see convert --help for how to say it.",
        f"written    {tmp_path / 'net.npz'}",
    ]
    checkpoint = load_checkpoint(tmp_path / "net.npz")
    assert all(np.array_equal(array, net_arrays(net)[name]) for name, array in net_arrays(checkpoint.net).items())
    np.testing.assert_array_equal(checkpoint.normaliser.mean, IMAGENET.mean)
    assert checkpoint.metadata["imported"]["assumed"]["zero_pad"] == "both"


def test_what_is_assumed_can_be_said(weights, tmp_path, capsys):
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\nc d\r\n" + b"".join(b"%d\r\n" % i for i in range(7)) + b"\r\n")
    code, out, _ = run(capsys, "convert", weights[0], tmp_path / "net.npz", "--zero-pad", "end", "--normaliser", "cifar10",
                       "--classes", tmp_path / "names.txt", "--image-size", 40, "--crop", 0.5)
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["file", "net", "mapped", "written"]
    checkpoint = load_checkpoint(tmp_path / "net.npz")
    assert checkpoint.class_names == ("a", "b", "c d", *"0123456") and checkpoint.net.architecture["zero_pad"] == "end"
    assert (checkpoint.image_size, checkpoint.crop) == (40, 0.5)
    np.testing.assert_array_equal(checkpoint.normaliser.std, CIFAR10.std)


def test_nothing_is_overwritten_without_force(weights, tmp_path, capsys):
    out = tmp_path / "net.npz"
    out.write_text("mine")
    code, _, err = run(capsys, "convert", weights[0], out)
    assert code == 2 and err == (f"resnet-np: convert: {out} is there already; choose another name, or replace it with --force\n")
    assert out.read_text() == "mine"
    assert run(capsys, "convert", weights[0], out, "--force")[0] == 0
    target = tmp_path / "net.safetensors"
    target.write_text("mine")
    code, _, err = run(capsys, "export", out, target)
    assert code == 2 and "is there already" in err and target.read_text() == "mine"
    assert run(capsys, "export", out, target, "--force")[0] == 0 and target.stat().st_size > 1000


@pytest.mark.parametrize("arguments, words", [
    ("convert none.pth net.npz", "weights: none.pth: there is no such file"),
    ("convert {weights} net.pth", "convert: net.pth is to be written, expected a name that ends in .npz"),
    ("convert {weights} none/net.npz", "cannot write none/net.npz: there is no folder none"),
    ("convert {weights} net.npz --stride-in 1x1", "stride_in: it is for nets with bottlenecks"),
    ("convert {weights} net.npz --normaliser cifar", "normaliser: got 'cifar', expected imagenet, cifar10"),
    ("convert {weights} net.npz --classes none.txt", "--classes: none.txt cannot be read: No such file or directory"),
    ("convert {weights} net.npz --classes {weights}", "is no text in UTF-8"),
    ("convert {weights} net.npz --classes .", "--classes: . is no file; give a text of one class name a line"),
    ("convert {weights} net.npz --zero-pad left", "argument --zero-pad: invalid choice: 'left'"),
    ("convert {weights} net.npz --image-size 0", "image_size: got 0"),
    ("export none.npz net.npz", "weights: none.npz: there is no such file"),
    ("export . net.npz", "export: the folder . holds no best.npz"),
    ("export none.npz net.pth", "export: net.pth is to be written, expected a name that ends in .safetensors or .npz"),
])
def test_errors_are_one_line(weights, tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments.format(weights=weights[0].name).split())
    assert code == 2 and err.count("\n") == 1 and words in err and out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["weights.npz"]


def test_a_pipe_is_not_waited_for(weights, tmp_path, capsys):
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    os.mkfifo(tmp_path / "pipe")
    for arguments, words in (([tmp_path / "pipe"], "it is not a regular file"),
                             ([weights[0], "--classes", tmp_path / "pipe"], "is no file; give a text")):
        code, out, err = run(capsys, "convert", arguments[0], tmp_path / "net.npz", *arguments[1:])
        assert (code, out, err.count("\n")) == (2, "", 1) and words in err


def test_others_weights_are_exported_too(weights, tmp_path, capsys):
    assert run(capsys, "export", weights[0], tmp_path / "net.safetensors")[0] == 0
    exported, read = (load_weights(None, path).checkpoint.net for path in (tmp_path / "net.safetensors", weights[0]))
    assert all(np.array_equal(array, net_arrays(read)[name]) for name, array in net_arrays(exported).items())


def test_a_list_of_names_that_is_something_else(weights, tmp_path, capsys):
    with (tmp_path / "names.txt").open("wb") as stream:
        stream.truncate((16 << 20) + 1)
    code, out, err = run(capsys, "convert", weights[0], tmp_path / "net.npz", "--classes", tmp_path / "names.txt")
    assert (code, out) == (2, "") and "names.txt has more than 16,777,216 bytes; give one class name a line" in err


def test_a_file_that_does_not_fit_is_reported_in_full(weights, tmp_path, capsys):
    with np.load(weights[0]) as found:
        arrays = {name: array for name, array in found.items() if name != "module.layer1.0.bn1.bias"}
    np.savez(weights[0], **arrays)
    code, out, err = run(capsys, "convert", weights[0], tmp_path / "net.npz")
    assert code == 2 and err.count("\n") == 1 and "module.layer1.0.bn1.bias is missing" in err
    assert out.splitlines() == ["file       weights.npz: npz, names of akamaster CIFAR", "net        resnet8",
                                "mapped     36 tensors", "missing    1: module.layer1.0.bn1.bias"]
    assert not (tmp_path / "net.npz").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_export_of_a_run_and_back(tmp_path, capsys, suffix):
    net = build("resnet14", width=2, seed=3)
    (tmp_path / "run").mkdir()
    save_checkpoint(tmp_path / "run" / "best.npz", Checkpoint(net, CIFAR10, tuple("abcdefghij"), {"note": 1}))
    out = tmp_path / f"net{suffix}"
    code, text, err = run(capsys, "export", tmp_path / "run", out)
    assert (code, text, err) == (0, f"written    {out}: {67 + 13} tensors under torchvision's names\n", "")
    assert run(capsys, "convert", out, tmp_path / "back.npz")[0] == 0
    back = load_checkpoint(tmp_path / "back.npz")
    assert back.class_names == tuple("abcdefghij") and back.metadata == {"note": 1}
    assert all(np.array_equal(array, net_arrays(net)[name]) for name, array in net_arrays(back.net).items())
    assert load_weights(None, tmp_path / "back.npz").report.dialect == "a resnet_np checkpoint"
