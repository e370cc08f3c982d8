"""The ImageNet nets: torchvision's counts, shapes and names, both stems, both places of the stride, frozen parts."""

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.data import CIFAR10
from resnet_np.errors import InputError
from resnet_np.layers.watch import leaves
from resnet_np.models import Checkpoint, build, load_checkpoint, resnet_cifar, resnet_imagenet, save_checkpoint
from resnet_np.models import names as names_
from resnet_np.models.checkpoint import FAMILIES
from resnet_np.models.summary import summarise

pytestmark = pytest.mark.nojit

# torchvision's counts with 1000 classes; ../shared/FACTS.md
TORCHVISION = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


@pytest.fixture(autouse=True)
def numpy_backend():
    with using("numpy"):
        yield


@pytest.mark.parametrize("depth", TORCHVISION)
def test_torchvisions_counts(depth):
    net = resnet_imagenet(depth)
    assert sum(parameter.data.size for parameter in net.named_parameters().values()) == TORCHVISION[depth]


@pytest.mark.parametrize("make", [
    lambda: resnet_cifar(20), lambda: resnet_cifar(14, "B", width=12, classes=7), lambda: resnet_cifar(8, "none"),
    lambda: resnet_imagenet(18, stem="cifar", width=8, classes=3), lambda: resnet_imagenet(50, width=4),
    lambda: resnet_imagenet(152, width=2, stride_in="1x1")])
def test_parameters_are_counted_without_building(make):
    net = make()
    architecture = dict(net.architecture)
    counted = FAMILIES[architecture.pop("family")][1](**architecture)
    assert counted == sum(parameter.data.size for parameter in net.named_parameters().values())


def test_the_cifar_stem():
    """../shared/FACTS.md: 11,173,962 parameters, 555.4 million multiply-adds."""
    summary = summarise(build("resnet18"), (1, 3, 32, 32))
    assert (summary.parameters, round(summary.macs / 1e6, 1)) == (11_173_962, 555.4)


def test_shapes():
    rows = {row.name: row.shape for row in summarise(resnet_imagenet(50, width=4), (1, 3, 64, 96)).rows}
    assert rows["conv1"] == (4, 32, 48) and rows["maxpool"] == (4, 16, 24)
    assert rows["layer1.0.relu3"] == (16, 16, 24) and rows["layer4.2.relu3"] == (128, 2, 3)
    assert rows["layer2.0.conv1"] == (8, 16, 24) and rows["layer2.0.conv2"] == (8, 8, 12)
    assert rows["avgpool"] == (128,)
    v1 = {row.name: row.shape for row in summarise(resnet_imagenet(50, width=4, stride_in="1x1"), (1, 3, 64, 96)).rows}
    assert v1["layer2.0.conv1"] == (8, 8, 12)


def test_names_are_torchvisions():
    names = list(resnet_imagenet(50, width=2).named_parameters())
    assert names[:6] == ["conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.bn1.weight",
                         "layer1.0.bn1.bias"]
    assert "layer1.0.downsample.0.weight" in names and "layer1.0.conv3.weight" in names
    assert "layer1.1.downsample.0.weight" not in names and names[-2:] == ["fc.weight", "fc.bias"]
    assert "layer1.0.downsample.0.weight" not in resnet_imagenet(18, width=2).named_parameters()


def test_zero_gamma_makes_every_block_its_shortcut(rng):
    net = resnet_imagenet(18, width=4, stem="cifar", zero_gamma=True)
    block, x = net.children["layer1"].children["0"], np.abs(rng.standard_normal((2, 4, 6, 6))).astype(np.float32)
    np.testing.assert_array_equal(block.forward(x, training=True), x)
    assert not resnet_imagenet(50, width=4, zero_gamma=True).children["layer4"].children["2"].last_norm.weight.data.any()
    assert resnet_imagenet(18, width=4).children["layer1"].children["0"].last_norm.weight.data.all()


@pytest.mark.parametrize("choice, words", [
    ({"depth": 20}, "depth is 20, expected 18, 34, 50, 101, 152"), ({"depth": 18, "stem": "large"}, "stem is 'large'"),
    ({"depth": 50, "stride_in": "2x2"}, "stride_in is '2x2'"), ({"depth": 18, "width": 0}, "width is 0"),
    ({"depth": True}, "depth is True"),
    ({"depth": 18, "classes": 1}, "classes is 1"), ({"depth": 18, "width": 5000}, "1 to 4,096")])
def test_choices_that_do_not_exist(choice, words):
    with pytest.raises(InputError, match=words):
        resnet_imagenet(**choice)


@pytest.mark.parametrize("name, options, description", [
    ("resnet18", {}, "resnet18, CIFAR stem (3x3)"),
    ("resnet50", {"stem": "imagenet", "stride_in": "1x1", "width": 2},
     "resnet50, ImageNet stem (7x7, stride 2, max pool), stride on the 1x1, width 2"),
    ("resnet20", {}, "resnet20, shortcut A (zeros half before, half after)"),
    ("resnet20", {"zero_pad": "end", "width": 8}, "resnet20, shortcut A (zeros after), width 8"),
    ("resnet8", {"shortcut": "B"}, "resnet8, shortcut B"), ("plain8", {}, "plain8, no shortcuts")])
def test_what_nets_are_called(name, options, description):
    net = build(name, **options)
    assert names_.describe(net) == description and names_.name_of(net) == name


def test_a_checkpoint_keeps_it(tmp_path, rng):
    net = resnet_imagenet(50, stem="cifar", stride_in="1x1", width=2, classes=3, seed=5)
    save_checkpoint(tmp_path / "net.npz", Checkpoint(net, CIFAR10, ("a", "b", "c")))
    again = load_checkpoint(tmp_path / "net.npz").net
    assert again.architecture == net.architecture
    x = rng.standard_normal((2, 3, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(again.forward(x, training=False), net.forward(x, training=False))


def test_frozen_parts_keep_nothing_and_what_learns_learns_the_same(rng):
    """Gradients above a frozen part are those of a net that goes all the way back."""
    x, dlogits = rng.standard_normal((2, 3, 16, 16)), rng.standard_normal((2, 5))
    nets = [resnet_imagenet(18, width=2, classes=5, seed=3).astype(np.float64) for _ in range(2)]
    for net in nets:
        for name in ("conv1", "bn1", "layer1", "layer2"):
            net.children[name].freeze()
    nets[0].forward(x, training=True)
    kept = {name for name, leaf in leaves(nets[0]).items() if leaf._cache is not None}
    assert "layer3.0.conv1" in kept and not any(name.startswith(("conv1", "bn1", "maxpool", "layer1", "layer2")) for name in kept)
    assert nets[0].backward(dlogits) is None
    nets[1].forward(x, training=True, keep_cache=True)
    assert nets[1].backward(dlogits, need_dx=True).shape == x.shape
    for name, parameter in nets[0].named_parameters().items():
        if not parameter.frozen:
            assert parameter.grad.any()
            np.testing.assert_array_equal(parameter.grad, nets[1].named_parameters()[name].grad)
    nets[0].forward(x, training=True)
    with pytest.raises(InputError, match="need_dx goes back through frozen parts"):
        nets[0].backward(dlogits, need_dx=True)


def test_a_wholly_frozen_net(rng):
    net = resnet_imagenet(18, width=2, classes=5)
    net.freeze()
    net.forward(rng.standard_normal((2, 3, 32, 32)).astype(np.float32), training=True)
    assert net.backward(np.ones((2, 5), np.float32)) is None
