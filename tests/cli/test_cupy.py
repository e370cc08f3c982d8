"""Every command that takes --backend cupy, on a GPU or the stand-in for CuPy."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from resnet_np import backend
from resnet_np.cli import evaluate, main

pytestmark = pytest.mark.nojit


@pytest.fixture
def photos(tmp_path, rng):
    """Sixty dark and sixty bright pictures, a folder each."""
    for k, name in enumerate(("dark", "bright")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(0, 120, (16, 16, 3)) + 100 * k
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.slow
def test_commands(photos, tmp_path, cupy, capsys):
    run, photo = tmp_path / "run", photos / "dark" / "0.png"
    there = ["--data", str(photos), "--backend", "cupy"]
    training = [*there, "--no-progress", "--batch-size", "16"]
    small = ["--model", "resnet8", "--width", "4", "--epochs", "1", "--image-size", "16"]
    assert main(["train", *small, "--out", str(run), *training]) == 0
    assert f"machine    backend cupy, {backend.device_name()}" in capsys.readouterr().out
    for preset in ("whole", "head", "gradual"):
        recipe = ["--preset", preset, "--head", "new", "--epochs", "2", "--out", str(tmp_path / preset)]
        assert main(["finetune", str(run), *recipe, *training]) == 0
    assert "went through the frozen trunk once" in capsys.readouterr().out  # of preset head
    found = {}
    for name in ("cupy", "numpy"):
        assert main(["evaluate", str(run), "--data", str(photos), "--backend", name, "--json", "--views", "6"]) == 0
        evaluation = json.loads(capsys.readouterr().out)
        assert main(["predict", str(tmp_path / "head"), str(photo), "--backend", name, "--json", "--views", "6"]) == 0
        answer = json.loads(capsys.readouterr().out)["photos"][0]
        found[name] = evaluation["loss"], answer["top"], answer["top_views"], evaluation["top1_views"]
    assert found["cupy"][0] == pytest.approx(found["numpy"][0], rel=1e-5)
    for top in (1, 2):
        assert str(found["cupy"][top])[:40] == str(found["numpy"][top])[:40]
    assert found["cupy"][3] == found["numpy"][3]
    assert main(["show", str(run), "confusion", *there]) == 0
    capsys.readouterr()
    assert main(["show", str(run), "gradcam", "--picture", str(photo), "--backend", "cupy"]) == 2
    assert "--backend cupy: gradcam is drawn from arrays in the computer's memory; leave it out" in capsys.readouterr().err


def test_a_machine_that_lacks_it(monkeypatch, capsys):
    """What the doctor is for."""
    monkeypatch.setenv("RESNET_NP_BACKEND", "cupy")
    monkeypatch.setattr(backend, "_chosen", None)
    monkeypatch.setattr(backend, "_usable", {})
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert main(["train"]) == 2
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "backend          CANNOT RUN: backend cupy: CuPy cannot be imported" in out


@pytest.mark.parametrize(("error", "code", "line"), [
    (type("OutOfMemoryError", (MemoryError,), {"__module__": "cupy.cuda.memory"})("Out of memory allocating 512 bytes"), 2,
     "resnet-np: not enough memory on the GPU; try a smaller batch"),
    (type("CUBLASError", (RuntimeError,), {"__module__": "cupy_backends.cuda.libs.cublas"})("CUBLAS_STATUS_ALLOC_FAILED"), 1,
     "resnet-np: the GPU reports CUBLAS_STATUS_ALLOC_FAILED; ")])
def test_what_the_device_reports_is_a_line(monkeypatch, capsys, error, code, line):
    def fail(_):
        raise error

    monkeypatch.setattr(evaluate, "run", fail)
    assert main(["evaluate", "run"]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(line) and err.count("\n") == 1
