"""What tutorials/record.py leaves out of a recipe is left out."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from resnet_np import backend
from resnet_np import functional as F
from resnet_np.gradcheck import check_layer, require
from resnet_np.models import resnet_fast
from resnet_np.training import preset

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def numpy_backend():
    with backend.using("numpy"):
        yield


@pytest.fixture(scope="module")
def record(load):
    return load(Path(__file__).resolve().parents[2] / "tutorials" / "record.py")


@pytest.fixture
def interpreted(record, monkeypatch):
    """Not worth compiling for."""
    for name in ("gelu", "gelu_gradient"):
        monkeypatch.setattr(record, name, getattr(getattr(record, name), "py_func", getattr(record, name)))


def small(rng, **arguments):
    net, x = resnet_fast(8, width=24, **arguments), rng.standard_normal((6, 3, 20, 20)).astype(np.float32)
    net.stem.whiten(x)
    return net, x


def test_every_recipe_is_one(record):
    for changes, _ in record.LEFT_OUT.values():
        assert preset("fast", **record.SHORTEST | changes) != preset("fast", **record.SHORTEST) or not changes
    for changes in record.RACE.values():
        preset("fast", **changes)


def test_the_steps_lead_to_the_whole_recipe(record):
    """Each changes something, what was done stays done, and after the last nothing is left out."""
    way = list(record.one_after_the_other())
    for (_, before, undone), (_, after, left) in itertools.pairwise(way):
        assert (before, undone) != (after, left) and set(left) <= set(undone)
    (_, first, everything), (_, last, nothing) = way[0], way[-1]
    assert len(everything) == 3 and nothing == []
    assert preset("fast", **last) == preset("fast", **record.SHORTEST) != preset("fast", **first)


def test_every_change_changes_what_a_net_answers(record, interpreted, rng):
    functions = {change for _, change in record.LEFT_OUT.values() if change}
    assert len(functions) == 6
    for change in functions:
        net, x = small(rng, fused=change is not record.gelus)
        before = net.forward(x, training=True)
        change(net, rng)
        after = net.forward(x, training=True)
        assert after.shape == before.shape and not np.allclose(before, after, rtol=1e-3), change.__name__
        net.backward(np.ones_like(after))  # it learns, too


def test_no_shortcuts(record, rng):
    net, x = small(rng)
    block = net.trunk.children["layer2"].children["1"]
    maps = rng.standard_normal((2, block.filters, 3, 3)).astype(np.float32)
    main = block.main.forward(maps, training=True)
    record.no_shortcuts(net, rng)
    alone = net.trunk.children["layer2"].children["1"].forward(maps, training=True)
    np.testing.assert_allclose(alone, F.relu_forward(main)[0], rtol=1e-4, atol=1e-5)


def test_random_blocks_leave_the_entrances_alone(record, rng):
    net, _ = small(rng)
    before = {name: p.data.copy() for name, p in net.named_parameters().items() if p.data.ndim == 4}
    record.random_blocks(net, rng)
    changed = {name for name, array in before.items() if not np.array_equal(array, net.named_parameters()[name].data)}
    assert changed == {f"layer{stage}.1.conv1.weight" for stage in (1, 2, 3)}


def test_gelu(record, interpreted, rng):
    layer = record.GELU()
    x = np.array([[-3.0, -1.0, 0.0, 0.5, 2.0]])
    expected = [[-0.00404969, -0.15865525, 0.0, 0.34573123, 1.95449974]]  # x Phi(x), of a table of the normal distribution
    np.testing.assert_allclose(layer.forward(x, training=False), expected, atol=1e-8)
    require(check_layer(layer, rng.standard_normal((2, 3, 4)), rng=rng))
