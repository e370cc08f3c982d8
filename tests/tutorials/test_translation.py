"""The Chinese notebooks and README say what the English ones say: same cells, same code, same numbers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.nojit

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "tutorials"
TRANSLATIONS = sorted(TUTORIALS.glob("zh/[0-9][0-9]_*.py"))
each = pytest.mark.parametrize("source", TRANSLATIONS, ids=lambda path: path.stem)
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def cells(path):
    """[(kind, text)]: kind is "markdown" or "code"; the comment signs of markdown are taken away."""
    first, *parts = re.split(r"^# %%(?!\w)(.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert not first.strip()
    found = []
    for mark, text in zip(parts[::2], parts[1::2], strict=True):
        kind = "markdown" if mark.strip() == "[markdown]" else "code"
        found.append((kind, re.sub(r"^# ?", "", text, flags=re.MULTILINE) if kind == "markdown" else text.rstrip("\n")))
    return found


def markdown_pairs(source):
    pairs = zip(cells(TUTORIALS / source.name), cells(source), strict=True)
    return [(english, chinese) for (kind, english), (_, chinese) in pairs if kind == "markdown"]


def prose(text):
    """Without code and formulas."""
    return re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.DOTALL)


def left_in_english(english, chinese):
    """The lines of prose that were taken over as they are."""
    lines = {line.strip() for line in prose(english).splitlines()}
    return [line for line in prose(chinese).splitlines() if line.strip() in lines and len(re.findall(r"[a-z]{3,}", line)) > 2]


def code_spans(text):
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


def numbers(text):
    """Those with a decimal point or a thousands separator, as they are written."""
    return sorted(re.findall(r"\d[\d,]*\.\d+|\d{1,3}(?:,\d{3})+", text))


def links(text):
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def broken(text, folder):
    """The links that lead to no file, and the fragments (#speed) that no heading has."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return [link for link in links(text) if "://" not in link
            and not (link[1:] in slugs if link.startswith("#") else (folder / link.partition("#")[0]).exists())]


def test_there_are_translations():
    assert len(TRANSLATIONS) >= 6


@each
def test_same_cells_same_code(source):
    english, chinese = cells(TUTORIALS / source.name), cells(source)
    assert [kind for kind, _ in chinese] == [kind for kind, _ in english]
    for i, ((kind, theirs), (_, ours)) in enumerate(zip(english, chinese, strict=True)):
        assert kind == "markdown" or ours == theirs, f"cell {i}: code stays as it is, with its comments"


@each
def test_text_is_translated(source):
    for english, chinese in markdown_pairs(source):
        assert CHINESE.search(chinese), chinese
        assert not left_in_english(english, chinese)


@each
def test_names_and_numbers_are_kept(source):
    for english, chinese in markdown_pairs(source):
        assert code_spans(chinese) == code_spans(english)
        assert numbers(chinese) == numbers(english)
        assert chinese.count("$$") == english.count("$$")
        assert re.findall(r"^#+ ", chinese, re.MULTILINE) == re.findall(r"^#+ ", english, re.MULTILINE), "headings"


@each
def test_bold_is_bold(source):
    """CommonMark does not end it between a full stop and a letter."""
    for _, chinese in markdown_pairs(source):
        for bold in re.finditer(r"\*\*([^*]+)\*\*(.?)", chinese):
            assert bold[1][-1].isalnum() or not bold[2].isalnum(), bold[0]


@each
def test_links_resolve(source):
    for english, chinese in markdown_pairs(source):
        assert len(links(chinese)) == len(links(english))
        assert not broken(chinese, source.parent)


@pytest.fixture(scope="module")
def readmes():
    return [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]


def test_readmes_have_the_same_commands(readmes):
    english, chinese = (re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL) for text in readmes)
    assert len(english) > 5
    assert chinese == english


def test_readmes_have_the_same_structure(readmes):
    english, chinese = readmes
    for pattern in (r"^#+ ", r"^\|[-|]+\|$", r"^!\["):
        assert re.findall(pattern, chinese, re.MULTILINE) == re.findall(pattern, english, re.MULTILINE), pattern
    assert [line.count("|") for line in chinese.splitlines() if line.startswith("|")] == [
        line.count("|") for line in english.splitlines() if line.startswith("|")]
    assert numbers(chinese) == numbers(english)
    assert code_spans(chinese) == code_spans(english)
    assert not left_in_english(english, chinese)


