"""resnet-np bench --backend cupy from end to end, its processes on the stand-in for CuPy."""

import json

import pytest

from resnet_np.bench import compare
from resnet_np.cli import main

pytestmark = [pytest.mark.nojit, pytest.mark.slow]
TINY = ["bench", "--backend", "cupy", "--model", "resnet8", "--batch", "4", "--threads", "1", "--rounds", "1"]
SEES_GPU = "resnet_np.bench.peer.sees_gpu"  # by name: to import its module takes PyTorch


@pytest.fixture(autouse=True)
def quick(monkeypatch, cupy_standin, cupy_everywhere):
    monkeypatch.setattr(compare, "SECONDS", {"train": 0.0, "infer": 0.0})
    monkeypatch.setattr(compare, "SGEMM_SECONDS", 0.0)


def test_alone(capsys):
    assert main(TINY) == 0
    out = capsys.readouterr().out
    assert "backend cupy" in out and "GPU MiB" in out and "RSS" not in out and "Winograd" not in out
    assert "CuPy multiplies 2048x2048 float32 matrices" in out and max(map(len, out.splitlines())) <= 100


@pytest.mark.peer
def test_against_torch(capsys, monkeypatch):
    """Both sides agree in float64 and float32 before they are timed; no side has its malloc tuned."""
    monkeypatch.setattr(SEES_GPU, lambda: True)
    assert main([*TINY, "--vs", "torch", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["memory"] == "GPU" and answer["versions"]["device"] == "a stand-in" and answer["train_ratio"] > 0
    assert set(answer["torch"]["modes"]) == {"PyTorch eager, NCHW", "PyTorch eager, channels_last"}


@pytest.mark.peer
def test_a_torch_without_a_gpu(capsys, monkeypatch):
    monkeypatch.setattr(SEES_GPU, lambda: False)
    assert main([*TINY, "--vs", "torch"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "--vs torch: this PyTorch sees no GPU" in err


def test_what_is_for_the_processor(capsys):
    assert main([*TINY, "--ops"]) == 2
    assert "--ops: it measures the kernels of the processor" in capsys.readouterr().err
