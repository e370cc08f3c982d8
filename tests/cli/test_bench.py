"""resnet-np bench: what it says, its JSON, and that it times nothing that disagrees."""

import importlib.metadata
import importlib.util
import json
import textwrap

import pytest

from resnet_np.bench import compare, roofline
from resnet_np.bench.agreement import Agreement
from resnet_np.bench.task import Task
from resnet_np.cli import main

pytestmark = pytest.mark.nojit

TINY = ["bench", "--model", "resnet8", "--batch", "4", "--threads", "1", "--rounds", "1"]
KEYS = {
    "train_ratio", "infer_ratio", "train_images_per_second", "infer_images_per_second", "ceiling_share", "peak_mib",
    "first_step_seconds_cold", "first_step_seconds_warm", "torch", "model", "batch", "threads", "versions", "spread",
    "memory", "image_size", "precision", "micro_kernel", "cpu", "train_ratio_any", "infer_ratio_any",
}
SIDE_KEYS = {
    "train_images_per_second", "infer_images_per_second", "ceiling_share", "peak_mib", "first_step_seconds_cold",
    "first_step_seconds_warm",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("RESNET_NP_BACKEND", "numpy")
    monkeypatch.setattr(compare, "SECONDS", {"train": 0.0, "infer": 0.0})
    for module in (compare, roofline):
        monkeypatch.setattr(module, "SGEMM_SECONDS", 0.0)
    monkeypatch.setattr(roofline, "SECONDS", 0.0)
    monkeypatch.setattr(roofline, "COPY_SECONDS", 0.0)


def fits(out):
    return max(map(len, out.splitlines())) <= 100


def test_json(capsys):
    assert main([*TINY, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == KEYS
    assert answer["model"] == "resnet8" and answer["batch"] == 4 and answer["threads"] == 1 and "numpy" in answer["versions"]
    assert answer["torch"] is answer["train_ratio"] is answer["infer_ratio"] is None
    assert answer["train_ratio_any"] is answer["infer_ratio_any"] is answer["micro_kernel"] is None
    assert (answer["image_size"], answer["precision"]) == (32, "float32") and answer["cpu"]
    assert answer["spread"] == dict.fromkeys(("train_ratio", "infer_ratio", "train_ratio_any", "infer_ratio_any"))
    assert all(answer[key] > 0 for key in SIDE_KEYS)


@pytest.mark.peer
@pytest.mark.slow
def test_json_against_torch(capsys, monkeypatch):
    monkeypatch.setattr(compare, "LAYOUTS", ("channels_last",))
    monkeypatch.setattr(compare.platform, "libc_ver", lambda: ("", ""))  # no second PyTorch with its malloc tuned
    modes = compare._modes
    monkeypatch.setattr(compare, "_modes", lambda *given: [side for side in modes(*given) if not side.options["compiled"]])
    assert main([*TINY, "--vs", "torch", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == KEYS and "torch" in answer["versions"]
    assert set(answer["torch"]) == SIDE_KEYS | {"modes"}
    assert set(answer["torch"]["modes"]) == {"PyTorch eager, channels_last", "PyTorch eager, bf16"}
    assert answer["torch"]["modes"]["PyTorch eager, channels_last"] == {key: answer["torch"][key] for key in SIDE_KEYS}
    assert answer["train_ratio_any"] <= answer["train_ratio"] and answer["infer_ratio_any"] <= answer["infer_ratio"]
    assert all(answer["torch"][key] > 0 for key in SIDE_KEYS)
    assert answer["train_ratio"] == pytest.approx(
        answer["train_images_per_second"] / answer["torch"]["train_images_per_second"])
    low, high = answer["spread"]["infer_ratio"]
    assert low == pytest.approx(answer["infer_ratio"]) == pytest.approx(high)


def side(name, train, infer):
    return compare.Side(name, "torch", seconds={"train": [[train]], "infer": [[infer]]}, first_step={"cold": 21.5, "warm": 1.25},
                        peak_mib=1234.5)


def comparison(others, worst):
    agreed = Agreement({}, "", worst) if worst else None
    return compare.Comparison(Task("resnet20", 128, 2), 40_550_000, side("resnet_np", 0.25, 0.05), others, [160.0], agreed)


def test_table_alone(capsys, monkeypatch):
    monkeypatch.setattr(compare, "compare", lambda *_: comparison([], {}))
    assert main(["bench"]) == 0
    out = capsys.readouterr().out
    assert fits(out) and "agree" not in out and "Training:" not in out
    # 128 images in a quarter of a second, 6 x 40.55 MFLOP each, of 160 GFLOP/s
    assert ["resnet_np", "512", "124.6", "2,560", "207.6", "1,234", "21.5", "1.2"] in [line.split() for line in out.splitlines()]
    assert "reaches 78% in a training step" in " ".join(out.split())


def test_table_against_torch(capsys, monkeypatch):
    tuned = side("PyTorch eager, channels_last, malloc tuned", 0.2, 0.08)
    tuned.peak_mib = None  # Windows
    del tuned.first_step["cold"]
    others = [side("PyTorch eager, NCHW", 0.4, 0.06), side("PyTorch eager, channels_last", 0.3, 0.07), tuned]
    worst = {"float64 logits": 2e-15, "float64 gradients": 3e-14, "float32 logits": 1e-6}
    monkeypatch.setattr(compare, "compare", lambda *_: comparison(others, worst))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2.3")
    assert main(["bench", "--vs", "torch"]) == 0
    out = capsys.readouterr().out
    assert fits(out)
    assert "float64: logits 2e-15, gradients 3e-14 (allowed: 1e-09)" in out and "float32: logits 1e-06 (allowed: 1e-04)" in out
    assert "Training:  0.80 x PyTorch eager, channels_last, malloc tuned, float32 (rounds: 0.80 to 0.80)" in out
    assert "Inference: 1.20 x PyTorch eager, NCHW, float32 (rounds" in out
    tuned_line = next(line for line in out.splitlines() if "malloc tuned" in line)
    assert tuned_line.split()[-3:] == ["-", "-", "1.2"]


@pytest.mark.peer
def test_sides_that_disagree_are_not_timed(capsys, monkeypatch, tmp_path):
    """Every process that is started finds a wrong ReLU in our array code."""
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent("""
        import numpy as np
        from resnet_np.kernels.elementwise import array
        array.relu_backward = lambda dout, out: 1.001 * np.where(out > 0, dout, 0)
    """))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert main([*TINY, "--vs", "torch"]) == 1
    out, err = capsys.readouterr()
    assert "compute different things" in err and "in float64, gradient conv1.weight differs by" in err and err.count("\n") == 1
    assert "first step" not in out and "round" not in out


def test_operations(capsys, tmp_path):
    plot = tmp_path / "roofline.png"
    assert main([*TINY, "--ops", "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    assert "conv weight_grad" in out and "SGD step" in out and "batchnorm" in out and fits(out)
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_operations_json(capsys):
    assert main([*TINY, "--ops", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    totals = [row["count"] * row["seconds"] for row in answer["operations"]]
    assert totals == sorted(totals, reverse=True) and len(totals) > 10
    assert answer["step_seconds"] > 0 and answer["sgemm_gflops"] > 0 and answer["copy_gigabytes_per_second"] > 0
    assert {row["bound"] for row in answer["operations"]} <= {"memory", "compute"}
    assert all(0 < row["share_of_step"] < 1 and row["share_of_roofline"] > 0 for row in answer["operations"])


@pytest.mark.parametrize(("arguments", "expected"), [
    (["--model", "resnet21"], "resnet21 does not exist"),
    (["--model", "vgg16"], "got 'vgg16'"),
    (["--batch", "0"], "--batch: got 0"),
    (["--threads", "2000"], "--threads: got 2000"),
    (["--rounds", "-1"], "--rounds: got -1"),
    (["--ops", "--vs", "torch"], "leave out --vs"),
    (["--plot", "a.png"], "add --ops"),
    (["--image-size", "4"], "--image-size: got 4, expected a whole number from 8 to 1,024"),
    (["--ops", "--plot", "no/such/folder/a.png"], "--plot: no/such/folder/a.png is to be drawn, but there is no folder"),
])
def test_bad_input(capsys, arguments, expected):
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and expected in err


@pytest.mark.parametrize("arguments", [["--batch", "many"], ["--vs", "jax"], ["--threads"]])
def test_bad_form(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(["bench", *arguments])
    assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_without_torch(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main([*TINY, "--vs", "torch"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and 'python -m pip install "resnet_np[peers]"' in err
