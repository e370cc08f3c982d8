"""The wheel, built and run outside the clone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "resnet_np", "data_tools", "tests")


def run(*command, **options):
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert process.returncode == 0, f"{command}: {process.stdout}{process.stderr}"
    return process.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: in the clone, setuptools would pack what an earlier build left in build/."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "clone" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / "clone").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / "clone" / name)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir",
        str(folder), str(folder / "clone"))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel in a folder of its own; what it depends on comes from this environment."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    packed = {name for name in names if ".dist-info/" not in name}
    for package in ("resnet_np", "data_tools"):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
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
