"""A worker answers, ends with its block, and says why where it fails."""

import pytest

from resnet_np.bench.process import THREADS, BenchError, Worker
from resnet_np.bench.task import Task

pytestmark = pytest.mark.nojit
TASK = Task("resnet8", batch=2, threads=1)


def test_answers_and_ends(monkeypatch):
    monkeypatch.setenv("RESNET_NP_BACKEND", "numpy")
    with Worker("ours", TASK) as worker:
        assert 0 < worker.first_step() < 60
        assert len(worker.ask("train", seconds=0)) == len(worker.ask("infer", seconds=0)) == 3
        assert worker.ask("warm") is None
        assert 20 < worker.ask("peak") < 500
    assert worker._process.returncode is not None


def test_peak_is_the_workers_own(monkeypatch):
    """What the parent holds at the start, which getrusage would count, is not the worker's."""
    ballast = b"x" * (400 * 2**20)
    with Worker("machine", TASK) as worker:
        assert worker.ask("peak") < len(ballast) / 2**20


def test_failure_is_one_line():
    with Worker("ours", Task("resnet8", batch=2, threads=1), options={"wrong": 1}) as worker:
        with pytest.raises(BenchError, match="process of ours failed at 'step': TypeError: .*wrong") as caught:
            worker.ask("step")
    assert "\n" not in str(caught.value) and caught.value.exit_code == 1


def test_environment(monkeypatch, tmp_path):
    """Threads are the task's; None unsets a variable."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import os\nraise SystemExit(repr([os.environ.get(name) for name in {[*THREADS, 'OPENBLAS_CORETYPE']}]))\n")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    with Worker("machine", TASK, environment={"OPENBLAS_CORETYPE": None, "PYTHONPATH": str(tmp_path)}) as worker:
        with pytest.raises(BenchError, match=r"\['1', '1', '1', '1', None\]"):
            worker.ask("peak")


def test_machine():
    with Worker("machine", TASK) as worker:
        assert min(worker.ask("sgemm", seconds=0)) > 0.1
        assert min(worker.ask("copy", seconds=0)) > 0.1
