"""Every operation of a step is seen, with the right number of calls and of multiply-adds."""

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.bench import operations
from resnet_np.bench.ours import Ours, multiply_adds
from resnet_np.bench.task import Task
from resnet_np.kernels import conv, fused

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


FORWARD, INPUT_GRAD = ("conv forward", "fused conv_statistics"), ("conv input_grad", "fused input_grad_plus")


def rows(measured, *names):
    return [row for row in measured["operations"] if row["name"] in names]


def test_multiply_adds(measured):
    """Forward, input gradient and weight gradient, counted from what ran, are the paper's count of the net."""
    with backend.using("numpy"):
        macs = multiply_adds(Task("resnet8", BATCH, 1))

    def flops(*names):
        return sum(row["flops"] * row["count"] for row in rows(measured, *names))

    assert flops(*FORWARD) + flops("linear forward") == 2 * macs * BATCH
    assert flops("conv weight_grad") == flops(*FORWARD)
    first_layer = 2 * BATCH * 16 * 32 * 32 * 27  # a picture, whose gradient nobody wants
    assert flops(*INPUT_GRAD) == flops(*FORWARD) - first_layer
    assert flops("linear backward") == 2 * flops("linear forward")


def test_counts_and_layers(measured):
    layers = {row["layer"]: row["count"] for row in rows(measured, *FORWARD)}
    assert layers["16 -> 16 x 32x32, 3x3"] == 2 and layers["16 -> 32 x 16x16, 3x3/2"] == 1
    assert sum(layers.values()) == 7
    sgd, = rows(measured, "SGD step")
    assert sgd["layer"] == "75,290 parameters" and sgd["bytes"] == 5 * 4 * 75_290 and sgd["count"] == 1


def test_bytes(measured):
    row = next(row for row in rows(measured, *FORWARD) if row["layer"] == "16 -> 32 x 16x16, 3x3/2")
    assert row["bytes"] == 4 * (BATCH * 16 * 32 * 32 + 32 * 16 * 9 + BATCH * 32 * 16 * 16 + 2 * 32)  # and mean and variance


def test_nothing_is_counted_twice(measured):
    total = sum(row["seconds"] * row["count"] for row in measured["operations"])
    assert 0 <= measured["outside"] < measured["step"] and total < 1.5 * measured["step"]


def test_a_kernel_within_a_kernel_is_the_outer_ones(monkeypatch):
    inner = conv.weight_grad

    def conv_statistics(x, w, *, stride, pad):
        y, mean, var = before(x, w, stride=stride, pad=pad)
        conv.weight_grad(np.ones_like(y), x, w_shape=w.shape, stride=stride, pad=pad)
        return y, mean, var

    before = fused.conv_statistics
    conv_statistics.__module__ = fused.__name__
    monkeypatch.setattr(fused, "conv_statistics", conv_statistics)
    with backend.using("numpy"):
        side = Ours(Task("resnet8", BATCH, 1))
        found = operations.measure(side, 0)
    assert conv.weight_grad is inner
    assert sum(row["count"] for row in rows(found, "conv weight_grad")) == 7
