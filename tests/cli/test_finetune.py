"""`resnet-np finetune`, as a user runs it: foreign weights or a run, CIFAR's format or a folder of pictures."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from data_tools import cifar, shapes10
from resnet_np.cli import main
from resnet_np.data import CIFAR10
from resnet_np.models import Checkpoint, load_checkpoint, resnet_cifar, resnet_imagenet, save_checkpoint
from resnet_np.models.foreign.export import export

CLASSES = ("circle", "square", "star")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder a class, 40 x 36 pixels, no test pictures of its own."""
    folder, drawn = tmp_path_factory.mktemp("photos"), shapes10.make()
    for name in CLASSES:
        (folder / name).mkdir()
        for number, place in enumerate(np.flatnonzero(drawn.train_labels == drawn.classes.index(name))[:30]):
            Image.fromarray(drawn.train_images[place].transpose(1, 2, 0)).resize((40, 36)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An export of ours: a ResNet-8 that knows five classes."""
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    export(Checkpoint(resnet_cifar(8, classes=5, seed=2), CIFAR10, tuple("abcde")), path)
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_a_folder_of_pictures(photos, weights, tmp_path, capsys):
    out = tmp_path / "run"
    assert run("finetune", weights, "--data", photos, "--preset", "head", "--epochs", "3", "--batch-size", "8", "--out", out) == 0
    text = capsys.readouterr().out
    for words in ("72 pictures went through the frozen trunk once", "a new head of 3 classes, trunk frozen"):
        assert words in text
    assert max(map(len, text.replace(str(photos), "PHOTOS").splitlines()[:16])) <= 115
    checkpoint = load_checkpoint(out / "best.npz")
    assert checkpoint.class_names == CLASSES and checkpoint.image_size == 32
    assert run("evaluate", out, "--data", photos, "--json") == 0
    assert json.loads(capsys.readouterr().out)["count"] == 18  # a fifth of each class


def test_a_run_is_fine_tuned_and_resumed(photos, weights, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    recipe = ("--data", photos, "--epochs", "1", "--batch-size", "16")
    assert run("finetune", weights, *recipe, "--freeze", "2", "--out", first) == 0
    assert run("finetune", first, *recipe, "--image-size", "16", "--stage-lr-mult", "0.5", "--out", second) == 0
    text = capsys.readouterr().out
    assert "a new head of 3 classes, stem and 2 stages frozen" in text and "its own head, nothing frozen" in text
    assert load_checkpoint(second / "last.npz").image_size == 16
    assert run("finetune", "--resume", "--out", second) == 0  # it is at its end, and says so again
    assert "test  " in capsys.readouterr().out


def test_a_wide_range_of_nets(photos, tmp_path):
    """Bottlenecks with an ImageNet stem, shown pictures of the size that they know."""
    path = tmp_path / "net.npz"
    names = tuple(f"class {i}" for i in range(7))
    save_checkpoint(path, Checkpoint(resnet_imagenet(50, width=2, classes=7), CIFAR10, names, image_size=64, crop=0.875))
    assert run("finetune", path, "--data", photos, "--epochs", "1", "--batch-size", "8", "--out", tmp_path / "run") == 0
    found = load_checkpoint(tmp_path / "run" / "best.npz")
    assert (found.image_size, found.crop, found.net.architecture["classes"]) == (64, 0.875, 3)


def test_a_backbone_without_a_head(photos, weights, tmp_path, capsys):
    """As Hugging Face publishes them: everything but the last layer."""
    tensors = {f"module.{name}": array for name, array in load_file(weights).items() if not name.startswith("fc.")}
    save_file(tensors, tmp_path / "trunk.safetensors")
    recipe = ("--data", photos, "--epochs", "1", "--batch-size", "16")
    assert run("finetune", tmp_path / "trunk.safetensors", *recipe, "--out", tmp_path / "run") == 0
    assert "a new head of 3 classes" in capsys.readouterr().out
    assert run("evaluate", tmp_path / "trunk.safetensors", "--data", photos) == 2
    assert "it has no head (module.fc.weight)" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, words", [
    ((), "which weights? name a weight file"), (("missing.th",), "missing.th"), (("{photos}",), "best.npz"),
    (("{weights}", "--freeze", "9"), "--freeze: got 9, but resnet8 has 3 stages"), (("--resume",), "which run?"),
    (("{weights}", "--head", "keep"), "--head keep: the weights know the classes a, b, c, d"),
    (("{weights}", "--zero-pad", "end"), "zero_pad: the file is a resnet_np export")])
def test_bad_requests_are_one_line(arguments, words, photos, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = [argument.format(photos=photos, weights=weights) for argument in arguments]
    assert run("finetune", *given, "--data", photos) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not list(tmp_path.glob("runs/*"))


def test_pictures_that_moved(photos, weights, tmp_path, monkeypatch, capsys):
    """Others must not be fetched in their place."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, "here")
    assert run("finetune", weights, "--data", "here", "--epochs", "1", "--batch-size", "16", "--out", "run") == 0
    said = capsys.readouterr().out
    assert re.search(r"\n +left out, so that predict gives no caution: \d+ pictures were trained on, at least 200 are needed", said)
    Path("here").rename("there")
    for arguments in (("finetune", "--resume", "--out", "run"), ("evaluate", "run"), ("show", "run", "confusion")):
        assert run(*arguments) == 2
        out, error = capsys.readouterr()
        assert error.count("\n") == 1 and "are not there any more; say where they are with --data PATH" in error
    assert run("finetune", "--resume", "--out", "run", "--data", "there") == 0


def test_each_command_resumes_its_own_runs(photos, weights, tmp_path, capsys):
    tuned, trained = tmp_path / "tuned", tmp_path / "trained"
    assert run("finetune", weights, "--data", photos, "--epochs", "1", "--batch-size", "16", "--out", tuned) == 0
    assert run("train", "--model", "resnet8", "--data", photos, "--epochs", "1", "--batch-size", "16", "--out", trained) == 0
    capsys.readouterr()
    for command, folder, other in (("train", tuned, "finetune"), ("finetune", trained, "train")):
        assert run(command, "--resume", "--out", folder) == 2
        assert f"resume it with: resnet-np {other} --resume --out {folder}" in capsys.readouterr().err


@pytest.fixture(scope="module")
def cifar_photos(cifar10_copy, tmp_path_factory):
    """make(count) -> a folder of the JPEG copy's first `count` training pictures of each class."""
    pictures = cifar.read(cifar10_copy / "cifar-10-batches-bin")

    def make(count):
        folder = tmp_path_factory.mktemp("cifar")
        for label, name in enumerate(pictures.classes):
            (folder / name).mkdir()
            for number, place in enumerate(np.flatnonzero(pictures.train_labels == label)[:count]):
                Image.fromarray(pictures.train_images[place].transpose(1, 2, 0)).save(folder / name / f"{number}.png")
        return folder
    return make


@pytest.mark.slow
def test_a_head_on_2000_photos_takes_less_than_a_minute(shared, cifar_photos, tmp_path):
    """The public ResNet-20, kernels compiled: issue 5, "done when" 2."""
    command = [sys.executable, "-m", "resnet_np", "finetune", shared / "pretrained" / "resnet20-12fca82f.th", "--data",
               cifar_photos(200), "--preset", "head", "--no-progress", "--out"]
    subprocess.run([*command, tmp_path / "compiles", "--epochs", "1"], check=True, capture_output=True)
    start = time.perf_counter()
    subprocess.run([*command, tmp_path / "run"], check=True, capture_output=True)
    assert time.perf_counter() - start < 60
    assert json.loads((tmp_path / "run" / "result.json").read_text())["test_accuracy"] > 0.7  # a head of its own: chance is 0.1


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("depth", [18, 50])
def test_what_torch_wrote_learns_for_an_epoch(torch, cifar_photos, tmp_path, depth, capsys):
    """Full width, ImageNet stems, random weights, at the size of CIFAR-10's pictures: everything moves, and stays finite."""
    from resnet_np.bench.peer import Net

    architecture = {"family": "resnet_imagenet", "depth": depth, "stem": "imagenet", "stride_in": "3x3", "width": 64,
                    "classes": 1000}
    torch.manual_seed(0)
    state = Net(architecture).state_dict()
    torch.save(state, tmp_path / "net.pth")
    recipe = ("--data", cifar_photos(20), "--image-size", "32", "--epochs", "1")
    assert run("finetune", tmp_path / "net.pth", *recipe, "--out", tmp_path / "run") == 0
    assert "trained on pictures of 224 pixels, these have 32" in capsys.readouterr().out
    tuned = load_checkpoint(tmp_path / "run" / "last.npz").net
    for name, parameter in tuned.named_parameters().items():
        assert np.isfinite(parameter.data).all(), name
        assert name.startswith("fc.") or not np.array_equal(parameter.data, state[name].numpy()), name
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert np.isfinite(record["train_loss"]) and record["step"] == 2  # of 144 pictures
