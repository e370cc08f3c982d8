"""The sdist and the wheel made of it, as `python -m build` makes them, looked into and run outside the clone."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("PKG-INFO", "resnet_np.egg-info")  # setuptools writes them
FOR_CLONES = {".ci/run", ".ci/newcomer.py", ".gitignore", ".pre-commit-config.yaml"}  # tracked, and of use to those who have git
# What builds, tests, runs and editors leave beside the sources.
LEAVINGS = {".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", ".venv", "venv",
            "build", "dist", "runs"}
PLANTED = ("runs/short/last.npz", "data/cifar10.npz", "dist/old.whl", "build/lib/resnet_np/old.py", ".venv/pyvenv.cfg", "notes.txt",
           "resnet_np/__pycache__/errors.cpython-311.pyc", "tests/standin/__pycache__/gpu.cpython-311.pyc", "tests/standin/gpu.so",
           "tests/.pytest_cache/README.md", "tutorials/runs/short/curves.png", "tutorials/runs/short/metrics.jsonl",
           "tutorials/.ipynb_checkpoints/00_start_here-checkpoint.ipynb", "tutorials/recorded/last.npz")


def run(*command, **options):
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert process.returncode == 0, f"{command}: {process.stdout}{process.stderr}"
    return process.stdout


@pytest.fixture(scope="module")
def sources():
    """The files that git tracks; without git, in an unpacked sdist, all but what setuptools and other programs write."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        names = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", cwd=ROOT).split("\0")
    else:
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
        names = [name for name in names if not LEAVINGS.intersection(name.split("/")) and name.split("/")[0] not in GENERATED]
    return {name for name in names if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def sdist(sources, tmp_path_factory):
    """Built from a copy: in the clone, setuptools would pack what an earlier build left. Unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    for name in sources:
        (folder / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "clone" / name)
    for name in PLANTED:
        (folder / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "clone" / name).write_text("not a source")
    run(sys.executable, "-c", "from setuptools.build_meta import build_sdist; build_sdist('..')", cwd=folder / "clone")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # since 3.11.4
    return next((folder / "unpacked").iterdir())


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    clone = shutil.copytree(sdist, folder / "clone")  # the build writes into it
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir",
        str(folder), str(clone))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel in a folder of its own; what it depends on comes from this environment."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def test_sdist_holds_the_sources_and_nothing_else(sdist, sources):
    packed = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    assert {name for name in packed if name.split("/")[0] not in GENERATED} == sources - FOR_CLONES
    # In an unpacked sdist `sources` is what an earlier sdist held, so what its tests and readers need is named once more.
    assert {"README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "pyproject.toml", "setup.cfg",
            ".github/workflows/ci.yml", "data_tools/shapes10.py", "resnet_np/kernels/conv/cuda.cu", "tests/conftest.py",
            "tests/standin/gpu.h", "tests/standin/path/cupy.py", "tests/tutorials/wrong/wrong_00.py", "tutorials/build.py",
            "tutorials/00_start_here.ipynb", "tutorials/00_start_here.py", "tutorials/zh/00_start_here.ipynb",
            "tutorials/zh/00_start_here.py", "tutorials/solutions/00.py", "tutorials/recorded/short-seed0.jsonl",
            "tutorials/recorded/short-seed0.png", "tutorials/weights/shapes10-resnet14-width8.safetensors"} <= packed


def test_wheel_holds_the_packages_and_nothing_else(wheel, sources):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    packed = {name for name in names if ".dist-info/" not in name}
    for package in ("resnet_np", "data_tools"):
        files = {name for name in sources if name.startswith(f"{package}/") and name.endswith(".py")}
        assert files and files == {name for name in packed if name.startswith(f"{package}/") and name.endswith(".py")}
    assert {"resnet_np/py.typed", "resnet_np/models/imagenet_classes.txt", "resnet_np/kernels/conv/cuda.cu"} <= packed
    assert {name.split("/")[0] for name in packed} == {"resnet_np", "data_tools"}
    assert any(name.endswith("LICENSE") for name in names)
    assert "Requires-Python: >=3.11" in metadata
    assert "Provides-Extra: peers" in metadata


@pytest.mark.parametrize("arguments", [["--help"], ["summary", "resnet20"]])
@pytest.mark.parametrize("how", ["script", "module"])
def test_commands_run_outside_the_clone(installed, tmp_path, how, arguments):
    script = installed / ("Scripts/resnet-np.exe" if os.name == "nt" else "bin/resnet-np")
    command = [str(script)] if how == "script" else [sys.executable, "-m", "resnet_np"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    code = "import resnet_np, data_tools; print(resnet_np.__file__, data_tools.__file__, sep='\\n')"
    places = run(sys.executable, "-c", code, cwd=tmp_path, env=environment).splitlines()
    assert len(places) == 2 and all(Path(place).is_relative_to(installed) for place in places)
    out = run(*command, *arguments, cwd=tmp_path, env=environment)
    assert ("usage: resnet-np" in out) if arguments == ["--help"] else ("269,722" in out)
