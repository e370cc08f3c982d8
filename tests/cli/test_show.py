"""`resnet-np show`, as a user runs it: a run, a checkpoint, foreign weights; every picture, and every request that does not fit."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from data_tools import cifar, shapes10
from data_tools.image_set import ImageSet
from resnet_np import fonts
from resnet_np.cli import main
from resnet_np.data import CIFAR10
from resnet_np.models import Checkpoint, inspect, resnet_cifar, save_checkpoint
from resnet_np.models.foreign.export import export
from resnet_np.viz import heat

RECORDS = [{"epoch": i, "train_loss": 2 / i, "train_accuracy": 0.4, "validation_loss": 2.1 / i, "validation_accuracy": 0.3,
            "lr": 0.1} for i in (1, 2)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Shapes-10, the first pictures only, in CIFAR-10's binary layout."""
    images, labels = shapes10.draw(30, seed=(0, 1))
    small = ImageSet("shapes10", shapes10.CLASSES, images, labels, images, labels, "a test", None)
    return cifar.write(small, tmp_path_factory.mktemp("data"), "bin")


def checkpoint(**changed):
    return Checkpoint(resnet_cifar(8, width=4, seed=1), CIFAR10, shapes10.CLASSES, **changed)


@pytest.fixture
def trained(tmp_path):
    """A run's folder, as `train` leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    save_checkpoint(folder / "best.npz", checkpoint(metadata={"progress": {"records": RECORDS[:1]}}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "my cat.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


def run(*arguments):
    return main(["show", *map(str, arguments), "--backend", "numpy"])


def is_picture(path):
    with Image.open(path) as picture:
        return picture.format == "PNG" and min(picture.size) > 200


@pytest.mark.parametrize("what, words", [
    ("curves", "2 epochs"), ("filters", "4 filters of conv1"), ("features", "test picture 0, "), ("gradcam", "what speaks for "),
    ("confusion", "answers to 30 test pictures"), ("mistakes", "mistakes among 30 test pictures"),
])
def test_every_picture_of_a_run(what, words, trained, data, capsys):
    given = () if what in ("curves", "filters") else ("--data", data)
    assert run(trained, what, *given) == 0
    out = capsys.readouterr().out
    assert words in out and f"plot       {trained / what}.png" in out and max(map(len, out.splitlines())) < 200
    assert is_picture(trained / f"{what}.png")


def test_what_is_said_is_what_is_drawn(trained, data, capsys):
    assert run(trained, "gradcam", "--data", data, "--picture", "7", "--class", "star") == 0
    label = shapes10.CLASSES[shapes10.draw(30, seed=(0, 1))[1][7]]
    assert f"shown      test picture 7, {label}: what speaks for star (" in capsys.readouterr().out
    assert is_picture(trained / "gradcam-7.png")


def test_a_heat_map_without_heat_says_so(trained, data, monkeypatch):
    drawn, heat_maps = [], heat.heat_maps
    monkeypatch.setattr(inspect, "grad_cam", lambda net, x, classes, *, at: np.full((1, *x.shape[2:]), at == "layer2", float))
    monkeypatch.setattr(heat, "heat_maps", lambda *given: drawn.extend(given[3]) or heat_maps(*given))
    assert run(trained, "gradcam", "--data", data) == 0
    assert [caption.partition("behind ")[2] for (caption,) in drawn] == ["layer3: nothing", "layer2", "layer1: nothing"]


def test_a_checkpoint_and_a_photo(trained, photo, tmp_path, capsys):
    assert run(trained / "best.npz", "features", "--picture", photo) == 0  # no data set is asked for
    assert "my cat.png: maps of 4 places" in capsys.readouterr().out
    assert is_picture(trained / "best-features-my cat.png")
    assert run(trained / "best.npz", "gradcam", "--picture", photo, "--out", tmp_path / "x.PNG") == 0
    assert is_picture(tmp_path / "x.PNG")
    assert run(trained / "best.npz", "curves") == 0
    assert "1 epoch\n" in capsys.readouterr().out


def test_pictures_in_the_size_that_the_net_sees(tmp_path, data):
    save_checkpoint(tmp_path / "small.npz", checkpoint(image_size=16))
    for what in ("features", "gradcam", "mistakes"):
        assert run(tmp_path / "small.npz", what, "--data", data) == 0
        assert is_picture(tmp_path / f"small-{what}.png")


def test_foreign_weights(tmp_path, photo, capsys):
    path = tmp_path / "net.safetensors"
    export(checkpoint(), path)
    assert run(path, "filters") == 0 and run(path, "gradcam", "--picture", photo) == 0
    assert is_picture(tmp_path / "net-filters.png") and is_picture(tmp_path / "net-gradcam-my cat.png")
    assert run(path, "curves") == 2
    assert "no epoch to draw" in capsys.readouterr().err


def test_letters_that_no_font_has_are_named(tmp_path, photo, monkeypatch, capsys):
    names = ("猫", *shapes10.CLASSES[1:])
    save_checkpoint(tmp_path / "net.npz", Checkpoint(resnet_cifar(8, width=4, seed=1), CIFAR10, names))
    monkeypatch.setattr(fonts, "CHINESE", ())
    note = "note       no font here has the letters 猫, which are drawn as boxes; install one, such as Debian's fonts-noto-cjk\n"
    for name in names[:2]:
        assert run(tmp_path / "net.npz", "gradcam", "--picture", photo, "--class", name) == 0
        assert capsys.readouterr().out.endswith(note) == (name == "猫")


@pytest.mark.parametrize("arguments, words", [
    ("RUN filters --picture 3", "--picture: filters needs none; it is for features, gradcam"),
    ("RUN features --class star", "--class: features needs none; it is for gradcam"),
    ("RUN curves --data shapes10", "--data: curves needs none"),
    ("RUN filters --out x.jpg", "--out: x.jpg is to be drawn, expected a name that ends in .png"),
    ("RUN filters --out RUN/no/such/x.png", "is to be drawn, but there is no folder"),
    ("RUN features --data DATA --picture 30", "--picture: got 30, expected a test picture from 0 to 29, or a file"),
    ("RUN features --data DATA --picture 999999999999999999999999", "expected a test picture from 0 to 29"),
    ("RUN features --picture -1", "-1"),
    ("RUN features --picture no.png", "no.png"),
    ("RUN features --picture PHOTO --data DATA", "is a file, and needs no data set"),
    ("RUN features --picture RUN/metrics.jsonl", "metrics.jsonl"),
    ("RUN gradcam --data DATA --class cat", "--class: the net does not know 'cat'; it knows circle, ring"),
    ("RUN confusion --data no-such-data", "no such file or folder"),
    ("EMPTY filters", "holds no best.npz"),
    ("EMPTY curves", "holds no metrics.jsonl"),
    ("RUN/nothing.npz filters", "nothing.npz"),
    ("PHOTO filters", "my cat.png"),
])
def test_a_bad_request_is_one_line_and_exit_code_2(arguments, words, trained, data, photo, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"RUN": trained, "DATA": data, "PHOTO": photo, "EMPTY": tmp_path / "empty"}
    given = [place.replace("RUN", str(trained)) if place not in places else str(places[place]) for place in arguments.split()]
    if "-1" in given:
        given = given[:-2] + ["--picture=-1"]
    before = sorted(os.listdir(trained))
    assert run(*given) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and words in err and "Traceback" not in out + err
    assert sorted(os.listdir(trained)) == before


@pytest.mark.parametrize("content, words", [
    (b"", "no epoch to draw"), (b"{", "cannot be read"), (b"3\n", "cannot be read"), (b"\xff\xfe\n", "cannot be read"),
    (b"[[[\n", "cannot be read"), (b"{}\n", "damaged: KeyError"), (b'{"epoch": "x"}\n', "damaged"),
    (b'{"epoch": 1, "lr": "a"}\n', "damaged"), (b'{"epoch": 1, "lr": 1e400, "train_loss": {}}\n', "damaged"),
])
def test_damaged_metrics(content, words, trained, capsys):
    (trained / "metrics.jsonl").write_bytes(content)
    assert run(trained, "curves") == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


@pytest.mark.parametrize("metadata", [{"progress": 3}, {"progress": {"records": 3}}, {"progress": {"records": [3]}}])
def test_damaged_records_in_a_checkpoint(metadata, tmp_path, capsys):
    save_checkpoint(tmp_path / "net.npz", checkpoint(metadata=metadata))
    assert run(tmp_path / "net.npz", "curves") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_other_classes(tmp_path, data, capsys):
    save_checkpoint(tmp_path / "net.npz", Checkpoint(resnet_cifar(8, width=4), CIFAR10, tuple("abcdefghij")))
    for what in ("features", "gradcam", "confusion", "mistakes"):
        assert run(tmp_path / "net.npz", what, "--data", data) == 2
        assert "the net knows a, b, c, d, ... but" in capsys.readouterr().err


def test_a_net_that_is_always_right_has_no_mistakes(tmp_path, capsys):
    net = resnet_cifar(8, width=4)
    net.children["fc"].weight.data[...] = 0
    net.children["fc"].bias.data[...] = np.arange(10)[::-1]  # always class 0
    save_checkpoint(tmp_path / "net.npz", Checkpoint(net, CIFAR10, shapes10.CLASSES))
    images = np.zeros((20, 3, 32, 32), np.uint8)
    labels = np.arange(20) % 10
    zeros = np.zeros(20, np.int64)
    cifar.write(ImageSet("custom", shapes10.CLASSES, images, labels, images, zeros, "a test", None), tmp_path / "data", "npz")
    found = next(path for path in [tmp_path / "data", *(tmp_path / "data").rglob("*.npz")] if path.is_file())
    assert run(tmp_path / "net.npz", "mistakes", "--data", found) == 2
    assert "there is no mistake to draw: all 20 test pictures are right" in capsys.readouterr().err


def test_a_net_that_overflows(tmp_path, data, capsys):
    net = resnet_cifar(8, width=4)
    net.children["fc"].weight.data[...] = np.nan
    save_checkpoint(tmp_path / "net.npz", Checkpoint(net, CIFAR10, shapes10.CLASSES))
    for what in ("gradcam", "confusion", "mistakes"):
        assert run(tmp_path / "net.npz", what, "--data", data) == 2
        assert "not finite; its weights are damaged" in capsys.readouterr().err
