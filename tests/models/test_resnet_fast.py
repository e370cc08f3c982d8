"""The fast nets: shapes, counts, names, and that a net comes back from its checkpoint."""

import math

import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.data import CIFAR10
from resnet_np.errors import InputError
from resnet_np.layers import FusedSequential
from resnet_np.models import Checkpoint, build, load_checkpoint, parse_name, resnet_fast, save_checkpoint
from resnet_np.models.checkpoint import net_arrays
from resnet_np.models.layout import parameters, shapes
from resnet_np.models.names import describe, name_of
from resnet_np.models.summary import summarise

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def numpy_backend():
    with using("numpy"):
        yield


# By hand: 24*12 + 24 in the stem; 9 C F and 2 F a convolution with its norm; 10 * 256 + 10 at the end.
COUNTS = {8: 288 + 24 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 2 * (2 * 64 + 4 * 256) + 2570}
COUNTS[11] = COUNTS[8] + 9 * (64 * 64 + 2 * 256 * 256) + 2 * (64 + 2 * 256)


@pytest.mark.parametrize("depth", COUNTS)
def test_counts_and_layout(depth):
    net = resnet_fast(depth)
    summary = summarise(net, (1, 3, 32, 32))
    assert summary.parameters == parameters(net.architecture) == COUNTS[depth]
    assert {name: array.shape for name, array in net_arrays(net).items()} == shapes(net.architecture)


def test_stage_shapes():
    rows = {row.name: row for row in summarise(resnet_fast(8), (1, 3, 32, 32)).rows}
    assert rows["relu"].shape == (24, 31, 31)
    assert rows["layer1.0.conv"].shape == (64, 31, 31) and rows["layer1.1.relu1"].shape == (64, 15, 15)
    assert rows["layer2.1.relu1"].shape == (256, 7, 7) and rows["layer3.1.relu1"].shape == (256, 3, 3)
    assert rows["scale"].shape == (256,) and rows["fc"].shape == (10,)


def test_a_fresh_net_knows_nothing_and_says_so(rng):
    net, x = resnet_fast(8), rng.standard_normal((16, 3, 32, 32)).astype(np.float32)
    net.stem.whiten(x)
    loss, _ = F.softmax_cross_entropy_forward(net.forward(x, training=True), rng.integers(0, 10, 16))
    assert loss == pytest.approx(math.log(10), rel=0.05)


def test_grey_pictures(rng):
    """Two thirds of the whitened channels are colours, and would see nothing but rounding, which must not become a signal."""
    net, grey = resnet_fast(8, width=24), np.repeat(rng.standard_normal((60, 1, 16, 16)), 3, axis=1).astype(np.float32)
    net.stem.whiten(grey)
    for _ in range(30):
        net.forward(grey, training=True, keep_cache=False)
    logits = net.forward(grey, training=False)
    exact = net.astype(np.float64).forward(grey.astype(np.float64), training=False)
    assert np.abs(logits - exact).max() < 1e-3 * np.abs(exact).max()


def test_the_seed():
    ours, again, other = (resnet_fast(8, width=24, seed=seed).named_parameters() for seed in (3, 3, 4))
    for name in ("layer1.0.conv.weight", "layer3.1.conv1.weight", "fc.weight"):
        np.testing.assert_array_equal(ours[name].data, again[name].data)
    assert not np.array_equal(ours["layer2.0.conv.weight"].data[24:], other["layer2.0.conv.weight"].data[24:])


def test_names_to_nets():
    assert parse_name("fast8") == ("fast", 8) and parse_name("fast11") == ("fast", 11)
    net = build("fast8", width=32, classes=7)
    assert name_of(net) == "fast8" and "width 32" in describe(net) and net.architecture["classes"] == 7
    for name, words in (("fast9", "fast8 and fast11"), ("fast5", "fast8 and fast11"), ("fast", "got 'fast'"),
                        ("fast302", "29 and")):
        with pytest.raises(InputError, match=words):
            parse_name(name)


@pytest.mark.parametrize("choice, words", [
    ({"depth": 9}, "8 and 11"), ({"depth": "8"}, "'8'"), ({"width": 16}, "at least 24"), ({"dropout": 1}, "dropout is 1"),
    ({"classes": 1}, "classes is 1"), ({"fused": 1}, "fused is 1"), ({"pool": "min"}, "pool is 'min', expected one of max, mean")])
def test_choices_that_do_not_exist(choice, words):
    with pytest.raises(InputError, match=words):
        resnet_fast(**choice)


def test_a_checkpoint_keeps_the_whitening_and_the_settings_of_batch_norm(tmp_path, rng):
    net, x = resnet_fast(8, width=24, classes=3), rng.standard_normal((40, 3, 32, 32)).astype(np.float32)
    net.stem.whiten(x)
    net.forward(x, training=True, keep_cache=False)
    averages = {name: array + 1 for name, array in net_arrays(net).items()}
    save_checkpoint(tmp_path / "net.npz", Checkpoint(net, CIFAR10, ("a", "b", "c"), averages=averages))
    loaded = load_checkpoint(tmp_path / "net.npz")
    assert loaded.net.architecture == net.architecture and isinstance(loaded.net.trunk.children["layer1"].children["0"],
                                                                      FusedSequential)
    norm = loaded.net.trunk.children["layer2"].children["1"].children["bn1"]
    assert (norm.momentum, norm.eps) == (0.4, 1e-5)
    np.testing.assert_array_equal(loaded.net.forward(x, training=False), net.forward(x, training=False))
    assert loaded.averages.keys() == averages.keys()
    for name, average in averages.items():
        np.testing.assert_array_equal(loaded.averages[name], average)


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_what_of_a_map_is_a_feature(tmp_path, rng, pool):
    """And a checkpoint from before it was named has the mean."""
    net, x = resnet_fast(8, width=24, pool=pool), rng.standard_normal((4, 3, 32, 32)).astype(np.float32)
    maps = x
    for part in (net.stem, *(net.trunk.children[f"layer{stage}"] for stage in (1, 2, 3))):
        maps = part.forward(maps, training=False)
    expected = maps.max((2, 3)) if pool == "max" else maps.mean((2, 3))
    np.testing.assert_allclose(net.features(x), expected / 9, rtol=1e-5, atol=1e-7)
    if pool == "mean":
        del net.architecture["pool"]
    save_checkpoint(tmp_path / "net.npz", Checkpoint(net, CIFAR10, tuple("abcdefghij")))
    loaded = load_checkpoint(tmp_path / "net.npz").net
    assert loaded.architecture["pool"] == pool
    np.testing.assert_array_equal(loaded.forward(x, training=False), net.forward(x, training=False))
