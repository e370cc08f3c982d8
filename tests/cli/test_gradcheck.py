"""resnet-np gradcheck: what it says, and that a wrong gradient is an exit code of 1."""

import json

import numpy as np
import pytest

from resnet_np.cli import main
from resnet_np.gradcheck import planting, table
from resnet_np.gradcheck.mutants import MUTANTS
from resnet_np.kernels.elementwise import array

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """The operations only, and two planted bugs of array code."""
    names = ("batchnorm", "relu", "add", "ReLU", "max pool 2x2, stride 2")
    subjects = [subject for subject in table.subjects() if subject.name in names]
    monkeypatch.setattr(table, "subjects", lambda: iter(subjects))
    monkeypatch.setattr(planting, "MUTANTS", [mutant for mutant in MUTANTS if mutant.bug in (7, 16) and mutant.backend == "numpy"])
    monkeypatch.setenv("RESNET_NP_BACKEND", "numpy")


def test_all_is_well(capsys):
    assert main(["gradcheck", "--backend", "numpy"]) == 0
    out = capsys.readouterr().out
    assert "kernels (array.py)" in out and "rules hold" in out and "WRONG" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_on_the_device(capsys, cupy_standin):
    assert main(["gradcheck", "--backend", "cupy", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["passes"] and answer["backend"] == "cupy"
    assert {kernel for row in answer["gradients"] for kernel in row["kernels"]} == {
        "batchnorm/cuda", "elementwise/cuda", "pooling/cuda"}


def test_json(capsys):
    assert main(["gradcheck", "--backend", "numpy", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["passes"] and answer["backend"] == "numpy"
    row = next(row for row in answer["gradients"] if row["name"] == "batchnorm")
    assert row["kernels"] == ["batchnorm/array"] and [report["name"] for report in row["reports"]] == ["x", "gamma", "beta"]
    assert {"error", "index", "analytic", "numeric", "cause"} <= row["reports"][0].keys()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_wrong_gradient(capsys, monkeypatch, form):
    monkeypatch.setattr(array, "relu_backward", lambda dout, out: -np.where(out > 0, dout, 0))
    assert main(["gradcheck", "--backend", "numpy", *form]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "checks failed: relu, ReLU" in err
    assert "wrong sign" in out and ("WRONG x" in out or not json.loads(out)["passes"])


def test_wrong_code_that_crashes_is_a_row_not_a_traceback(capsys, monkeypatch):
    monkeypatch.setattr(array, "add", lambda a, b: a + b[:, :1, :2])
    assert main(["gradcheck", "--backend", "numpy"]) == 1
    out, err = capsys.readouterr()
    assert "WRONG: operands could not be broadcast" in out and err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_mutants(capsys, form):
    assert main(["gradcheck", "--mutants", *form]) == 0
    out = capsys.readouterr().out
    if form:
        answer = json.loads(out)
        assert answer["passes"] and [mutant["bug"] for mutant in answer["mutants"]] == [7, 16]
        assert all(mutant["caught_by"] and mutant["message"] for mutant in answer["mutants"])
    else:
        assert "caught by: relu" in out and "All 2 plantings of 2 bugs were caught" in out
        assert max(map(len, out.splitlines())) <= 100


def test_a_survivor_is_named(capsys, monkeypatch):
    blind = next(mutant for mutant in MUTANTS if mutant.bug == 16)
    monkeypatch.setattr(planting, "MUTANTS", [type(blind)(**vars(blind) | {"checks": ("relu",)})])
    assert main(["gradcheck", "--mutants"]) == 1
    out, err = capsys.readouterr()
    assert "NOT CAUGHT" in out and blind.title in err and err.count("\n") == 1


def test_a_planting_that_no_longer_fits(capsys, monkeypatch):
    blind = next(mutant for mutant in MUTANTS if mutant.bug == 16)
    monkeypatch.setattr(planting, "MUTANTS", [type(blind)(**vars(blind) | {"old": "no such text"})])
    assert main(["gradcheck", "--mutants"]) == 1
    assert "occurs 0 times in layers/basic.py, expected once" in capsys.readouterr().err
