"""Maps, class gradients, Grad-CAM and responses: against hand cases, finite differences and the net's own forward pass."""

import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.layers import BatchNorm2d, Conv2d, ReLU, Sequential, Stem
from resnet_np.layers.watch import leaves
from resnet_np.models import resnet_cifar, resnet_imagenet
from resnet_np.models.inspect import class_gradient, feature_maps, grad_cam, places, responses
from resnet_np.models.resnet import ResNet

pytestmark = pytest.mark.nojit


@pytest.fixture(autouse=True)
def arrays():
    with using("numpy"):
        yield


def tiny(kind="A", **changed):
    """A ResNet-8 in float64 whose batch norms have seen something, so that none is the identity."""
    net = resnet_cifar(8, kind, width=3, classes=4, **changed).astype(np.float64)
    rng = np.random.default_rng(3)
    for layer in leaves(net).values():
        if isinstance(layer, BatchNorm2d):
            layer.weight.data[...] = rng.uniform(0.5, 1.5, layer.weight.data.shape)
            layer.bias.data[...] = rng.uniform(-0.3, 0.3, layer.bias.data.shape)
            layer.buffers["running_mean"][...] = rng.uniform(-0.2, 0.2, layer.weight.data.shape)
            layer.buffers["running_var"][...] = rng.uniform(0.5, 2, layer.weight.data.shape)
    return net


def transparent(fc):
    """A net whose last maps are relu(x), up to batch norm's eps: a 1x1 stem that copies, one stage of a ReLU, and `fc` (K, 3)."""
    rng = np.random.default_rng(0)
    stem = Stem(conv1=Conv2d(3, 3, 1, rng=rng), bn1=BatchNorm2d(3, eps=1e-12), relu=ReLU())
    stem.conv1.weight.data[...] = np.eye(3)[:, :, None, None]
    net = ResNet({"dropout": 0.0, "classes": len(fc)}, stem, {"layer1": Sequential(**{"0": ReLU()})}, 3, rng)
    net.children["fc"].weight.data[...] = fc
    return net.astype(np.float64)


def pictures(rng, count=2, side=8):
    x = rng.standard_normal((count, 3, side, side))
    x.setflags(write=False)
    return x


@pytest.mark.parametrize("net, expected", [
    (resnet_cifar(8), ["stem", "layer1.0", "layer2.0", "layer3.0", "avgpool", "fc"]),
    (resnet_cifar(14, "none", dropout=0.1),
     ["stem", *(f"layer{s}.{b}" for s in (1, 2, 3) for b in (0, 1)), "avgpool", "dropout", "fc"]),
    (resnet_imagenet(18, width=2, classes=3),
     ["stem", "maxpool", *(f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in (0, 1)), "avgpool", "fc"]),
])
def test_the_places_one_after_the_other_are_the_net(net, expected, rng):
    x = rng.standard_normal((1, 3, 32, 32)).astype(np.float32)
    found, out = places(net), x
    assert list(found) == expected
    for part in found.values():
        out = part.forward(out, training=False)
    np.testing.assert_array_equal(out, net.forward(x, training=False))


def test_feature_maps_have_the_shapes_of_the_paper(rng):
    maps = feature_maps(resnet_cifar(8), rng.standard_normal((2, 3, 32, 32)).astype(np.float32))
    assert {name: array.shape for name, array in maps.items()} == {
        "stem": (2, 16, 32, 32), "layer1.0": (2, 16, 32, 32), "layer2.0": (2, 32, 16, 16), "layer3.0": (2, 64, 8, 8)}


def test_grad_cam_by_hand():
    """maps = relu(x); logit of class 0 = mean of channel 0 - mean of channel 1: alpha = (1, -1, 0) / 4 for 2 x 2 pixels."""
    x = np.array([[[[4, 0], [2, -8]], [[1, 1], [0, 0]], [[9, 9], [9, 9]]]], np.float64)
    net = transparent([[1, -1, 0], [0, 0, 2]])
    maps, gradient, logits = class_gradient(net, x, np.array([0]))
    np.testing.assert_allclose(maps, np.maximum(x, 0), rtol=1e-9)
    np.testing.assert_allclose(gradient[0], np.repeat([1, -1, 0], 4).reshape(3, 2, 2) / 4)
    np.testing.assert_allclose(logits - net.children["fc"].bias.data, [[(4 + 0 + 2 + 0) / 4 - (1 + 1) / 4, 2 * 9]], rtol=1e-9)
    # (4 - 1, 0 - 1, 2 - 0, 0 - 0) / 4, without what is negative
    np.testing.assert_allclose(grad_cam(net, x, np.array([0])), [[[0.75, 0], [0.5, 0]]], rtol=1e-9)
    np.testing.assert_allclose(grad_cam(net, x), np.full((1, 2, 2), 18 / 4), rtol=1e-9)  # the answer is class 1


