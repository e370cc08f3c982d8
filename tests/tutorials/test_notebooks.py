"""The notebooks belong to their sources, hold nothing of the machine that built them, and run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials"
ORIGINALS = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))
SOURCES = ORIGINALS + sorted(TUTORIALS.glob("zh/[0-9][0-9]_*.py"))
each = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(TUTORIALS).with_suffix("").as_posix())


@pytest.mark.nojit
def test_there_are_notebooks():
    assert SOURCES
    made = set(TUTORIALS.glob("*.ipynb")) | set(TUTORIALS.glob("zh/*.ipynb"))
    assert made <= {source.with_suffix(".ipynb") for source in SOURCES}, "a notebook without a source"


@pytest.mark.nojit
@each
def test_in_step(builder, source):
    assert builder.out_of_step(source) is None, f"run: python tutorials/build.py {builder.short(source)}"


@pytest.mark.nojit
@each
def test_nothing_private_no_error_not_large(builder, source):
    assert builder.faults(source.with_suffix(".ipynb")) == []


@pytest.mark.nojit
@pytest.mark.parametrize("source", ORIGINALS, ids=lambda path: path.stem)
def test_says_what_a_learner_must_know(source):
    text = source.read_text(encoding="utf-8")
    for words in ("What you will learn", "You need", "Time", "Summary", "Where the code lives"):
        assert words in text, words
    assert "# %matplotlib inline\n" in text, "figures of resnet_np.viz would show as text"
    number = int(source.stem[:2])
    names = re.findall(r"tutor\.check\(\"([^\"]+)\"", text)
    assert names == [f"{number}.{k}" for k in range(1, len(names) + 1)], "exercises are counted from 1, in order"
    assert len(names) >= 3
    assert text.count("...  # your code") >= 3


@pytest.mark.slow
@pytest.mark.parametrize("source", ORIGINALS, ids=lambda path: path.stem)  # the code of the translations is the same
def test_executes(builder, source):
    """Other tests run beside it, and take an unknown part of the cores. So the limit is on the work: what two idle cores can do in
    the seconds that a notebook may take, or less.
    """
    before = work_of_children()
    builder.execute(builder.convert(source), source.parent, limit=5 * builder.LIMIT)
    assert work_of_children() - before < 2 * builder.LIMIT


def work_of_children():
    """Seconds of CPU of the processes that have ended; 0 on Windows, which does not tell."""
    if sys.platform == "win32":
        return 0.0
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# build.py itself, on a small notebook in a copy of the folder

SMALL = """# %% [markdown]
# # A title

# %%
# %matplotlib inline
from matplotlib.figure import Figure

print("one")
print("two")

# %%
figure = Figure()
figure.add_subplot().plot([1, 2])
figure
"""


@pytest.fixture
def folder(notebook_tools, tmp_path):
    shutil.copy(TUTORIALS / "build.py", tmp_path)
    return tmp_path


def run(folder, *arguments, **changes):
    process = subprocess.run([sys.executable, "build.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=200,
                             env=os.environ | changes)
    return process.returncode, process.stdout, process.stderr


@pytest.mark.slow
def test_build_then_check(folder):
    source, made = folder / "00_small.py", folder / "00_small.ipynb"
    source.write_text(SMALL, encoding="utf-8")
    assert run(folder, "--check") == (1, "", "00_small: there is no notebook; run: python tutorials/build.py 00_small\n")
    code, out, err = run(folder, "00")
    assert code == 0, err
    assert re.fullmatch(r"00_small: \d+ s, \d+ kB\n", out)
    text = made.read_text(encoding="utf-8")
    assert '"one\\n",' in text and '"image/png"' in text and "timestamp" not in text and str(folder) not in text
    assert run(folder, "--check")[:2] == (0, "00_small: in step\n")
    assert run(folder)[0] == 0
    assert made.read_text(encoding="utf-8") == text, "two builds differ"
    source.write_text(SMALL.replace("two", "three"), encoding="utf-8")
    code, _, err = run(folder, "--check")
    assert code == 1 and err.startswith("00_small: cell 1 differs")


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "message"), [
    ("1 / 0", r"00_small: cell 4 \('1 / 0'\) raised ZeroDivisionError: division by zero"),
    ("import os; print(os.sep + 'home/me')", r"00_small: cell 4 shows '/home/m'..., which is this machine's"),
    ("object()", r"00_small: cell 4 shows 'at 0x"),
    ("import warnings; warnings.warn('old')", r"00_small: cell 4 writes to stderr: "),
    ("import os; os._exit(3)", r"00_small: cell 4 \('import os; os._exit\(3\)'\): its Python died"),
    ("print('x' * 1_000_001)", r"00_small: it has 1,\d+,\d+ bytes, more than 1,000,000"),
])
def test_a_bad_notebook_is_not_written(folder, cell, message):
    (folder / "00_small.py").write_text(f"{SMALL}\n# %% [markdown]\n# Next.\n\n# %%\n{cell}\n", encoding="utf-8")
    code, _, err = run(folder)
    assert code == 1
    assert re.match(message, err.splitlines()[-1]), err
    assert sorted(path.name for path in folder.iterdir()) == ["00_small.py", "build.py"]


@pytest.mark.slow
def test_time_limit(builder, tmp_path):
    source = tmp_path / "00_small.py"
    source.write_text("# %%\nx = 1\n\n# %%\nimport time\n\ntime.sleep(60)\n", encoding="utf-8")
    with pytest.raises(builder.BuildError, match=r"^cell 1 \('import time'\) was still running when the notebook's 2 s were over$"):
        builder.execute(builder.convert(source), tmp_path, limit=2)


@pytest.mark.nojit
def test_handout(folder):
    (folder / "00_small.py").write_text(SMALL, encoding="utf-8")
    (folder / "zh").mkdir()
    (folder / "zh" / "00_small.py").write_text(SMALL, encoding="utf-8")
    for name in ("recorded", "solutions"):
        (folder / name).mkdir()
        (folder / name / "00.txt").write_text("x", encoding="utf-8")
    assert run(folder, "--handout", "class") == (0, "", "")
    given = folder / "class"
    assert sorted(path.relative_to(given).as_posix() for path in given.rglob("*.*")) == [
        "00_small.ipynb", "recorded/00.txt", "zh/00_small.ipynb"]
    text = (given / "00_small.ipynb").read_text(encoding="utf-8")
    assert "figure.add_subplot()" in text and '"outputs": []' in text and "image/png" not in text
    code, _, err = run(folder, "--handout", "class")
    assert code == 1 and err == "build: --handout: class exists and is not an empty folder; choose another\n"


@pytest.mark.nojit
def test_unknown_name(folder):
    (folder / "00_small.py").write_text(SMALL, encoding="utf-8")
    assert run(folder, "07")[2] == "build: there is no source '07'; there are 00_small\n"


@pytest.mark.nojit
def test_says_what_to_install(tmp_path):
    shutil.copy(TUTORIALS / "build.py", tmp_path)
    (tmp_path / "jupytext.py").write_text("raise ImportError('x', name='jupytext')", encoding="utf-8")
    assert run(tmp_path) == (1, "", 'build: jupytext is not installed; install it with: python -m pip install ".[tutorials]"\n')
