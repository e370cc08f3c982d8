"""The first command of the README without a network, and stopped while it compiles; with nothing cached: `.ci/newcomer.py`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from resnet_np.kernels import compile, threads

pytestmark = pytest.mark.slow

UNSHARE = ["unshare", "--map-root-user", "--net"]


def test_train_without_a_network(warm_kernels, empty_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(warm_kernels))
    if not shutil.which("unshare") or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("unshare cannot make a network namespace here")
    command = [*UNSHARE, sys.executable, "-m", "resnet_np", "train", "--model", "resnet8", "--epochs", "1", "--limit-train", "1280"]
    environment = threads.users_environment() | {"OMP_DISPLAY_ENV": "verbose"}  # GNU OpenMP then prints what it was told
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, env=environment)
    assert process.returncode == 0, process.stderr
    if "GOMP_SPINCOUNT" in process.stderr and not any(environment.get(name) for name in threads.WISHES):
        assert f"GOMP_SPINCOUNT = '{threads.SPINS}'" in process.stderr
    lines = process.stdout.splitlines()
    assert "offline" in lines[0] and "Shapes-10" in lines[0]
    topics = [line.split()[0] for line in lines]
    places = [topics.index(topic) for topic in ("data", "forecast", "epoch", "test")]
    assert places == sorted(places)
    result = json.loads(next((tmp_path / "runs").glob("*/result.json")).read_text())
    assert result["dataset"]["name"] == "shapes10" and 0 <= result["test_accuracy"] <= 1
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, env=os.environ)
    assert "compiling" not in again.stdout and "-2" in again.stdout  # warm now, and a folder of its own


@pytest.fixture
def warm_kernels():
    """What the other tests have compiled."""
    folder = compile.cache_folder()
    assert folder is not None
    return folder.parent


@pytest.mark.parametrize(("seconds", "number", "code"), [(4, signal.SIGINT, 130), (7, signal.SIGTERM, -signal.SIGTERM)])
def test_a_stop_while_kernels_are_compiled(empty_cache, tmp_path, seconds, number, code):
    command = [sys.executable, "-u", "-m", "resnet_np", "train", "--data", "shapes10", "--limit-train", "600", "--epochs", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line.startswith("compiling") for line in process.stdout)
    time.sleep(seconds)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error == ("resnet-np: interrupted\n" if number == signal.SIGINT else "")
