import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.layers import ReLU, Sequential
from resnet_np.layers.watch import leaves, watched
from resnet_np.models import resnet_cifar

pytestmark = pytest.mark.nojit


def test_leaves_have_the_names_of_their_parameters():
    net = resnet_cifar(8, "B")
    found = leaves(net)
    assert {name.rpartition(".")[0] for name in net.named_parameters()} <= found.keys()
    assert list(leaves(ReLU())) == [""]


def test_every_leaf_is_seen_in_order_and_left_as_it_was(rng):
    net, seen = resnet_cifar(8, "B"), []
    x = rng.standard_normal((1, 3, 8, 8)).astype(np.float32)
    with using("numpy"):
        with watched(net, lambda name, layer, x, out: seen.append((name, out))):
            watched_logits = net.forward(x, training=False)
        logits = net.forward(x, training=False)
    names = [name for name, _ in seen]
    assert sorted(names) == sorted(leaves(net)) and names[0] == "conv1" and names[-1] == "fc"
    assert seen[-1][1] is watched_logits
    np.testing.assert_array_equal(logits, watched_logits)
    assert not any("forward" in vars(layer) for layer in leaves(net).values())


def test_two_may_watch_at_once(rng):
    net, outer, inner = resnet_cifar(8), [], []
    x = rng.standard_normal((1, 3, 8, 8)).astype(np.float32)
    with using("numpy"), watched(net, lambda name, *_: outer.append(name)):
        with watched(net, lambda name, *_: inner.append(name)):
            net.forward(x, training=False)
        net.forward(x, training=False)
    assert len(outer) == 2 * len(inner) == 2 * len(leaves(net))
    assert not any("forward" in vars(layer) for layer in leaves(net).values())


def test_a_layer_that_is_used_twice(rng):
    relu, seen = ReLU(), []
    with using("numpy"), watched(Sequential(a=relu, b=relu), lambda name, *_: seen.append(name)):
        relu.forward(np.ones(2), training=False)
    assert sorted(seen) == ["a", "b"] and "forward" not in vars(relu)
