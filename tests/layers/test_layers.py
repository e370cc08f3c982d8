import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.layers import (
    AveragePool2d,
    BasicBlock,
    BatchNorm2d,
    Conv2d,
    Dropout,
    FusedBasicBlock,
    FusedSequential,
    FusedStem,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    Linear,
    MaxPool2d,
    PaddedShortcut,
    ReLU,
    Sequential,
    plain_block,
)
from resnet_np.models import resnet_cifar
from resnet_np.optim import SGD

pytestmark = pytest.mark.nojit

RNG = np.random.default_rng
MAKERS = {
    "Conv2d": lambda: Conv2d(3, 4, 3, pad=1, rng=RNG(1)),
    "BatchNorm2d": lambda: BatchNorm2d(3),
    "ReLU": ReLU,
    "GlobalAveragePool": GlobalAveragePool,
    "GlobalMaxPool": GlobalMaxPool,
    "MaxPool2d": lambda: MaxPool2d(3, stride=2, pad=1),
    "AveragePool2d": lambda: AveragePool2d(2, stride=2),
    "Dropout": lambda: dropout(),
    "PaddedShortcut": lambda: PaddedShortcut(6, stride=2, zero_pad="both"),
    "Sequential": lambda: Sequential(conv=Conv2d(3, 2, 1, rng=RNG(1)), bn=BatchNorm2d(2), relu=ReLU()),
    "BasicBlock, identity": lambda: block(3, 3, 1, "A"),
    "BasicBlock, option A": lambda: block(3, 6, 2, "A"),
    "BasicBlock, option B": lambda: block(3, 6, 2, "B"),
    "FusedSequential": lambda: FusedSequential(conv=Conv2d(3, 2, 1, rng=RNG(1)), bn=BatchNorm2d(2), relu=ReLU()),
    "FusedStem": lambda: FusedStem(conv1=Conv2d(3, 4, 3, rng=RNG(1)), bn1=BatchNorm2d(4), relu=ReLU()),
    "FusedBasicBlock, identity": lambda: block(3, 3, 1, "A", FusedBasicBlock),
    "FusedBasicBlock, option A": lambda: block(3, 6, 2, "A", FusedBasicBlock),
    "FusedBasicBlock, option B": lambda: block(3, 6, 2, "B", FusedBasicBlock),
    "plain block": lambda: plain_block(3, 6, stride=2, rng=RNG(1)),
    "Linear": lambda: Linear(5, 2, rng=RNG(1)),
    "ResNetCifar": lambda: resnet_cifar(8, "B"),
}
every_layer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def block(channels, filters, stride, shortcut, kind=BasicBlock):
    return kind(channels, filters, stride=stride, shortcut=shortcut, zero_pad="both", rng=RNG(1))


def dropout():
    layer = Dropout(0.3)
    layer.rng = RNG(2)
    return layer


def input_of(layer, rng, dtype=np.float32):
    """Read-only numbers of a shape that the layer takes."""
    x = rng.standard_normal((4, 5) if isinstance(layer, Linear) else (4, 3, 8, 8)).astype(dtype)
    x.setflags(write=False)
    return x


def upstream(out, rng):
    dout = rng.standard_normal(out.shape).astype(out.dtype)
    dout.setflags(write=False)
    return dout


def all_layers(layer):
    return [layer, *(below for child in layer.children.values() for below in all_layers(child))]


def gradients(layer):
    return {name: parameter.grad.copy() for name, parameter in layer.named_parameters().items()}


@every_layer
def test_backward_uses_the_cache_up(make, rng):
    layer = make()
    dout = upstream(layer.forward(input_of(layer, rng), training=True), rng)
    layer.backward(dout)
    assert all(each._cache is None for each in all_layers(layer))
    with pytest.raises(InputError, match="no forward pass to go back through"):
        layer.backward(dout)


@every_layer
def test_backward_before_forward(make):
    layer = make()
    with pytest.raises(InputError, match="call forward"):
        layer.backward(np.zeros((4, 10), np.float32))


@every_layer
def test_evaluation_keeps_no_cache(make, rng):
    layer = make()
    x = input_of(layer, rng)
    layer.forward(x, training=True)
    out = layer.forward(x, training=False)  # and drops the one that was there
    assert all(each._cache is None for each in all_layers(layer))
    with pytest.raises(InputError, match="no forward pass"):
        layer.backward(out)


@every_layer
def test_training_without_a_cache(make, rng):
    layer = make()
    layer.forward(input_of(layer, rng), training=True, keep_cache=False)
    assert all(each._cache is None for each in all_layers(layer))


