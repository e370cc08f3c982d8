import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.gradcheck import check_layer, check_pair, require
from resnet_np.layers import BasicBlock, BatchNorm2d, Dropout, Linear, ReLU, Sequential
from resnet_np.models import resnet_cifar

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def kernels():
    with using("numpy"):
        yield


@pytest.fixture
def net():
    return resnet_cifar(8, "B", dropout=0.3, classes=3, seed=2).astype(np.float64)


def state(layer):
    parameters = {name: parameter.data.copy() for name, parameter in layer.named_parameters().items()}
    return parameters | {name: buffer.copy() for name, buffer in layer.named_buffers().items()}


@pytest.mark.parametrize("mode", [{"directions": 2}, {"entries": 2}])
def test_the_net_is_left_as_it_was(net, rng, mode):
    net.children["dropout"].rng = np.random.default_rng(3)
    before, drawn = state(net), np.random.default_rng(3).random(4)
    x = rng.standard_normal((3, 3, 8, 8))
    reports = check_layer(net, x, rng=rng, labels=np.array([0, 2, 1]), **mode)
    require(reports, 1e-5)
    assert [report.name for report in reports] == ["x", *net.named_parameters()]
    for name, array in state(net).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    np.testing.assert_array_equal(net.children["dropout"].rng.random(4), drawn)
    assert not any(parameter.grad.any() for parameter in net.named_parameters().values())


def test_dropout_may_share_the_checkers_random_numbers(net, rng):
    """Every evaluation has the masks of the first, whatever was drawn in between."""
    net.children["dropout"].rng = rng
    require(check_layer(net, rng.standard_normal((3, 3, 8, 8)), rng=rng, labels=np.array([0, 2, 1]), directions=2), 1e-5)


def test_running_statistics_that_moved_would_be_noticed(rng):
    """A layer whose forward pass depends on how often it was called is no function; the checker makes it one."""
    norm = BatchNorm2d(2).astype(np.float64)
    norm.forward(rng.standard_normal((4, 2, 3, 3)) * 3, training=True)
    norm.freeze()
    require(check_layer(norm, rng.standard_normal((4, 2, 3, 3)), rng=rng))


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_one_per_mille_anywhere_in_a_net_is_rejected(net, rng, monkeypatch, factor):
    net.children["dropout"].rng = rng
    for name in net.named_parameters():
        parameter = net.named_parameters()[name]
        monkeypatch.setattr(parameter, "accumulate", lambda g, p=parameter: type(p).accumulate(p, factor * g))
        reports = check_layer(net, rng.standard_normal((3, 3, 8, 8)), rng=rng, labels=np.array([0, 2, 1]), directions=1)
        assert [report.name for report in reports if not report.passes(1e-5)] == [name]
        monkeypatch.undo()


def test_a_net_that_forgets_a_branch(rng, monkeypatch):
    block = BasicBlock(3, 3, stride=1, shortcut="A", zero_pad="both", rng=rng).astype(np.float64)
    monkeypatch.setattr(block, "shortcut", Sequential())  # forward and backward: x, dout
    require(check_layer(block, rng.standard_normal((2, 3, 4, 4)), rng=rng))
    monkeypatch.setattr(block.shortcut, "backward", np.zeros_like)
    with pytest.raises(AssertionError, match="WRONG x"):
        require(check_layer(block, rng.standard_normal((2, 3, 4, 4)), rng=rng))


def test_a_backward_pass_that_writes_is_rejected(rng, monkeypatch):
    layer = ReLU()
    monkeypatch.setattr(layer, "backward", lambda dout: np.multiply(dout, layer._take().out > 0, out=dout))
    with pytest.raises(AssertionError, match="backward wrote into dout"):
        check_layer(layer, rng.standard_normal((3, 4)), rng=rng)

    def backward(dout, cache):
        grads = F.linear_backward(dout, cache)
        cache.x[...] = 0
        return dict(zip("xwb", grads, strict=True))

    with pytest.raises(AssertionError, match="backward wrote into x"):
        check_pair(F.linear_forward, backward, {"x": rng.random((2, 3)), "w": rng.random((4, 3)), "b": rng.random(4)}, rng=rng)


def test_errors(net, rng):
    x = rng.standard_normal((3, 3, 8, 8))
    with pytest.raises(InputError, match="directions and entries, expected one"):
        check_layer(net, x, rng=rng, directions=1, entries=1)
    layer = Linear(2, 2, rng=rng).astype(np.float64)
    layer.parameters["x"] = layer.parameters.pop("weight")
    with pytest.raises(InputError, match="a parameter is called x"):
        check_layer(layer, rng.standard_normal((2, 2)), rng=rng)
    with pytest.raises(InputError, match="Dropout: training needs random numbers"):
        check_layer(Dropout(0.5), x, rng=rng)
