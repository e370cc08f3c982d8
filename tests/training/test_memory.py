"""A steady step asks the operating system for no memory, and a long run does not grow."""

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")]

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run", allow_module_level=True)

STEPS = """
import resource, sys
import numpy as np
from resnet_np.models import resnet_cifar
from resnet_np.optim import SGD
from resnet_np.training import training_step
from resnet_np.workspace import Workspace

batch, marks = int(sys.argv[1]), [int(mark) for mark in sys.argv[2:]]
rng, net, workspace = np.random.default_rng(0), resnet_cifar(20), Workspace()
optimiser = SGD(net.named_parameters())
x, labels = rng.standard_normal((batch, 3, 32, 32)).astype(np.float32), rng.integers(0, 10, batch)
for step in range(1, marks[-1] + 1):
    training_step(net, optimiser, x, labels, lr=0.01, workspace=workspace)
    if step in marks:
        resident = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
        print(resident, resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def run(batch, *marks):
    """Resident bytes and page faults so far, after each of the marked steps."""
    command = [sys.executable, "-c", STEPS, str(batch), *map(str, marks)]
    process = subprocess.run(command, env=os.environ | {"OMP_WAIT_POLICY": "passive"}, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stderr
    return [tuple(map(int, line.split())) for line in process.stdout.splitlines()]


def test_page_faults_of_a_steady_step():
    (_, before), (_, after) = run(32, 10, 20)
    assert (after - before) / 10 <= 50


def test_memory_does_not_grow():
    (early, _), (late, _) = run(4, 100, 1000)
    assert late - early <= 2 << 20
