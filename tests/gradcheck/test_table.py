"""The whole table holds, on the kernels that train and on the array code; and every planted bug is caught."""

import functools
import os

import pytest

from resnet_np import backend, kernels
from resnet_np.gradcheck import planting, rules, table
from resnet_np.gradcheck.mutants import MUTANTS

SUBJECTS = {subject.name: subject for subject in table.subjects()}
# Whole nets, whose operations the other rows check too.
LARGE = ("ResNet-20, option A", "ResNet-18, ImageNet stem", "ResNet-50, CIFAR stem, v1")


@functools.cache
def row_of(name, running):
    with backend.using(running):
        return table.run(SUBJECTS[name])


@pytest.fixture(params=[pytest.param("numpy", marks=pytest.mark.nojit), "numba"])
def running(request):
    if request.param == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run")
    with backend.using(request.param):
        yield request.param


def is_assembled(name):
    """Whether it is a block or a net, of operations that have rows of their own."""
    return SUBJECTS[name].bar == table.NET or "lock" in name or "ottleneck" in name


def _marks(running, name):
    """The array code's blocks and nets are slow tests: each of their operations has a quick one."""
    slow = name in LARGE or (running == "numpy" and is_assembled(name))
    return [*([pytest.mark.nojit] if running == "numpy" else []), *([pytest.mark.slow] if slow else [])]


@pytest.mark.parametrize(("running", "name"), [pytest.param(running, name, marks=_marks(running, name))
                                               for running in ("numpy", "numba") for name in SUBJECTS], indirect=["running"])
def test_gradient(running, name):
    row = row_of(name, running)
    assert row.passes, row.failure or row.worst.describe(row.bar)
    assert row.bar <= (table.NET if "net" in name.lower() else table.SINGLE)
    assert row.kernels and {kernel.partition("/")[2] for kernel in row.kernels} == {backend.FILES[running]}


@pytest.mark.parametrize("rule", rules.RULES, ids=rules.name_of)
def test_rule(running, rule):
    assert rules.broken(rule) == ""


@pytest.mark.nojit
def test_no_kernel_is_left_out():
    """Every folder of kernels is used by a row of one operation; the optimiser's, and that of nets that only answer, have no
    gradient."""
    folders = {path.name for path in map(type(planting.PACKAGE), kernels.__path__) for path in path.iterdir()
               if (path / "loops.py").is_file()}
    used = {kernel.partition("/")[0] for name in SUBJECTS if not is_assembled(name) for kernel in row_of(name, "numpy").kernels}
    assert used == folders - {"sgd", "answer"}


@pytest.mark.nojit
def test_the_plantings_fit_the_source():
    """Sixteen bugs, each a text that occurs once, four of them and more in compiled kernels."""
    assert {mutant.bug for mutant in MUTANTS} == set(range(1, 17))
    for mutant in MUTANTS:
        text = (planting.PACKAGE / mutant.file).read_text()
        assert text.count(mutant.old) == 1, mutant.title
        compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    compiled = [mutant for mutant in MUTANTS if mutant.backend == "numba"]
    assert len({mutant.bug for mutant in compiled}) >= 4
    kernels = "jit.py", "tiles.py", "direct.py", "dense.py", "winograd_sums.py", "finish.py"
    assert all(mutant.file.endswith(kernels) for mutant in compiled)


@pytest.mark.slow
def test_every_planted_bug_is_caught():
    verdicts = list(planting.verdicts())  # raises where the copy without a bug fails
    assert len(verdicts) == len(MUTANTS)
    assert [verdict.mutant.title for verdict in verdicts if not verdict.caught_by] == []
    assert "the process itself" not in {verdict.caught_by for verdict in verdicts}  # caught by a check, not by a crash
    assert len({verdict.mutant.bug for verdict in verdicts if verdict.cause}) >= 8


@pytest.mark.slow
def test_a_bug_that_nobody_looks_for_survives(monkeypatch):
    """The harness reports what the checks find, no more: with checks that cannot see the bug, it is not caught."""
    blind = [mutant for mutant in MUTANTS if mutant.bug == 16]
    monkeypatch.setattr(planting, "MUTANTS", [type(blind[0])(**vars(blind[0]) | {"checks": ("relu",)})])
    (verdict,) = planting.verdicts()
    assert verdict.caught_by == "" and verdict.cause == ""