def test_links_of_readmes(readmes):
    english, chinese = readmes
    assert not broken(english, ROOT) and not broken(chinese, ROOT)
    assert "[中文](README.zh-CN.md)" in english[:200] and "[English](README.md)" in chinese[:200]
    ours, theirs = ([link for link in links(text) if not link.startswith(("#", "README"))] for text in (chinese, english))
    assert ours == theirs


# build.py, on a small notebook in a copy of the folder

ENGLISH = "# %% [markdown]\n# # A title\n\n# %%\nprint(6 * 7)\n"


@pytest.fixture
def folder(notebook_tools, tmp_path):
    """00_small.py with its executed notebook, and a translation of the source."""
    import jupytext
    import nbformat

    shutil.copy(TUTORIALS / "build.py", tmp_path)
    (tmp_path / "00_small.py").write_text(ENGLISH, encoding="utf-8")
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh" / "00_small.py").write_text(ENGLISH.replace("A title", "标题"), encoding="utf-8")
    notebook = jupytext.reads(ENGLISH, fmt="py:percent")
    notebook.cells[1].update(execution_count=1, outputs=[nbformat.v4.new_output("stream", name="stdout", text="42\n")])
    notebook.update(nbformat=4, nbformat_minor=5)
    nbformat.write(notebook, tmp_path / "00_small.ipynb")
    return tmp_path


def build(folder, *arguments):
    process = subprocess.run([sys.executable, "build.py", *arguments], cwd=folder, capture_output=True, text=True, timeout=100)
    return process.returncode, process.stdout, process.stderr


@pytest.mark.slow
def test_build_translation(folder):
    made = folder / "zh" / "00_small.ipynb"
    assert build(folder, "--check", "zh") == (
        1, "", "zh/00_small: there is no notebook; run: python tutorials/build.py zh/00_small\n")
    code, out, err = build(folder, "zh")
    assert (code, err) == (0, "") and re.fullmatch(r"zh/00_small: not executed, \d+ kB\n", out)
    text = made.read_text(encoding="utf-8")
    assert "标题" in text and '"42\\n"' in text and "A title" not in text
    assert build(folder, "--check") == (0, "00_small: in step\nzh/00_small: in step\n", "")
    first = folder / "00_small.ipynb"
    first.write_text(first.read_text(encoding="utf-8").replace("42\\n", "43\\n"), encoding="utf-8")
    assert build(folder, "--check", "zh")[2].startswith("zh/00_small: its outputs are not those of 00_small.ipynb; run: ")


def test_lines_are_joined_without_a_blank(builder):
    text = "# 标题\n一行，\n又一行\n三行 CIFAR\n完\n\n- 甲\n  乙\n- 丙"
    assert builder.BROKEN.sub(r"\1", text) == "# 标题\n一行，又一行三行 CIFAR\n完\n\n- 甲乙\n- 丙"


@pytest.mark.parametrize(("old", "new", "message"), [
    ("6 * 7", "6 * 8", "the code of cell 1 is not that of 00_small"),
    ("# %%\n", "# %% [markdown]\n# ", "cell 1 is markdown, in 00_small it is code"),
    ("# %%\n", "# %%\n1\n\n# %%\n", "it has 3 cells, 00_small has 2"),
])
def test_cells_that_differ(folder, old, new, message):
    source = folder / "zh" / "00_small.py"
    source.write_text(source.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert build(folder, "zh") == (1, "", f"zh/00_small: {message}\n")
    assert not source.with_suffix(".ipynb").exists()


@pytest.mark.slow
def test_the_original_comes_first(folder):
    (folder / "00_small.ipynb").unlink()
    assert build(folder, "zh") == (1, "", "zh/00_small: 00_small comes first (there is no notebook)\n")
    (folder / "00_small.py").unlink()
    assert build(folder, "zh") == (1, "", "zh/00_small: it translates 00_small.py, which does not exist\n")
