"""PyTorch's side is our net: same names, same numbers. And a net that is almost ours is found out."""

import os

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.bench.agreement import differences, distances
from resnet_np.bench.ours import Ours
from resnet_np.bench.process import BenchError
from resnet_np.bench.task import Task

pytestmark = [pytest.mark.peer, pytest.mark.nojit]


@pytest.fixture
def sides(torch):
    """sides(model, **options of Peer) -> ours and PyTorch's, in float64."""
    from resnet_np.bench.peer import Peer

    def make(model, **options):
        task = Task(model, batch=4, threads=2)
        start = Ours(task)
        options = {"layout": "NCHW", "double": True} | options
        peer = Peer(task, architecture=start.architecture(), weights=start.weights(), **options)
        return Ours(task, np.float32 if not options["double"] else np.float64), peer

    with backend.using("numpy"):
        yield make


@pytest.mark.parametrize("model", ["resnet8", "plain8", "resnet14", "fast8", "fast11"])
def test_float64(sides, model):
    ours, peer = sides(model)
    mine = ours.answers()
    assert len(mine) == 3 + sum(not parameter.fixed for parameter in ours.net.named_parameters().values())
    assert max(differences("float64", mine, peer.answers()).values()) < 1e-11


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="the numba backend cannot run")
def test_float64_of_pools_by_winograd(torch):
    """Winograd's sums turn a zero into 1e-17. Among zeros that would be the largest pixel, and gradients would go elsewhere."""
    from resnet_np.bench.peer import Peer

    task = Task("fast8", batch=8, threads=2)
    with backend.using("numba"):
        start = Ours(task)
        peer = Peer(task, architecture=start.architecture(), weights=start.weights(), layout="NCHW", double=True)
        assert max(differences("float64", Ours(task, np.float64).answers(), peer.answers()).values()) < 1e-11


@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
def test_float32(sides, layout):
    ours, peer = sides("resnet8", layout=layout, double=False)
    assert peer.net.conv1.weight.dtype.itemsize == 4
    assert peer.x.is_contiguous() == (layout == "NCHW")
    differences(f"float32 {layout}", ours.answers(), peer.answers())


def answers_in_bf16(torch, model, backend_name, batch):
    """Ours in bf16, PyTorch's under autocast, and ours in float64."""
    from resnet_np.bench.peer import Peer

    with backend.using(backend_name):
        task = Task(model, batch=batch, threads=2, precision="bf16")
        start = Ours(task)
        peer = Peer(task, architecture=start.architecture(), weights=start.weights(), layout="channels_last", bf16=True)
        return start.answers(), peer.answers(), Ours(task, np.float64).answers()


def test_bf16_by_rounding(torch):
    """The array code rounds what autocast rounds: maps, and the factors of convolutions."""
    found = distances(*answers_in_bf16(torch, "resnet8", "numpy", 8))
    assert found["bf16 logits"] < 1.5 and found["bf16 gradients"] < 1.5


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="the numba backend cannot run")
def test_bf16_of_a_whole_net(torch):
    """ResNet-20 on 32 pictures: gradients as near to those in float64 as PyTorch's. Measured 1.12; Winograd's sums cost some."""
    found = distances(*answers_in_bf16(torch, "resnet20", "numba", 32))
    assert found["bf16 logits"] < 1.5 and found["bf16 gradients"] < 1.3


def test_wrong_gradients_in_bf16_are_found(torch):
    ours, theirs, exact = answers_in_bf16(torch, "resnet8", "numpy", 8)
    for name in ours:
        if name.startswith("gradient"):
            ours[name] = 3 * ours[name]
    with pytest.raises(BenchError, match="in bf16, gradients are .* expected at most 2 times as far"):
        distances(ours, theirs, exact)


def other_eps(peer):
    peer.net.layer1[0].bn1.eps = 1.1e-5


def other_momentum(peer):
    peer.net.bn1.momentum = 0.11


def other_stride(peer):
    peer.net.layer2[0].zeros = [0, 0, 0, 0, 0, 16]  # the zero channels all behind


def other_decay(peer):
    peer.optimiser.param_groups[0]["weight_decay"] = 1.1e-4


@pytest.mark.parametrize(("breaks", "what"), [
    (other_eps, "logits"), (other_momentum, "inference"), (other_stride, "logits"), (other_decay, "inference"),
])
def test_almost_our_net(sides, breaks, what):
    ours, peer = sides("resnet8")
    breaks(peer)
    with pytest.raises(BenchError, match=f"in float64, {what} differs"):
        differences("float64", ours.answers(), peer.answers())


def test_a_weight_that_is_missing(torch):
    from resnet_np.bench.peer import Peer

    task = Task("resnet8", batch=4, threads=2)
    start = Ours(task)
    weights = start.weights()
    del weights["layer3.0.bn2.running_var"]
    with pytest.raises(RuntimeError, match="layer3.0.bn2.running_var"):
        Peer(task, architecture=start.architecture(), weights=weights, layout="NCHW")


def test_a_step_changes_the_weights_and_inference_does_not(sides):
    _, peer = sides("resnet8")
    before = {name: value.clone() for name, value in peer.net.state_dict().items()}
    peer.infer()
    assert all(before[name].equal(value) for name, value in peer.net.state_dict().items())
    peer.step()
    assert not any(before[name].equal(value) for name, value in peer.net.state_dict().items())