@every_layer
def test_evaluation_with_a_cache_can_go_back(make, rng):
    layer = make()
    out = layer.forward(input_of(layer, rng), training=False, keep_cache=True)
    layer.backward(upstream(out, rng))
    for name, gradient in gradients(layer).items():
        assert gradient.any(), name


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_dtype_all_the_way(make, rng, dtype):
    """No float64 scalar promotes anything, and nothing falls back to float32."""
    layer = make()
    if dtype == np.float64:
        assert layer.astype(np.float64) is layer
    x = input_of(layer, rng, dtype)
    out = layer.forward(x, training=True)
    dx = layer.backward(upstream(out, rng))
    assert out.dtype == dtype
    assert dx is None or (dx.dtype == dtype and dx.shape == x.shape)
    SGD(layer.named_parameters(), nesterov=True).step(0.1)
    for name, parameter in layer.named_parameters().items():
        assert parameter.data.dtype == parameter.grad.dtype == dtype, name
        assert parameter.grad.any(), name
    assert all(buffer.dtype == dtype for buffer in layer.named_buffers().values())
    assert layer.forward(x, training=False).dtype == dtype


def test_astype_keeps_values_gradients_and_names(rng):
    net = resnet_cifar(8, "B")
    x = input_of(net, rng)
    net.backward(upstream(net.forward(x, training=True), rng))
    before = {name: (p.data, p.grad) for name, p in net.named_parameters().items()}
    buffers = {name: buffer.copy() for name, buffer in net.named_buffers().items()}
    logits = net.forward(x, training=False)
    net.astype(np.float64)
    assert list(net.named_parameters()) == list(before)
    for name, parameter in net.named_parameters().items():
        np.testing.assert_array_equal(parameter.data, before[name][0], err_msg=name)
        np.testing.assert_array_equal(parameter.grad, before[name][1], err_msg=name)
    for name, buffer in net.named_buffers().items():
        np.testing.assert_array_equal(buffer, buffers[name], err_msg=name)
    np.testing.assert_allclose(net.forward(x.astype(np.float64), training=False), logits, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="dtypes differ"):
        net.forward(x, training=False)


@every_layer
def test_gradients_add_up(make, rng):
    """Two passes without clearing: the sum of the gradients of each."""
    layer = make().astype(np.float64)
    x = input_of(layer, rng, np.float64)
    alone = []
    for _ in range(2):
        for parameter in layer.named_parameters().values():
            parameter.zero_grad()
        dout = upstream(layer.forward(x, training=True), rng)
        layer.backward(dout)
        alone.append((dout, gradients(layer)))
    for dout, _ in alone[:1]:
        layer.forward(x, training=True)
        layer.backward(dout)
    for name, gradient in gradients(layer).items():
        np.testing.assert_allclose(gradient, alone[0][1][name] + alone[1][1][name], rtol=1e-9, atol=1e-12, err_msg=name)
        assert gradient.any(), name


