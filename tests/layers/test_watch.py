import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.layers import ReLU
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
