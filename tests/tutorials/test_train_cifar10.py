"""The training loop that is written out for reading runs, and learns."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import resnet_np

SCRIPT = Path(__file__).resolve().parents[2] / "tutorials" / "train_cifar10.py"


def run(*arguments):
    environment = os.environ | {"PYTHONPATH": str(Path(resnet_np.__file__).parents[1])}
    process = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=300,
                             env=environment)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


@pytest.mark.nojit
def test_at_most_sixty_lines():
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.slow
def test_a_few_steps():
    step, validation, test = run("--data", "shapes10", "--depth", "8", "--max-steps", "3")
    assert re.fullmatch(r"step 3 of 3   loss \d\.\d{3}   \d+ images/s", step)
    assert re.fullmatch(r"validation accuracy \d+\.\d\d %, loss \d\.\d{3}, shapes10", validation)
    assert re.fullmatch(r"test accuracy \d+\.\d\d %, loss \d\.\d{3}, shapes10", test)


@pytest.mark.slow
def test_it_learns():
    *_, test = run("--data", "shapes10", "--depth", "8", "--epochs", "2")
    assert float(re.search(r"accuracy ([\d.]+)", test)[1]) > 45  # a linear classifier reaches 34, guessing 10
