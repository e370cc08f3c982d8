"""Every exercise: its check accepts the solution, rejects the blank and a typical wrong answer, and never raises."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from resnet_np import tutor

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS, WRONG = ROOT / "tutorials" / "solutions", Path(__file__).parent / "wrong"
NOTEBOOKS = [int(path.stem[-2:]) for path in sorted((ROOT / "resnet_np" / "tutor").glob("notebook_[0-9][0-9].py"))]
EXERCISES = [name for notebook in NOTEBOOKS for name in tutor.exercises(notebook)]
every = pytest.mark.parametrize("name", EXERCISES)
pytestmark = pytest.mark.nojit  # there the coverage is measured


def answer(load, folder, name, prefix=""):
    notebook, number = map(int, name.split("."))
    return getattr(load(folder / f"{prefix}{notebook:02d}.py"), f"exercise_{notebook:02d}_{number}")


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_every_exercise_has_its_three_parts(load):
    assert EXERCISES
    for folder, prefix in ((SOLUTIONS, ""), (WRONG, "wrong_")):
        found = {name for notebook in NOTEBOOKS for name in vars(load(folder / f"{prefix}{notebook:02d}.py"))
                 if name.startswith("exercise_")}
        expected = {"exercise_{:02d}_{}".format(*map(int, name.split("."))) for name in EXERCISES}
        assert found == expected, folder
    for notebook in NOTEBOOKS:
        source = next((ROOT / "tutorials").glob(f"{notebook:02d}_*.py"), None)
        assert source, f"exercises of notebook {notebook}, which has no source"
        used = re.findall(r"tutor\.check\(\"([^\"]+)\"", source.read_text(encoding="utf-8"))
        assert used == tutor.exercises(notebook), source


@every
def test_solution_is_accepted(load, capsys, name):
    accepted = tutor.check(name, answer(load, SOLUTIONS, name))
    said = lines(capsys)
    assert accepted, said
    assert len(said) == 1 and said[0].startswith(f"{name} is right: ")


@every
def test_typical_mistake_is_rejected(load, capsys, name):
    accepted = tutor.check(name, answer(load, WRONG, name, "wrong_"))
    said = lines(capsys)
    assert not accepted
    assert 1 <= len(said) <= 2 and said[0].startswith(f"{name} is not right yet: ")
    assert "could not use" not in said[0], "the check must say what is wrong with a typical mistake"


@every
@pytest.mark.parametrize("blank", [None, ..., lambda *_, **__: None, lambda *_, **__: ...], ids=["None", "...", "f None", "f ..."])
def test_blank_is_rejected(load, capsys, name, blank):
    assert not tutor.check(name, blank)
    said = lines(capsys)
    assert len(said) <= 2
    # a function is no blank where a value is asked for
    assert "is still blank" in said[0] or (callable(blank) and not callable(answer(load, SOLUTIONS, name)))


class Strange:
    def __eq__(self, other):
        raise RuntimeError("no")

    def __array__(self, *_, **__):
        raise RuntimeError("no")


def fails(*_, **__):
    raise KeyError("mine")


def leaves(*_, **__):
    raise SystemExit("gone")


JUNK = ["text", -12345.678, Strange(), [[1], [2, 3]], {}, (), np.zeros((0, 3)), np.full((2, 2), np.nan), np.array("a"), int,
        fails, leaves, lambda: 0, lambda *_, **__: "text", lambda *_, **__: Strange(), lambda *_, **__: np.full(3, np.nan),
        lambda *_, **__: {}]


@every
def test_anything_else_is_rejected_without_an_error(capsys, name):
    for place, junk in enumerate(JUNK):
        with np.errstate(all="ignore"):
            assert not tutor.check(name, junk), f"junk {place}"
        said = lines(capsys)
        assert 1 <= len(said) <= 2 and all(len(line) < 400 for line in said), f"junk {place}"


@every
def test_solution_says_why(load, name):
    notebook, number = map(int, name.split("."))
    text = (SOLUTIONS / f"{notebook:02d}.py").read_text(encoding="utf-8")
    place = re.search(rf"^(def )?exercise_{notebook:02d}_{number}\b", text, re.MULTILINE).start()
    above = text[:place].rstrip("\n").splitlines()[-1:]
    solution = answer(load, SOLUTIONS, name)
    inside = inspect.getsource(solution) if inspect.isfunction(solution) else text[place:].splitlines()[0]
    assert "#" in inside or (above and above[0].startswith("#")), "a plain comment on why"
