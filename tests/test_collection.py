"""The suite is collected, and its caches found, on a machine that has nothing but what the README's second command installs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.nojit

ROOT = Path(__file__).resolve().parents[1]
REFUSED = ("torch", "cupy", "onnx", "onnxruntime", "openvino", "mpi4py")
# A plugin of pytest: it is loaded before any test module is.
HOOK = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {REFUSED}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (refused by {{__file__}})", name=name)

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture
def collect(tmp_path):
    """collect(*arguments) -> the ended process of a pytest that finds no optional package."""
    (tmp_path / "refuse_optional_packages.py").write_text(HOOK, encoding="utf-8")

    def run(*arguments):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-c", str(ROOT / "setup.cfg"), "--rootdir", str(ROOT), "-p",
             "refuse_optional_packages", "-p", "no:cacheprovider", "-n", "0", *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return run


@pytest.mark.slow
def test_no_module_needs_an_optional_package(collect, request):
    """The slow tests too: -m "" deselects nothing. And every process, at any time, gives the tests the same names: pytest's two
    processes must agree on them.
    """
    process = collect("--collect-only", "-q", "-m", "", str(ROOT / "tests"))
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr
    assert "test_on_device.py" in process.stdout
    theirs = set(process.stdout.splitlines())
    modules = {name.partition("::")[0] for name in theirs}  # but for those that skip as a whole without their package
    ours = {item.nodeid for item in request.session.items if item.nodeid.partition("::")[0] in modules}
    assert ours
    assert sorted(ours - theirs) == []


def test_one_that_did_would_be_found(collect, tmp_path):
    modules = [tmp_path / f"test_needs_{package}.py" for package in REFUSED]
    for module, package in zip(modules, REFUSED, strict=True):
        module.write_text(f"import {package}\n\n\ndef test():\n    pass\n", encoding="utf-8")
    process = collect("--collect-only", *map(str, modules))
    assert process.returncode == 2 and f"{len(REFUSED)} errors" in process.stdout
    assert all(f"No module named '{package}' (refused" in process.stdout for package in REFUSED)


def test_what_reads_the_shared_folder_is_marked(collect):
    """.ci/run asks for it by its mark; the fixture sets that."""
    process = collect("--collect-only", "-q", "-m", "shared", str(ROOT / "tests" / "data_tools"))
    assert process.returncode == 0 and "test_cifar.py::" in process.stdout, process.stdout
    assert "test_letters.py" not in process.stdout


def test_a_checkout_in_which_pytest_keeps_nothing(collect, tmp_path, monkeypatch):
    """Without pytest's own folder the tests' caches lie in a temporary one, which is removed at the end."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = collect(str(ROOT / "tests" / "test_console.py"))
    assert process.returncode == 0, process.stdout + process.stderr
    assert not list(tmp_path.glob("resnet-np-tests-*"))