def test_running_statistics(rng):
    """0.1 is the weight of the new batch; the variance that is kept is unbiased."""
    norm = BatchNorm2d(3)
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = (2 * rng.standard_normal((2, 3, 2, 3)) + 5).astype(np.float32)
        norm.forward(x, training=True)
        mean = 0.9 * mean + 0.1 * x.mean((0, 2, 3), dtype=np.float64)
        var = 0.9 * var + 0.1 * x.var((0, 2, 3), ddof=1, dtype=np.float64)
    np.testing.assert_allclose(norm.buffers["running_mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(norm.buffers["running_var"], var, rtol=1e-5)


def test_training_uses_the_batch_and_evaluation_what_ran_along(rng):
    norm, x = BatchNorm2d(3), (3 * rng.standard_normal((4, 3, 5, 5)) + 2).astype(np.float32)
    out = norm.forward(x, training=True)
    np.testing.assert_allclose(out.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.var((0, 2, 3)), 1, rtol=1e-4)
    mean, var = (norm.buffers[f"running_{kind}"][:, None, None].copy() for kind in ("mean", "var"))
    np.testing.assert_allclose(norm.forward(x, training=False), (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(norm.buffers["running_mean"], mean[:, 0, 0])
    np.testing.assert_array_equal(norm.buffers["running_var"], var[:, 0, 0])


def test_buffers_are_the_arrays_themselves(rng):
    net = resnet_cifar(8)
    held = net.named_buffers()
    net.forward(input_of(net, rng), training=True)
    for name, buffer in net.named_buffers().items():
        assert buffer is held[name]
        assert not (buffer == (1 if name.endswith("var") else 0)).all(), name


def test_a_frozen_batch_norm_keeps_and_uses_its_statistics(rng):
    norm = BatchNorm2d(3)
    norm.buffers["running_mean"][...], norm.buffers["running_var"][...] = [1, 2, 3], [4, 5, 6]
    norm.freeze()
    x = input_of(norm, rng)
    out = norm.forward(x, training=True)
    np.testing.assert_array_equal(norm.buffers["running_mean"], np.float32([1, 2, 3]))
    np.testing.assert_array_equal(norm.buffers["running_var"], np.float32([4, 5, 6]))
    inverse = 1 / np.sqrt(np.reshape([4, 5, 6], (3, 1, 1)) + 1e-5)
    np.testing.assert_allclose(out, (x - np.reshape([1, 2, 3], (3, 1, 1))) * inverse, rtol=1e-5, atol=1e-6)
    dout = upstream(out, rng)
    np.testing.assert_allclose(norm.backward(dout), dout * inverse, rtol=1e-5)  # the statistics are constants


def test_freezing_a_net(rng):
    net, x = resnet_cifar(8, "B"), input_of(BatchNorm2d(3), rng)
    net.forward(x, training=True)
    net.freeze()
    assert all(layer.frozen for layer in all_layers(net))
    assert all(parameter.frozen for parameter in net.named_parameters().values())
    before = {name: array.copy() for name, array in state(net).items()}
    evaluated = net.forward(x, training=False, keep_cache=True)  # as training does: without, fused layers round differently
    out = net.forward(x, training=True)
    np.testing.assert_array_equal(out, evaluated)
    net.backward(upstream(out, rng))
    SGD(net.named_parameters()).step(0.1)
    for name, array in state(net).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_unfreezing_the_head(rng):
    net, x = resnet_cifar(8), input_of(BatchNorm2d(3), rng)
    net.freeze()
    net.children["fc"].freeze(False)
    before = {name: array.copy() for name, array in state(net).items()}
    net.backward(upstream(net.forward(x, training=True), rng))
    SGD(net.named_parameters()).step(0.1)
    assert {name for name, array in state(net).items() if not np.array_equal(array, before[name])} == {
        "fc.weight", "fc.bias"}


def state(net):
    return {name: parameter.data for name, parameter in net.named_parameters().items()} | net.named_buffers()


@every_layer
def test_arguments_are_not_written(make, rng):
    """Not read-only here: of a read-only array the border makes a copy."""
    layer = make()
    x = np.array(input_of(layer, rng))
    x_before = x.copy()
    dout = np.array(upstream(layer.forward(x, training=True), rng))
    dout_before = dout.copy()
    layer.backward(dout)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dout, dout_before)


def test_a_block_adds_its_input(rng):
    """With a zeroed branch a block is the ReLU of its shortcut."""
    x = input_of(BatchNorm2d(3), rng)
    for layer, expected in ((block(3, 3, 1, "A"), x), (block(3, 6, 2, "A"), np.zeros((4, 6, 4, 4), np.float32))):
        layer.children["bn2"].weight.data[...] = 0
        if expected is not x:
            expected[:, 1:4] = x[:, :, ::2, ::2]
        np.testing.assert_array_equal(layer.forward(x, training=True), np.maximum(expected, 0))


def test_gradient_of_the_pictures_only_when_asked(rng):
    net, x = resnet_cifar(8), input_of(BatchNorm2d(3), rng)
    out = net.forward(x, training=True)
    dlogits = upstream(out, rng)
    assert net.backward(dlogits) is None
    net.forward(x, training=True)
    assert net.backward(dlogits, need_dx=True).shape == x.shape


def test_a_layer_without_passes():
    with pytest.raises(NotImplementedError, match="Layer has no forward pass"):
        Layer().forward(np.ones(3), training=True)
    with pytest.raises(NotImplementedError, match="Layer has no backward pass"):
        Layer().backward(np.ones(3))


@pytest.mark.parametrize("state", ["evaluating", "frozen"])
def test_dropout_drops_nothing_but_in_training(rng, state):
    layer, x = dropout(), rng.standard_normal((4, 5)).astype(np.float32)
    layer.freeze(state == "frozen")
    np.testing.assert_array_equal(layer.forward(x, training=state == "frozen", keep_cache=True), x)
    np.testing.assert_array_equal(layer.backward(x), x)
    layer.freeze(False)
    assert not layer.forward(x, training=True).all()
