"""The first command of the README, on a machine with nothing cached and no network."""

import json
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

UNSHARE = ["unshare", "--map-root-user", "--net"]


def test_train_without_a_network(empty_cache, tmp_path):
    if not shutil.which("unshare") or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("unshare cannot make a network namespace here")
    command = [*UNSHARE, sys.executable, "-m", "resnet_np", "train", "--model", "resnet8", "--epochs", "1", "--limit-train", "1280"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert "offline" in lines[0] and "Shapes-10" in lines[0]
    topics = [line.split()[0] for line in lines]
    places = [topics.index(topic) for topic in ("data", "compiling", "forecast", "epoch", "test")]
    assert places == sorted(places)
    result = json.loads(next((tmp_path / "runs").glob("*/result.json")).read_text())
    assert result["dataset"]["name"] == "shapes10" and 0 <= result["test_accuracy"] <= 1
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, env=os.environ)
    assert "compiling" not in again.stdout and "-2" in again.stdout  # warm now, and a folder of its own
