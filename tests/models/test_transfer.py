"""What fine-tuning does to a net: another head, frozen parts, features."""

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.layers import BatchNorm2d
from resnet_np.layers.watch import leaves
from resnet_np.models import resnet_cifar, resnet_imagenet
from resnet_np.models.checkpoint import net_arrays
from resnet_np.models.transfer import freeze, with_head

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def numpy_backend():
    with using("numpy"):
        yield


def test_another_head_on_the_same_trunk(rng):
    net = resnet_imagenet(18, width=2, stem="cifar", classes=5, seed=1)
    net.named_buffers()["bn1.running_mean"][...] = rng.random(2)
    before = {name: array.copy() for name, array in net_arrays(net).items()}
    new = with_head(net, classes=7, keep=False, dropout=0.25, fused=False, seed=3)
    assert new.architecture == net.architecture | {"classes": 7, "dropout": 0.25, "fused": False}
    assert list(new.children)[-2:] == ["dropout", "fc"] and new.children["fc"].weight.data.shape == (7, 16)
    for name, array in net_arrays(new).items():
        if not name.startswith("fc."):
            np.testing.assert_array_equal(array, before[name])
            assert not np.shares_memory(array, net_arrays(net)[name])
    again, other = (with_head(net, classes=7, keep=False, dropout=0.0, fused=True, seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(again.children["fc"].weight.data, new.children["fc"].weight.data)
    assert not np.array_equal(other.children["fc"].weight.data, new.children["fc"].weight.data)


def test_a_head_that_is_kept():
    net = resnet_cifar(8, seed=1)
    for layer in leaves(net).values():
        if isinstance(layer, BatchNorm2d):
            layer.eps, layer.momentum = 0.1, 0.01  # other people's settings
    kept = with_head(net, classes=10, keep=True, dropout=0.5, fused=True, seed=0)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(kept.forward(x, training=False), net.forward(x, training=False))
    assert kept.children["bn1"].momentum == 0.01
    with pytest.raises(InputError, match="the head has 10 outputs, expected 3"):
        with_head(net, classes=3, keep=True, dropout=0, fused=True, seed=0)


def test_freezing_by_prefix():
    net = resnet_cifar(14)
    freeze(net, ["conv1", "layer1", "layer2.1.bn2"])
    frozen = {name for name, parameter in net.named_parameters().items() if parameter.frozen}
    assert frozen == {name for name in net.named_parameters() if name.startswith(("conv1.", "layer1.", "layer2.1.bn2."))}
    freeze(net, ["layer3"])  # exactly these, from now on
    assert {name for name, p in net.named_parameters().items() if p.frozen} == {
        name for name in net.named_parameters() if name.startswith("layer3.")}
    for prefix in ("layer4", "layer1.7", "conv", ""):
        with pytest.raises(InputError, match="freeze: the net has no layer"):
            freeze(net, [prefix])


def test_a_frozen_batch_norm_keeps_its_statistics(rng):
    """Bug 16 of ../shared/FACTS.md: fine-tuning must not move the statistics of what is frozen."""
    net = resnet_cifar(8)
    freeze(net, ["conv1", "bn1", "layer1"])
    before = {name: buffer.copy() for name, buffer in net.named_buffers().items()}
    x = rng.standard_normal((4, 3, 8, 8)).astype(np.float32) * 3 + 1
    net.forward(x, training=True)
    for name, buffer in net.named_buffers().items():
        assert np.array_equal(buffer, before[name]) == name.startswith(("bn1", "layer1")), name


@pytest.mark.parametrize("net", [resnet_cifar(8, dropout=0.5), resnet_imagenet(18, width=2, classes=4)])
def test_features_and_head_are_the_net(net, rng):
    x = rng.standard_normal((2, 3, 32, 32)).astype(np.float32)
    features = net.features(x)
    assert features.shape == (2, net.children["fc"].weight.data.shape[1])
    np.testing.assert_array_equal(net.head.forward(features, training=False), net.forward(x, training=False))
    assert list(net.head.named_parameters()) == ["fc.weight", "fc.bias"]


def test_stages():
    assert resnet_cifar(8).stages == [["conv1", "bn1", "relu"], ["layer1"], ["layer2"], ["layer3"]]
    assert resnet_imagenet(18, width=2).stages[0] == ["conv1", "bn1", "relu", "maxpool"]
