"""`plan` and `train --minutes`, as a user meets them, with a recipe so small that it is over at once."""

import json
import time

import pytest

from data_tools import cifar, shapes10
from data_tools.image_set import ImageSet
from resnet_np import backend
from resnet_np.cli import main, train
from resnet_np.cli.plan import measured
from resnet_np.training import plan, preset
from resnet_np.training.deadline import Deadline
from resnet_np.training.measured import Measured

pytestmark = pytest.mark.nojit

TINY = Measured("tiny", "resnet8", 4, {0.5: (0.31,), 2: (0.5, 0.6)}, {"muon": 0.1, "batch_size": 16})


@pytest.fixture(autouse=True)
def one_recipe(monkeypatch):
    monkeypatch.setattr(plan, "MEASURED", (TINY,))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    whole = shapes10.make()
    small = ImageSet(whole.name, whole.classes, whole.train_images[:60], whole.train_labels[:60], whole.test_images[:20],
                     whole.test_labels[:20], "a test", None)
    return cifar.write(small, tmp_path_factory.mktemp("data"), "bin")


@pytest.mark.slow
def test_train_for_a_minute(data, tmp_path, monkeypatch, capsys):
    """No more pictures are seen than ever were: of an epoch of 81 pictures 54 make one and a half. What that gives on other
    pictures than CIFAR-10's is not promised."""
    monkeypatch.setattr(plan, "TRAINING", 81)
    left = []
    monkeypatch.setattr(Deadline, "took", lambda self, run, steps, seconds: left.append(self._end - time.perf_counter()))
    assert main(["train", "--minutes", "1", "--data", str(data), "--out", str(tmp_path / "run"), "--seed", "5",
                 "--image-size", "16",
                 "--backend", "numpy"]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("plan "))
    assert "of 54 pictures" in line and "the accuracy cannot be told" in out
    assert "forecast" not in out  # the machine has been measured already
    assert 0 < left[-1] < left[0] < 60 and len(left) == 9  # it was told of every step
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [config[name] for name in ("preset", "model", "width", "epochs", "muon", "seed")] == ["fast", "resnet8", 4, 3, 0.1, 5]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert 0 <= result["test_accuracy_views"] <= 1
    assert config["image_size"] == 16
    assert main(["train", "--resume", "--out", str(tmp_path / "run"), "--data", str(data), "--backend", "numpy"]) == 0
    assert main(["train", "--minutes", "1", "--data", str(data), "--out", str(tmp_path / "run"), "--backend", "numpy"]) == 2
    assert "plan " not in capsys.readouterr().out.partition("resuming")[2]  # refused before anything is measured


def test_the_table_and_the_choice(capsys):
    assert main(["plan", "--minutes", "1440", "--backend", "numpy"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:2] == ["recipe", "parameters"] and "31.0% (1 run)" in out[1] and "2 seeds)" in out[2]
    assert "Small: " in out[3] and "JPEG" in out[4] and "45,000 training pictures" in out[5]
    assert out[-2].startswith("plan       tiny, 2 epochs of 45,000 pictures")
    assert "55.0% of validation pictures were right after as much (50.0% to 60.0% in 2 runs; six views" in out[-1]


@pytest.mark.parametrize("arguments, words", [
    ("train --minutes 5 --epochs 3", "--minutes: it decides --epochs itself; leave one of them out"),
    ("train --minutes 5 --preset short", "--minutes: it decides --preset itself"),
    ("train --minutes 5 --resume --out somewhere", "--minutes: a run that is resumed keeps the recipe"),
    ("plan --backend loops", "--backend loops: it takes far too long to be measured"),
    ("train --minutes 5 --data {data} --backend loops", "--backend loops: it takes far too long to be measured"),
    ("train --minutes 5 --data {data} --limit-train 55", "--limit-train: got 55, but 54 training pictures are left"),
    ("train --minutes 5 --data {data} --normaliser per-pixel", "or pass --start-scale 1 too"),
])
def test_requests_that_clash(arguments, words, capsys, data, monkeypatch):
    """Said before anything is measured."""
    monkeypatch.setattr(plan, "measure", None)
    monkeypatch.chdir(data.parent)
    assert main([word.format(data=data) for word in arguments.split()]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


@pytest.mark.parametrize("command", ["train", "plan"])
@pytest.mark.parametrize("minutes", ["0", "1441", "soon", "nan"])
def test_no_number_of_minutes(command, minutes, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--minutes", minutes])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and f"got {minutes}, expected a number of minutes from 1 to 1,440" in err and err.count("\n") == 1


@pytest.mark.parametrize("preset", ["fast", "hour"])
def test_batches_that_are_large_for_the_pictures(preset, data, tmp_path, capsys):
    """`--minutes` would have made them smaller."""
    arguments = ["train", "--preset", preset, "--model", "resnet8", "--width", "4", "--epochs", "1", "--data", str(data),
                 "--backend", "numpy", "--no-progress", "--out"]
    assert main([*arguments, str(tmp_path / "large")]) == 0
    assert "54 training pictures make few batches of 1,000; worth trying: --batch-size 32 --lr 0.0266" in capsys.readouterr().out
    assert main([*arguments, str(tmp_path / "small"), "--batch-size", "32", "--lr", "0.03"]) == 0
    assert "worth trying: --batch-size" not in capsys.readouterr().out


@pytest.mark.parametrize("count, size, words", [
    (45_000, 64, "pictures of 64x64 pixels make large batches of 1,000; worth trying: --batch-size 250 --lr 0.207\n"),
    (45_000, 224, "pictures of 224x224 pixels make large batches of 1,000; worth trying: --batch-size 32 --lr 0.0266\n"),
    (22_500, 33, "22,500 training pictures make few batches of 1,000; worth trying: --batch-size 500 --lr 0.415\n"),
    (45_000, 32, ""), (50_000, 24, "")])
def test_batches_that_are_large_for_their_pixels(count, size, words, capsys):
    train._caution(preset("fast"), count, size)
    assert capsys.readouterr().out == ("caution    " + words if words else "")


@pytest.mark.parametrize(("changes", "step"), [
    ({}, "fast"), ({"muon": 0.0}, "float32"), ({"fused": False}, "float32"), ({"precision": "bf16"}, "bf16"),
    ({"model": "resnet20"}, "float32")])
def test_what_is_compiled_is_noted_by_its_own_name(monkeypatch, changes, step):
    """Help is asked for before anything is measured, and what has been compiled is noted behind it."""
    compile = pytest.importorskip("resnet_np.kernels.compile")
    calls = []
    monkeypatch.setattr(compile, "get_help", lambda step: calls.append(("help", step)) or print)
    monkeypatch.setattr(compile, "note_warm", lambda step: calls.append(("warm", step)))
    monkeypatch.setattr(plan, "measure_all", lambda **_: calls.append(("measured", _)) or {})
    monkeypatch.setattr(backend, "current", lambda: "numba")
    assert measured(preset("fast", **changes), classes=10) == {}
    assert calls == [("help", step), ("measured", {"classes": 10, "compiled": print}), ("warm", step)]
