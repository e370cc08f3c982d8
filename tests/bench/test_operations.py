"""Every operation of a step is seen, with the right number of calls and of multiply-adds."""

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.bench import operations
from resnet_np.bench.ours import Ours, multiply_adds
from resnet_np.bench.task import Task
from resnet_np.kernels import conv

pytestmark = pytest.mark.nojit
BATCH = 4


@pytest.fixture(scope="module")
def measured():
    with backend.using("numpy"):
        side = Ours(Task("resnet8", BATCH, 1))
        side.step()
        before = conv.forward
        found = operations.measure(side, 0)
    assert conv.forward is before and "step" not in vars(side.optimiser)
    return found


def rows(measured, name):
    return [row for row in measured["operations"] if row["name"] == name]


def test_multiply_adds(measured):
    """Forward, input gradient and weight gradient, counted from what ran, are the paper's count of the net."""
    with backend.using("numpy"):
        macs = multiply_adds("resnet8")

    def flops(name):
        return sum(row["flops"] * row["count"] for row in rows(measured, name))

    assert flops("conv forward") + flops("linear forward") == 2 * macs * BATCH
    assert flops("conv weight_grad") == flops("conv forward")
    first_layer = 2 * BATCH * 16 * 32 * 32 * 27  # a picture, whose gradient nobody wants
    assert flops("conv input_grad") == flops("conv forward") - first_layer
    assert flops("linear backward") == 2 * flops("linear forward")


def test_counts_and_layers(measured):
    layers = {row["layer"]: row["count"] for row in rows(measured, "conv forward")}
    assert layers["16 -> 16 x 32x32, 3x3"] == 2 and layers["16 -> 32 x 16x16, 3x3/2"] == 1
    assert sum(layers.values()) == 7
    sgd, = rows(measured, "SGD step")
    assert sgd["layer"] == "75,290 parameters" and sgd["bytes"] == 5 * 4 * 75_290 and sgd["count"] == 1


def test_bytes(measured):
    row = next(row for row in rows(measured, "conv forward") if row["layer"] == "16 -> 32 x 16x16, 3x3/2")
    assert row["bytes"] == 4 * (BATCH * 16 * 32 * 32 + 32 * 16 * 9 + BATCH * 32 * 16 * 16)


def test_nothing_is_counted_twice(measured):
    total = sum(row["seconds"] * row["count"] for row in measured["operations"])
    assert 0 <= measured["outside"] < measured["step"] and total < 1.5 * measured["step"]


def test_a_kernel_within_a_kernel_is_the_outer_ones(monkeypatch):
    inner = conv.weight_grad

    def forward(x, w, *, stride, pad):
        out = before(x, w, stride=stride, pad=pad)
        conv.weight_grad(np.ones_like(out), x, w_shape=w.shape, stride=stride, pad=pad)
        return out

    before = conv.forward
    forward.__module__ = conv.__name__
    monkeypatch.setattr(conv, "forward", forward)
    with backend.using("numpy"):
        side = Ours(Task("resnet8", BATCH, 1))
        found = operations.measure(side, 0)
    assert conv.weight_grad is inner
    assert sum(row["count"] for row in rows(found, "conv weight_grad")) == 7
