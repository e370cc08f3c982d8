"""Fused layers are the layers of block.py: the same numbers, names and caches, in fewer sweeps."""

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.layers import BatchNorm2d, Conv2d, FusedBasicBlock, FusedSequential, Linear, ReLU, Sequential
from resnet_np.layers.fused import separately
from resnet_np.layers.watch import leaves
from resnet_np.models import resnet_cifar, resnet_fast, resnet_imagenet

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def numpy_backend():
    with using("numpy"):
        yield


NETS = {
    "option A": lambda fused: resnet_cifar(8, "A", fused=fused, seed=3),
    "option B": lambda fused: resnet_cifar(8, "B", fused=fused, seed=3),
    "plain": lambda fused: resnet_cifar(8, "none", fused=fused, seed=3),
    "fast, one convolution a block": lambda fused: resnet_fast(8, width=24, fused=fused, seed=3),
    "fast, two": lambda fused: resnet_fast(11, width=24, fused=fused, seed=3),
    "bottlenecks": lambda fused: resnet_imagenet(50, width=2, stem="cifar", classes=10, fused=fused, seed=3),
}


@pytest.fixture(params=NETS)
def nets(request, rng):
    """A fused net and its separate twin, with the same weights, and running statistics that are not 0 and 1."""
    fused, separate = (NETS[request.param](fused).astype(np.float64) for fused in (True, False))
    for name, buffer in fused.named_buffers().items():
        buffer[...] = rng.uniform(0.5, 1.5, buffer.shape)
        separate.named_buffers()[name][...] = buffer
    return fused, separate


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * np.abs(theirs).max())


@pytest.mark.parametrize("frozen", [False, True], ids=["training", "frozen"])
def test_a_fused_net_learns_as_its_twin(nets, rng, frozen):
    x = rng.standard_normal((3, 3, 10, 10))
    dlogits = rng.standard_normal((3, 10))
    dx = []
    for net in nets:
        net.freeze(frozen)
        logits = net.forward(x, training=True, keep_cache=True)
        dx.append((logits, net.backward(dlogits, need_dx=True)))
    close(dx[0][0], dx[1][0])
    close(dx[0][1], dx[1][1])
    fused, separate = nets
    assert list(fused.named_parameters()) == list(separate.named_parameters())
    assert list(fused.named_buffers()) == list(separate.named_buffers())
    for name, parameter in fused.named_parameters().items():
        close(parameter.grad, separate.named_parameters()[name].grad)
    for name, buffer in fused.named_buffers().items():
        close(buffer, separate.named_buffers()[name])


def test_evaluation_and_what_is_kept(nets, rng):
    x = rng.standard_normal((2, 3, 10, 10))
    plain, kept = (nets[0].forward(x, training=False, keep_cache=keep) for keep in (False, True))
    close(plain, nets[1].forward(x, training=False))
    close(kept, nets[1].forward(x, training=False, keep_cache=True))
    for name, leaf in leaves(nets[0]).items():
        twin = leaves(nets[1])[name]
        assert type(leaf._cache) is type(twin._cache), name
        for mine, theirs in zip(leaf._cache or (), twin._cache or (), strict=True):
            if isinstance(theirs, np.ndarray) and theirs.dtype.kind == "f":
                close(mine, theirs)
    nets[0].forward(x, training=False)
    assert not any(leaf._cache for leaf in leaves(nets[0]).values())


def test_a_forward_pass_of_either_kind_goes_back_either_way(rng):
    net, x, dlogits = resnet_cifar(8, seed=1).astype(np.float64), rng.standard_normal((2, 3, 10, 10)), rng.standard_normal((2, 10))
    net.forward(x, training=True)
    there = net.backward(dlogits, need_dx=True)
    with separately():
        net.forward(x, training=True)
    close(net.backward(dlogits, need_dx=True), there)


def test_only_what_follows_is_joined(rng):
    """A convolution without batch norm, and a ReLU or linear layer alone, go through their own forward."""
    layers = {"a": Conv2d(3, 4, 3, rng=rng), "b": ReLU(), "c": Conv2d(4, 2, 1, rng=rng)}
    together, apart = FusedSequential(**layers), Sequential(**layers)
    x = rng.standard_normal((2, 3, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(together.forward(x, training=True), apart.forward(x, training=True))
    head = FusedSequential(fc=Linear(4, 2, rng=rng))
    assert head.forward(x[0, 0, :, :4].copy(), training=False).shape == (5, 2)


def test_there_is_no_second_way_back(rng):
    block = FusedBasicBlock(3, 3, stride=1, shortcut="A", zero_pad="both", rng=rng)
    out = block.forward(rng.standard_normal((2, 3, 4, 4)).astype(np.float32), training=True)
    block.backward(out)
    with pytest.raises(InputError, match="there is no forward pass to go back through"):
        block.backward(out)


def test_fused_is_a_choice():
    assert resnet_cifar(8).architecture["fused"] and not resnet_cifar(8, fused=False).architecture["fused"]
    with pytest.raises(InputError, match="fused is 1, expected True or False"):
        resnet_cifar(8, fused=1)


def test_a_child_that_is_replaced_is_used(rng):
    layers = FusedSequential(conv=Conv2d(3, 4, 3, rng=rng), bn=BatchNorm2d(4))
    x = rng.standard_normal((2, 3, 5, 5)).astype(np.float32)
    before = layers.forward(x, training=False)
    layers.children["conv"] = Conv2d(3, 4, 3, rng=rng)
    assert not np.allclose(layers.forward(x, training=False), before)
