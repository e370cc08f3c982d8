"""A net that only answers: what the net itself says, but for rounding."""

import os
import pickle

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.errors import InputError
from resnet_np.kernels.answer import Convolution
from resnet_np.layers import (
    AveragePool2d,
    BatchNorm2d,
    Conv2d,
    GlobalAveragePool,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Scale,
)
from resnet_np.models import resnet_cifar, resnet_fast, resnet_imagenet
from resnet_np.models.folding import fold

if os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0"):
    from resnet_np.kernels.answer import run

NETS = {
    "resnet20": lambda: (resnet_cifar(20), 32),
    "resnet20, shortcuts that project": lambda: (resnet_cifar(20, shortcut="B"), 29),
    "resnet8, without shortcuts": lambda: (resnet_cifar(8, shortcut="none"), 16),
    "resnet8, zeros at the end, dropout, unfused": lambda: (resnet_cifar(8, zero_pad="end", dropout=0.3, fused=False), 17),
    "resnet18": lambda: (resnet_imagenet(18, width=16, classes=7), 64),
    "resnet18, small pictures": lambda: (resnet_imagenet(18, stem="cifar", width=8, classes=7), 20),
    "resnet50": lambda: (resnet_imagenet(50, width=8, classes=11), 70),
    "resnet50, version 1": lambda: (resnet_imagenet(50, width=8, classes=11, stride_in="1x1"), 66),
    "fast8": lambda: (resnet_fast(8, width=32), 32),
    "fast11, the mean": lambda: (resnet_fast(11, width=24, pool="mean", fused=False), 17),
}


def trained(net, rng):
    """Any net, as if it had learned: statistics, gamma and beta that are not those of the beginning."""
    for layer in layers_of(net):
        if isinstance(layer, BatchNorm2d):
            channels = layer.bias.data.size
            if not layer.weight.fixed:
                layer.weight.data[...] = rng.uniform(-1, 1.5, channels)
            layer.bias.data[...] = rng.normal(0, 0.3, channels)
            layer.buffers["running_mean"][...] = rng.normal(0, 0.3, channels)
            layer.buffers["running_var"][...] = rng.uniform(0.5, 2, channels)
    return net


def layers_of(layer):
    yield layer
    for child in layer.children.values():
        yield from layers_of(child)


def pictures(rng, count, size):
    return rng.standard_normal((count, 3, size, size)).astype(np.float32)


@pytest.mark.parametrize("name", NETS)
def test_it_says_what_the_net_says(rng, name):
    net, size = NETS[name]()
    trained(net, rng)
    x, before = pictures(rng, 3, size), {name: p.data.copy() for name, p in net.named_parameters().items()}
    kept = x.copy()
    logits = net.prepare()(x)
    np.testing.assert_array_equal(x, kept)
    for name, parameter in net.named_parameters().items():
        np.testing.assert_array_equal(parameter.data, before[name])
    expected = net.forward(x, training=False)
    assert logits.dtype == np.float32 and logits.shape == expected.shape
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.nojit
@pytest.mark.parametrize("name", NETS)
def test_the_other_backends_take_the_steps(rng, name):
    net, size = NETS[name]()
    trained(net, rng)
    x = pictures(rng, 2, size)
    with backend.using("numpy"):
        np.testing.assert_allclose(net.prepare()(x), expected := net.forward(x, training=False), rtol=0,
                                   atol=1e-5 * np.abs(expected).max())