@pytest.mark.parametrize("kind", ["A", "B", "none"])
@pytest.mark.parametrize("at", ["stem", "layer1", "layer2.0", None])
@pytest.mark.parametrize("fused", [False, True])
def test_the_gradient_is_that_of_finite_differences(kind, at, fused, rng):
    net, x, classes = tiny(kind, fused=fused), pictures(rng), np.array([1, 3])
    maps, gradient, logits = class_gradient(net, x, classes, at=at)
    np.testing.assert_allclose(logits, net.forward(x, training=False), rtol=1e-12)
    names = list(places(net))
    above = list(places(net).values())[names.index({"layer1": "layer1.0", None: "layer3.0"}.get(at, at)) + 1:]

    def chosen_logits(maps):
        for part in above:
            maps = part.forward(maps, training=False)
        return maps[[0, 1], classes]

    step = 1e-6  # so small that no ReLU changes its side, but for one time in a million
    for _ in range(5):
        direction = rng.standard_normal(maps.shape)
        numeric = (chosen_logits(maps + step * direction) - chosen_logits(maps - step * direction)) / (2 * step)
        np.testing.assert_allclose((gradient * direction).sum((1, 2, 3)), numeric, rtol=1e-6, atol=1e-8)


def test_at_the_last_block_grad_cam_is_the_class_activation_map(rng):
    """d logit_k / d maps_c = weight[k, c] / (OH OW): behind it there is only the mean and the linear layer. Zhou et al. 2016."""
    net, x = tiny(), pictures(rng, side=32)
    classes = np.array([2, 0])
    maps = feature_maps(net, x)["layer3.0"]
    weight = net.children["fc"].weight.data[classes]  # (N, C)
    cam = np.maximum(np.einsum("nc,nchw->nhw", weight, maps), 0) / 64
    heat = grad_cam(net, x, classes)
    assert heat.shape == (2, 32, 32) and (heat >= 0).all()
    np.testing.assert_allclose(heat.reshape(2, 8, 4, 8, 4)[:, :, 1:3, :, 1:3].mean((2, 4))[:, 1:-1, 1:-1],
                               _smooth(cam)[:, 1:-1, 1:-1], rtol=1e-6)


def _smooth(cam):
    """The mean of the two middle new pixels of each old one, after bilinear interpolation by 4: per axis 1/16, 7/8, 1/16."""
    for axis in (1, 2):
        cam = 0.875 * cam + 0.0625 * (np.roll(cam, 1, axis) + np.roll(cam, -1, axis))
    return cam


def test_every_picture_for_itself(rng):
    net, x = tiny(), pictures(rng, count=3)
    together = grad_cam(net, x, np.array([0, 1, 2]), at="layer2")
    for n in range(3):
        np.testing.assert_allclose(grad_cam(net, x[n:n + 1], np.array([n]), at="layer2")[0], together[n], rtol=1e-10, atol=1e-14)


def test_looking_leaves_no_trace(rng):
    net, x = tiny(dropout=0.3), pictures(rng)
    for parameter in net.named_parameters().values():
        parameter.grad[...] = 7
    grads = {name: parameter.grad for name, parameter in net.named_parameters().items()}
    before = {name: array.copy() for name, array in net.named_buffers().items()}
    grad_cam(net, x, at="stem")
    feature_maps(net, x)
    responses(net, x)
    for name, parameter in net.named_parameters().items():
        assert parameter.grad is grads[name] and (parameter.grad == 7).all()
    for name, buffer in net.named_buffers().items():
        np.testing.assert_array_equal(buffer, before[name])
    assert all(layer._cache is None for layer in leaves(net).values())


def test_float32_stays_float32(rng):
    net = resnet_cifar(8)
    x = rng.standard_normal((1, 3, 16, 16)).astype(np.float32)
    found = class_gradient(net, x)
    assert {array.dtype for array in (*found, grad_cam(net, x))} == {np.dtype(np.float32)}


def test_what_the_net_has_not(rng):
    net, x = tiny(), pictures(rng)
    for at in ("layer4", "fc", "avgpool", "layer", ""):
        with pytest.raises(InputError, match="has them at stem, layer1.0, layer2.0, layer3.0"):
            grad_cam(net, x, at=at)
    for classes in ([4, 0], [-1, 0], [0], [0.5, 1], [[0, 1]], 1, [True, False], ["a", "b"]):
        with pytest.raises(InputError, match="2 whole numbers from 0 to 3, one a picture"):
            grad_cam(net, x, np.array(classes))


@pytest.mark.parametrize("fused", [False, True])
def test_responses(fused, rng):
    net, x = tiny("B", fused=fused), pictures(rng, count=4)
    found = responses(net, x)
    assert list(found) == ["bn1"] + [f"layer{s}.0.bn{b}" for s in (1, 2, 3) for b in (1, 2)]  # no downsample.1
    stem = net.stem
    first, _ = F.conv2d_forward(x, stem.conv1.weight.data, stride=1, pad=1)
    norm, buffers = stem.bn1, stem.bn1.buffers
    scale = norm.weight.data / np.sqrt(buffers["running_var"] + norm.eps)
    response = (first - buffers["running_mean"][:, None, None]) * scale[:, None, None] + norm.bias.data[:, None, None]
    assert found["bn1"] == pytest.approx(response.std(), rel=1e-9)
