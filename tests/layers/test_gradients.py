"""Finite differences through a block of each shortcut kind and a whole ResNet-8, on the kernels that train.

ReLU has a kink at 0: there the difference quotient is neither slope. No tolerance is loosened for it; every evaluation records
the signs of all ReLU inputs, and the test fails if one changed between the two ends of a difference.
"""

import os

import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.gradcheck import check_directions, check_entries, require
from resnet_np.layers import BasicBlock, ReLU
from resnet_np.models import resnet_cifar

STEP = 1e-7  # so short that hardly any activation crosses 0; rounding is still only 1e-9 of a gradient near 1


@pytest.fixture(params=["numba", pytest.param("numpy", marks=pytest.mark.nojit)], autouse=True)
def kernels(request):
    if request.param == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run")
    with using(request.param):
        yield


def relus(layer):
    return [layer] if isinstance(layer, ReLU) else [found for child in layer.children.values() for found in relus(child)]


class Checked:
    """A layer as a function of its input and parameters: f(x=..., **parameters), with the signs of every evaluation."""

    def __init__(self, layer, finish=lambda out: out):
        self.layer, self.finish, self.signs = layer, finish, set()
        self.parameters = layer.named_parameters()
        self.buffers = {name: buffer.copy() for name, buffer in layer.named_buffers().items()}

    def __call__(self, x, **arrays):
        for name, array in arrays.items():
            self.parameters[name].data = array
        out = self.layer.forward(x, training=True)
        self.signs.add(b"".join(np.packbits(relu._cache.out > 0).tobytes() for relu in relus(self.layer)))
        for name, buffer in self.layer.named_buffers().items():
            buffer[...] = self.buffers[name]
        return self.finish(out)


def block(rng, kind):
    channels, stride = (4, 1) if kind == "identity" else (2, 2)
    shortcut, zero_pad = {"identity": ("A", "both"), "A both": ("A", "both"), "A end": ("A", "end"), "B": ("B", "both")}[kind]
    made = BasicBlock(channels, 4, stride=stride, shortcut=shortcut, zero_pad=zero_pad, rng=rng).astype(np.float64)
    for parameter in made.named_parameters().values():
        parameter.data += 0.1 * rng.standard_normal(parameter.data.shape)
    return made, rng.standard_normal((2, channels, 5, 5))


def errors_of_block(rng, kind):
    layer, x = block(rng, kind)
    f = Checked(layer)
    arrays = {"x": x} | {name: parameter.data.copy() for name, parameter in f.parameters.items()}
    out = f(**arrays)
    upstream = rng.standard_normal(out.shape)
    analytic = {"x": layer.backward(upstream)} | {name: parameter.grad for name, parameter in f.parameters.items()}
    errors = check_entries(f, arrays, analytic, upstream=upstream, h=STEP)
    assert len(f.signs) == 1, "an activation crossed 0: the differences mean nothing, choose another seed"
    return errors


@pytest.mark.parametrize("kind", ["identity", "A both", "A end", "B"])
def test_every_entry_of_a_block(rng, kind):
    require(errors_of_block(rng, kind), 1e-6)


@pytest.mark.parametrize("forgotten", ["main", "shortcut"])
def test_a_forgotten_branch_is_noticed(rng, monkeypatch, forgotten):
    def backward(self, dout):
        d_sum = self.relu2.backward(dout)
        d_main, d_shortcut = self.main.backward(d_sum), self.shortcut.backward(d_sum)
        return d_main if forgotten == "shortcut" else d_shortcut

    monkeypatch.setattr(BasicBlock, "backward", backward)
    with pytest.raises(AssertionError, match="x"):
        require(errors_of_block(rng, "A both"), 1e-6)


def test_a_whole_resnet8(rng):
    """From the loss to the picture and to every parameter: random directions, and some entries of each."""
    net = resnet_cifar(8, "B", classes=3, seed=2).astype(np.float64)
    x, labels = rng.standard_normal((3, 3, 8, 8)), np.array([0, 2, 1])
    f = Checked(net, lambda logits: F.softmax_cross_entropy_forward(logits, labels)[0])
    arrays = {"x": x} | {name: parameter.data.copy() for name, parameter in f.parameters.items()}
    f(**arrays)
    logits = net.forward(x, training=True)
    dx = net.backward(F.softmax_cross_entropy_backward(F.softmax_cross_entropy_forward(logits, labels)[1]), need_dx=True)
    analytic = {"x": dx} | {name: parameter.grad.copy() for name, parameter in f.parameters.items()}
    f(**arrays)
    upstream = 1.7
    analytic = {name: upstream * gradient for name, gradient in analytic.items()}
    errors = check_directions(f, arrays, analytic, upstream=upstream, rng=rng, directions=2, h=STEP)
    errors += check_entries(f, arrays, analytic, upstream=upstream, entries=3, rng=rng, h=STEP)
    assert len(f.signs) == 1, "an activation crossed 0: the differences mean nothing, choose another seed"
    require(errors, 1e-5)
