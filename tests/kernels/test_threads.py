"""How threads wait: our choice, the user's, and what others' programs are given."""

import os
import subprocess
import sys

import pytest

from resnet_np.kernels import threads

pytestmark = pytest.mark.nojit

# In a fresh process: GNU OpenMP prints what it was told, when Numba starts its threads, whoever is the first to need them.
FIRST = {
    "a kernel": "",
    "what a result tells": "from resnet_np.training import provenance\nassert provenance.threads()",
    "the doctor": "from resnet_np import cli\ntry:\n    cli.main(['doctor'])\nexcept SystemExit:\n    pass",
}
KERNEL = """
import numpy as np
from resnet_np.kernels import elementwise

one = np.ones((1, 1), np.float32)
elementwise.add(one, one)
from resnet_np.kernels import threads
print(threads.layer())
"""


@pytest.fixture(autouse=True)
def nobody_has_wished(monkeypatch):
    for name in threads.WISHES:
        monkeypatch.delenv(name, raising=False)


def test_it_is_chosen_once_for_all_that_is_started():
    threads.spin_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == threads.SPINS and threads.SPINS in threads.waiting()
    threads.spin_briefly()
    assert threads.waiting().startswith("spin briefly")  # in a process that this one starts, too


@pytest.mark.parametrize(("name", "value"), [
    ("OMP_WAIT_POLICY", "passive"), ("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "7")])
def test_the_user_is_obeyed(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    before = dict(os.environ)
    threads.spin_briefly()
    assert dict(os.environ) == before == threads.users_environment()
    assert f"({name}={value})" in threads.waiting()


def test_programs_of_others_keep_their_own_way():
    before = dict(os.environ)
    threads.spin_briefly()
    assert threads.users_environment() == before


@pytest.mark.slow
@pytest.mark.parametrize(("wish", "spins"), [({}, threads.SPINS), ({"GOMP_SPINCOUNT": "123"}, "123"),
                                             ({"OMP_WAIT_POLICY": "passive"}, "0")])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="without the compiler there are no threads")
def test_gnu_openmp_hears_of_it(first, wish, spins):
    environment = os.environ | {"OMP_DISPLAY_ENV": "verbose"} | wish
    process = subprocess.run([sys.executable, "-c", FIRST[first] + "\n" + KERNEL], env=environment, capture_output=True, text=True,
                             timeout=300)
    assert process.returncode == 0, process.stderr
    layer = process.stdout.splitlines()[-1]
    if sys.platform != "linux" or not layer.startswith("omp"):
        pytest.skip(f"threads are not GNU OpenMP's: {layer} on {sys.platform}")
    assert f"GOMP_SPINCOUNT = '{spins}'" in process.stderr
    assert layer.startswith("omp; threads that wait ") and all(f"{name}={value}" in layer for name, value in wish.items())
