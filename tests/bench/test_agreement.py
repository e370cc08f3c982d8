"""What counts as the same answer."""

import numpy as np
import pytest

from resnet_np.bench.agreement import differences
from resnet_np.bench.process import BenchError

pytestmark = pytest.mark.nojit


def answers(rng):
    names = ("logits", "loss", "gradient conv1.weight", "gradient fc.bias", "inference")
    return {name: rng.standard_normal((4, 3)) for name in names}


def test_the_worst_of_each_kind(rng):
    theirs = answers(rng)
    ours = {name: array.copy() for name, array in theirs.items()}
    ours["gradient fc.bias"] += 3e-10 * np.abs(ours["gradient fc.bias"]).max()
    worst = differences("float64", ours, theirs)
    assert set(worst) == {"float64 logits", "float64 loss", "float64 gradients", "float64 inference"}
    assert worst["float64 gradients"] == pytest.approx(3e-10, rel=1e-3) and worst["float64 logits"] == 0


@pytest.mark.parametrize(("what", "name", "off"), [
    ("float64", "logits", 2e-9), ("float64", "gradient fc.bias", 2e-9), ("float64", "inference", 2e-9), ("float64", "loss", np.nan),
    ("float32 NCHW", "logits", 2e-4), ("float32 NCHW", "loss", 2e-4),
])
def test_beyond_the_bar(rng, what, name, off):
    theirs = answers(rng)
    ours = theirs | {name: theirs[name] + off * np.abs(theirs[name]).max()}
    with pytest.raises(BenchError, match=f"in {what}, {name} differs by"):
        differences(what, ours, theirs)


def test_float32_gradients_are_nobodys_to_promise(rng):
    theirs = answers(rng)
    ours = theirs | {"gradient fc.bias": theirs["gradient fc.bias"] * 1.01, "logits": theirs["logits"] * (1 + 5e-5)}
    assert set(differences("float32 NCHW", ours, theirs)) == {"float32 logits", "float32 loss"}


def test_another_shape(rng):
    theirs = answers(rng)
    with pytest.raises(BenchError, match="logits differs by inf"):
        differences("float64", theirs | {"logits": theirs["logits"][:2]}, theirs)
