"""The README holds no blanks, its links lead somewhere, and its Python runs."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.nojit

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_blanks():
    assert "@@" not in TEXT


def test_links():
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", TEXT) if "://" not in target]
    assert len(targets) > 5
    for target in targets:
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_python():
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    runnable = [block for block in blocks if block.startswith("import")]
    assert runnable
    for block in runnable:
        exec(compile(block, "README.md", "exec"), {})


def test_the_two_commands():
    first = TEXT[:1500]
    assert "python -m pip install . && resnet-np train" in first
    assert 'python -m pip install ".[test]" && pytest' in first