def test_on_the_device(rng, cupy):
    net = trained(resnet_cifar(8), rng)
    x = pictures(rng, 2, 16)
    with backend.using("numpy"):
        in_memory = net.prepare()
        expected = in_memory(x)
    with backend.using("cupy"):
        answer, there = net.to_device().prepare(), backend.to_device(x)
        logits = answer(there)
        assert backend.on_device(logits)
        np.testing.assert_allclose(backend.to_host(logits), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        with pytest.raises(InputError, match="the pictures are in memory, but the net was on the device when it was prepared"):
            answer(x)
        with pytest.raises(InputError, match="the pictures are on the device, but the net was in memory"):
            in_memory(there)


@pytest.mark.nojit
def test_batch_norm_has_disappeared(rng):
    """ResNet-20: nineteen convolutions, two of them followed by shortcuts' projections, a pool, the linear layer."""
    net = trained(resnet_cifar(20), rng)
    steps = fold(net._parts()).steps
    convolutions = [step for step in steps if isinstance(step, Convolution)]
    assert len(steps) == 23 and len(convolutions) == 22
    assert sum(step.same is not None for step in convolutions) == 9
    norm = net.stem.bn1
    k = norm.weight.data / np.sqrt(norm.buffers["running_var"] + norm.eps)
    np.testing.assert_allclose(steps[0].weight, net.stem.conv1.weight.data * k[:, None, None, None], rtol=1e-6)
    np.testing.assert_allclose(steps[0].bias, norm.bias.data - k * norm.buffers["running_mean"], rtol=1e-5, atol=1e-7)


@pytest.mark.nojit
def test_what_is_learned_later_is_not_in_it(rng):
    net = resnet_cifar(8)
    x = pictures(rng, 1, 16)
    with backend.using("numpy"):
        answer = net.prepare()
        before = answer(x)
        net.trunk.children["fc"].bias.data[...] += 1
        np.testing.assert_array_equal(answer(x), before)
        np.testing.assert_allclose(net.prepare()(x), before + 1, rtol=1e-5)


@pytest.mark.nojit
@pytest.mark.parametrize("x", [np.zeros((3, 32, 32), np.float32), np.zeros((1, 1, 32, 32), np.float32),
                               np.zeros((1, 3, 32, 32), np.uint8), np.zeros((1, 3, 32, 32))], ids=str)
def test_what_are_no_pictures(x):
    with pytest.raises(InputError, match="prepared net: got .*, expected normalised pictures, float32"):
        resnet_cifar(8).prepare()(x)


class Mine(Layer):
    pass


@pytest.mark.nojit
def test_nets_that_cannot_be_prepared(rng):
    """Nothing is left out without a word."""
    net = resnet_fast(8, width=24)
    next(layer for layer in layers_of(net) if isinstance(layer, BatchNorm2d)).weight.data[3:5] = 0
    with pytest.raises(InputError, match="gamma of the batch norm behind a max pool is 0 or less for 2 of 24 channels"):
        net.prepare()
    bf16, double = resnet_cifar(8), resnet_cifar(8).astype(np.float64)
    bf16.precision = "bf16"
    for net, found in ((bf16, "bf16"), (double, "float64")):
        with pytest.raises(InputError, match=f"prepare: this net computes in {found}, a prepared one in float32 alone"):
            net.prepare()
    conv, pool, head = Conv2d(3, 4, 3, pad=1, rng=rng), GlobalAveragePool(), Linear(4, 2, rng=rng)
    assert len(fold([conv, ReLU(), pool, head]).steps) == 3
    for layers, found in (
            ([conv, Mine(), pool, head], "Mine"), ([conv, AveragePool2d(2, stride=2), pool, head], "AveragePool2d"),
            ([conv, ReLU(), BatchNorm2d(4), pool, head], "BatchNorm2d"), ([ReLU(), conv, pool, head], "ReLU"),
            ([conv, MaxPool2d(3, stride=2, pad=1), pool, head], "MaxPool2d"),
            ([MaxPool2d(2, stride=2), conv, pool, head], "MaxPool2d"),
            ([conv, ReLU(), Conv2d(4, 4, 5, pad=2, rng=rng), pool, head], "Conv2d"), ([conv, Scale(2), pool, head], "Scale"),
            ([conv, pool, Conv2d(4, 4, 1, rng=rng), head], "Conv2d"), ([conv, head], "Linear")):
        with pytest.raises(InputError, match=f"prepare: a {found} where it stands in this net cannot be folded; answer"):
            fold(layers)
    for layers in ([conv, pool], [conv, pool, head, Scale(2)]):
        with pytest.raises(InputError, match="the net does not end with a linear layer"):
            fold(layers)


@pytest.mark.parametrize("name", [pytest.param("numpy", marks=pytest.mark.nojit), "numba"])
def test_pictures_that_are_too_small(name):
    with backend.using(name), pytest.raises(InputError, match="prepared net: pictures of 8 x 8 pixels are too small for this net"):
        resnet_fast(8, pool="mean").prepare()(np.zeros((1, 3, 8, 8), np.float32))


def test_it_can_be_copied(rng):
    """Also when it has answered, several pictures by several threads."""
    answer = resnet_cifar(8).prepare()
    x = pictures(rng, 4, 16)
    logits = answer(x)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(answer))(x), logits)


def test_pictures_as_they_come(rng):
    """Read-only, or not in order: the same answer, and nothing is compiled anew."""
    answer = resnet_cifar(8).prepare()
    x = pictures(rng, 1, 16)
    logits, compiled = answer(x), len(run.run.signatures)
    read_only = np.frombuffer(x.tobytes(), np.float32).reshape(x.shape)
    turned = np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    for same in (read_only, turned):
        np.testing.assert_array_equal(answer(same), logits)
    assert len(run.run.signatures) == compiled
