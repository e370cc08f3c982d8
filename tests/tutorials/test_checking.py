"""What the helpers of resnet_np/tutor/checking.py say."""

import json

import numpy as np
import pytest

from resnet_np import tutor
from resnet_np.errors import DataError
from resnet_np.tutor import checking
from resnet_np.tutor.checking import Blank, NotYet, between, call, exercise, same

pytestmark = pytest.mark.nojit


def said(function, *arguments, **named):
    with pytest.raises(NotYet) as caught:
        function(*arguments, **named)
    return str(caught.value)


@pytest.mark.parametrize(("got", "expected", "message"), [
    (3, 4, "expected 4, got 3."),
    (0.5, 1 / 3, "expected 0.333333, got 0.5."),
    ((3, 3), (3, 4), "expected (3, 4), got (3, 3)."),
    ([1, 2, 3], (3, 4), "expected (3, 4), got [1, 2, 3]."),
    ("a", "b", "expected 'b', got 'a'."),
    (1, True, "expected True, got 1."),
    ("a", 1, "expected 1, got 'a'."),
    (np.zeros(2), np.ones(2), "expected [1., 1.], got [0., 0.]."),
    (np.zeros((2, 3)), np.zeros((3, 2)), "expected an array of shape (3, 2), got an array of shape (2, 3)."),
    (np.zeros((5, 5)), np.zeros((5, 4)), "expected the shape (5, 4), got (5, 5)."),
    (np.eye(4), np.zeros((4, 4)), "4 of 16 values are wrong, the first at [0, 0]: expected 0, got 1."),
    (np.array([[np.nan, 0], [0, 0]]), np.zeros((2, 2)), "1 of 4 values are wrong, the first at [0, 0]: expected 0, got nan."),
])
def test_difference(got, expected, message):
    assert said(same, got, expected) == message


def test_same():
    same(np.float32(1) / 3, 1 / 3)
    same([1, 2], np.array([1, 2]))
    same(np.bool_(True), True)
    same(1e6 + 1, 1e6)
    same(np.zeros(3), [0, 0, 1e-9], tolerance=1)


def test_place_and_hint():
    assert said(same, 1, 2, given="size=5", what="OH", hint="count") == "for size=5 OH: expected 2, got 1.\nHint: count."


def test_between():
    assert between(np.float64(0.5), 0, 1) == 0.5
    assert said(between, 2, 0, 1, what="accuracy") == "accuracy: expected a number from 0 to 1, got 2."
    assert said(between, float("nan"), 0, 1) == "expected a number from 0 to 1, got nan."


def test_call():
    x = np.arange(3.0)
    assert call(lambda x, k: x.sum() * k, x, k=2) == 6
    assert said(call, 3) == "expected a function, got 3."
    assert said(call, lambda x: x / "a", x).startswith("for [0., 1., 2.] your function raised TypeError: ")
    assert said(call, lambda x: 1).startswith("for no argument your function raised TypeError: ")
    assert said(call, lambda x: x.fill(0) or 1, x).startswith("for [0., 1., 2.] your function wrote into an array")
    assert x[2] == 2
    with pytest.raises(Blank, match="your function returns nothing"):
        call(lambda x: None, x)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(checking, "_checks", {})
    monkeypatch.setattr(checking.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(checking.importlib, "import_module", lambda name: None)


def test_check(registered, capsys):
    @exercise("7.10")
    def tenth(answer):
        same(answer, 3)
        return "three"

    @exercise("7.2")
    def second(answer):
        return f"{answer + 1}"

    assert tutor.exercises(7) == ["7.2", "7.10"]
    assert tutor.check("7.10", 3)
    assert not tutor.check("7.10", 4)
    assert not tutor.check("7.10", ...)
    assert not tutor.check("7.2", "a")
    assert not tutor.check("7.3", 0)
    assert not tutor.check(None, 0)
    assert capsys.readouterr().out.splitlines() == [
        "7.10 is right: three.",
        "7.10 is not right yet: expected 3, got 4.",
        "7.10 is still blank: put your code in place of the `...` and run the cell again.",
        "7.2 is not right yet: the check could not use 'a' (TypeError: can only concatenate str (not \"int\") to str).",
        "There is no exercise '7.3'. Notebook 7 has 7.2, 7.10.",
        "There is no exercise None.",
    ]


def test_a_notebook_prints_no_truth_value_below_the_message(registered, capsys):
    exercise("7.1")(lambda answer: "yes")
    verdict = tutor.check("7.1", 1)
    capsys.readouterr()
    assert verdict and repr(verdict) == "True" and verdict._ipython_display_() is None
    assert capsys.readouterr().out == ""


def test_no_such_notebook(capsys):
    assert not tutor.check("99.1", 0)
    assert capsys.readouterr().out == "There is no exercise '99.1'.\n"


def test_recorded(tmp_path, monkeypatch):
    (tmp_path / "recorded").mkdir()
    (tmp_path / "zh").mkdir()
    (tmp_path / "recorded" / "run.jsonl").write_text(f'{json.dumps({"seed": 0})}\n{json.dumps({"epoch": 1})}\n', encoding="utf-8")
    for folder in (tmp_path, tmp_path / "zh"):
        monkeypatch.chdir(folder)
        assert tutor.recorded("run") == ({"seed": 0}, [{"epoch": 1}])
    with pytest.raises(DataError, match="no recorded/walk.jsonl here; start Jupyter in the folder tutorials/"):
        tutor.recorded("walk")
