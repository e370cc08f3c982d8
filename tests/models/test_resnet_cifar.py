"""The nets are the paper's: counts, shapes, names, first loss. He et al. 2015, section 4.2 and Table 6."""

import math

import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.layers import PaddedShortcut
from resnet_np.models import parse_name, resnet_cifar
from resnet_np.models.summary import summarise

pytestmark = pytest.mark.nojit

# depth: parameters with option A, with option B, million multiply-adds an image (A); ../shared/FACTS.md
PAPER = {20: (269_722, 272_474, 40.55), 32: (464_154, 466_906, 68.86), 44: (658_586, 661_338, 97.17),
         56: (853_018, 855_770, 125.49), 110: (1_727_962, 1_730_714, 252.89), 1202: (19_421_274, 19_424_026, 2829)}


def count(net):
    return sum(parameter.data.size for parameter in net.named_parameters().values())


@pytest.mark.parametrize("depth", PAPER)
def test_the_papers_counts(depth):
    option_a, option_b, mmacs = PAPER[depth]
    net = resnet_cifar(depth)
    assert (count(net), count(resnet_cifar(depth, "B"))) == (option_a, option_b)
    if depth <= 56:  # deeper ones take seconds a picture
        with using("numpy"):
            summary = summarise(net, (1, 3, 32, 32))
        assert (summary.parameters, round(summary.macs / 1e6, 2)) == (option_a, mmacs)


def test_stage_shapes_and_an_untouched_net():
    net = resnet_cifar(20)
    with using("numpy"):
        rows = {row.name: row for row in summarise(net, (1, 3, 32, 32)).rows}
    assert rows["layer1.2.relu2"].shape == (16, 32, 32)
    assert rows["layer2.0.conv1"].shape == rows["layer2.0.downsample"].shape == (32, 16, 16)
    assert rows["layer3.2.relu2"].shape == (64, 8, 8)
    assert (rows["avgpool"].shape, rows["fc"].shape) == ((64,), (10,))
    assert "forward" not in vars(net.stem.conv1)
    with pytest.raises(InputError):
        net.backward(np.zeros((1, 10), np.float32))  # no cache was left behind


def test_names_are_those_of_pytorchs_users():
    names, buffers = list(resnet_cifar(20).named_parameters()), list(resnet_cifar(20).named_buffers())
    assert names[:5] == ["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.bn1.weight"]
    assert names[-2:] == ["fc.weight", "fc.bias"]
    assert "layer1.0.bn1.running_mean" in buffers and "layer3.2.bn2.running_var" in buffers
    with_b = resnet_cifar(20, "B").named_parameters()
    assert with_b["layer2.0.downsample.0.weight"].data.shape == (32, 16, 1, 1)
    assert "layer2.0.downsample.1.weight" in with_b and "layer1.0.downsample.0.weight" not in with_b


def test_what_decays():
    parameters = resnet_cifar(8, "B").named_parameters()
    assert {name for name, parameter in parameters.items() if parameter.decay} == {
        name for name in parameters if parameters[name].data.ndim > 1}


def test_he_initialisation_and_its_seed():
    """Fan-out: variance 2 / (filters * 9)."""
    net, again, other = resnet_cifar(20, seed=3), resnet_cifar(20, seed=3), resnet_cifar(20, seed=4)
    for name, filters in (("layer1.1.conv1.weight", 16), ("layer2.1.conv2.weight", 32), ("layer3.1.conv1.weight", 64)):
        weight = net.named_parameters()[name].data
        assert weight.var() == pytest.approx(2 / (9 * filters), rel=0.1) and abs(weight.mean()) < 0.01
        np.testing.assert_array_equal(weight, again.named_parameters()[name].data)
        assert not np.array_equal(weight, other.named_parameters()[name].data)


def test_the_first_loss(rng):
    """A fresh net starts near 2.5, one whose head is zeroed at ln 10 exactly: it knows nothing, and says so."""
    net, x, labels = resnet_cifar(20), rng.standard_normal((16, 3, 16, 16)).astype(np.float32), rng.integers(0, 10, 16)
    with using("numpy"):
        loss, _ = F.softmax_cross_entropy_forward(net.forward(x, training=True), labels)
        assert 2.2 < loss < 3.0
        net.named_parameters()["fc.weight"].data[...] = 0
        net.named_parameters()["fc.bias"].data[...] = 0
        loss, _ = F.softmax_cross_entropy_forward(net.forward(x, training=True), labels)
    assert loss == pytest.approx(math.log(10), rel=1e-6)


def test_where_the_zeros_go(rng):
    x = rng.standard_normal((1, 2, 4, 4))
    with using("numpy"):
        both = PaddedShortcut(6, stride=2, zero_pad="both").forward(x, training=False)
        end = PaddedShortcut(6, stride=2, zero_pad="end").forward(x, training=False)
    np.testing.assert_array_equal(both[:, 2:4], x[:, :, ::2, ::2])
    np.testing.assert_array_equal(end[:, :2], x[:, :, ::2, ::2])
    assert not both[:, [0, 1, 4, 5]].any() and not end[:, 2:].any()


@pytest.mark.parametrize("choice, words", [
    ({"depth": 21}, "20 and 26"), ({"depth": 2}, "8 and 14"), ({"depth": "20"}, "'20'"), ({"depth": 20, "shortcut": "C"}, "'C'"),
    ({"depth": 20, "zero_pad": "left"}, "'left'"), ({"depth": 20, "classes": 1}, "classes is 1"),
    ({"depth": 20, "dropout": 1}, "dropout is 1")])
def test_choices_that_do_not_exist(choice, words):
    with pytest.raises(InputError, match=words):
        resnet_cifar(**choice)


def test_names_to_nets():
    for prefix, family in (("resnet", "cifar"), ("plain", "plain")):
        assert [parse_name(f"{prefix}{depth}") for depth in PAPER] == [(family, depth) for depth in PAPER]
    for name in ("resnet21", "resnet", "resnet2", "ResNet20", "resnet20x", "vgg16", "plain21"):
        with pytest.raises(InputError):
            parse_name(name)


def test_the_plain_twin_is_the_same_net_without_shortcuts(rng):
    residual, plain = resnet_cifar(20, seed=3), resnet_cifar(20, "none", seed=3)
    ours, twins = residual.named_parameters(), plain.named_parameters()
    assert list(ours) == list(twins)
    for name, parameter in ours.items():
        np.testing.assert_array_equal(parameter.data, twins[name].data)
    x = rng.standard_normal((2, 3, 16, 16)).astype(np.float32)
    with using("numpy"):
        block, twin = residual.children["layer1"].children["0"], plain.children["layer1"].children["0"]
        x16 = rng.standard_normal((2, 16, 4, 4)).astype(np.float32)
        main = block.main.forward(x16, training=False)
        np.testing.assert_array_equal(twin.forward(x16, training=False), np.maximum(main, 0))
        np.testing.assert_array_equal(block.forward(x16, training=False), np.maximum(main + x16, 0))
        assert summarise(plain, (1, 3, 32, 32)).macs == 40_551_040
        assert not np.array_equal(residual.forward(x, training=False), plain.forward(x, training=False))


def test_dropout_before_the_head(rng):
    net = resnet_cifar(8, dropout=0.5)
    assert list(net.children)[-3:] == ["avgpool", "dropout", "fc"] and "dropout" not in resnet_cifar(8).children
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    with using("numpy"):
        np.testing.assert_array_equal(net.forward(x, training=False), resnet_cifar(8).forward(x, training=False))
        with pytest.raises(InputError, match="Dropout: training needs random numbers"):
            net.forward(x, training=True)
