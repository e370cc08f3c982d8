"""load_weights: files that are refused, and why: nothing that is another net is ever loaded as one of ours."""

import numpy as np
import pytest

from resnet_np.errors import CheckpointError
from resnet_np.models import load_weights
from resnet_np.models.checkpoint import net_arrays
from resnet_np.models.foreign.weights import WeightsError

pytestmark = pytest.mark.nojit


@pytest.fixture
def broken(trained, written):
    """broken(change) -> the message about a ResNet-18 (width 2) whose arrays `change` has changed, and its report."""
    def broken(change, name="resnet18", **options):
        arrays = dict(net_arrays(trained(name, width=2, **{"stem": "imagenet"} | options)))
        change(arrays)
        path = written(arrays)
        with pytest.raises(WeightsError) as caught:
            load_weights(None, path)
        assert str(caught.value).startswith(f"weights: {path}: ") and "\n" not in str(caught.value)
        return str(caught.value), caught.value.report
    return broken


def drop(*names):
    def change(arrays):
        for name in [name for name in arrays if name.endswith(names)]:
            del arrays[name]
    return change


def put(**arrays):
    def change(target):
        target.update({name.replace("__", "."): np.ones(shape, np.float32) for name, shape in arrays.items()})
    return change


def wide(arrays, factor=2, groups=1):
    """The blocks of wide ResNets and ResNeXts: the inner convolutions of a bottleneck have more filters."""
    for name, array in list(arrays.items()):
        shape = list(array.shape)
        if ".conv1." in name or ".conv2." in name or ".bn1." in name or ".bn2." in name:
            shape[0] *= factor
        if ".conv2." in name or ".conv3." in name:
            shape[1] = shape[1] * factor // (groups if ".conv2." in name else 1)
        arrays[name] = np.ones(shape, np.float32)


@pytest.mark.parametrize("change, words", [
    (drop("layer2.1.bn2.bias"), "1 of its tensors do not fit: layer2.1.bn2.bias is missing; resnet18, 34"),
    (drop("fc.bias"), "fc.bias is missing"),
    (put(fc__weight=(10, 8)), "fc.weight is (10, 8), expected (10, 16)"),
    (put(fc__weight=(10,)), "fc.weight is (10,), expected (10, 16)"),
    (put(conv1__weight=(2, 1, 7, 7)), "conv1.weight is (2, 1, 7, 7), expected (2, 3, 7, 7)"),
    (put(conv1__weight=(2, 3, 5, 5)), "conv1.weight is (2, 3, 5, 5), expected (2, 3, 3, 3)"),
    (put(conv1__weight=()), "conv1.weight is (), expected (2, 3, 3, 3)"),
    (put(conv1__weight=(10**9, 0)), "make up no net that can be built: resnet_imagenet: width is 1000000000, expected"),
    (put(layer1__0__downsample__0__weight=(2, 2, 1, 1)), "layer1.0.downsample.0.weight has no place in it"),
    (put(fc__0__weight=(3, 3)), "fc.0.weight has no place in it"),
    (put(layer5__0__conv1__weight=(3, 3)), "its 5 stages have 2, 2, 2, 2, 1 basic blocks"),
    (put(fc__weight=(1, 16), fc__bias=(1,)), "classes is 1, expected a whole number from 2 to 100,000"),
    (drop("running_mean", "running_var"), "it has no running statistics (group norm"),
])
def test_what_does_not_fit_is_named(broken, change, words):
    assert words in broken(change)[0]


def deep(arrays):
    del arrays["conv1.weight"]
    put(conv1__0__weight=(1, 3, 3, 3), conv1__1__weight=(1,), conv1__3__weight=(1, 1, 3, 3), conv1__6__weight=(2, 1, 3, 3))(arrays)


def averaged(arrays):
    for name in [name for name in arrays if ".downsample." in name]:
        start, _, rest = name.partition(".downsample.")
        arrays[f"{start}.downsample.{'1.' if rest[0] == '0' else '2.'}{rest[2:]}#"] = arrays.pop(name)
    for name in [name for name in arrays if name.endswith("#")]:
        arrays[name[:-1]] = arrays.pop(name)


def preactivated(arrays):
    drop("downsample.1.weight", "downsample.1.bias", "downsample.1.running_mean", "downsample.1.running_var")(arrays)
    for name in [name for name in arrays if name.startswith("bn1.")]:
        del arrays[name]


@pytest.mark.parametrize("change, name, words, tensor", [
    (deep, "resnet50", "a stem of several convolutions", "conv1.0.weight"),
    (averaged, "resnet50", "an average pool in its shortcuts", "downsample.2.weight"),
    (put(layer1__0__se__fc1__weight=(1, 8, 1, 1)), "resnet50", "attention in its blocks (SE, ECA)", "layer1.0.se.fc1.weight"),
    (put(layer1__0__se__conv__weight=(1, 1, 3)), "resnet18", "attention in its blocks (SE, ECA)", "layer1.0.se.conv.weight"),
    (put(conv1__bias=(2,)), "resnet18", "biases in its convolutions", "conv1.bias"),
    (put(layer2__0__aa__filt=(2, 1, 3, 3)), "resnet18", "anti-aliasing", "layer2.0.aa.filt"),
    (put(layer1__0__conv1__weight_g=(2, 1, 1, 1)), "resnet18", "weights in two parts", "layer1.0.conv1.weight_g"),
    (wide, "resnet50", "wider blocks than its first convolution (wide ResNet)", "layer1.0.conv1.weight"),
    (lambda arrays: wide(arrays, 2, 4), "resnet50", "grouped convolutions (ResNeXt)", "layer1.0.conv1.weight"),
    (preactivated, "resnet18", "no batch norm after its first convolution (pre-activation)", "bn1.weight"),
])
def test_other_nets_under_torchvisions_names_are_refused(broken, change, name, words, tensor):
    message, report = broken(change, name)
    assert f"it has {words}" in message and message.endswith("which the nets here have not")
    tensors = [*report.missing, *report.unknown, *(found[0] for found in report.mis_shaped)]
    assert any(tensor in found for found in tensors) and any(found in message for found in tensors)


def test_the_report_of_a_refused_file_lists_everything(broken):
    def change(arrays):
        del arrays["bn1.running_var"], arrays["layer2.1.bn2.bias"]
        put(fc__bias=(9,), extra__weight=(3,))(arrays)
    message, report = broken(change)
    lines = report.lines()
    assert "mis-shaped 1: fc.bias (9,) instead of (10,)" in lines and "unknown    1: extra.weight" in lines
    assert "missing    2: bn1.running_var, layer2.1.bn2.bias" in lines and "mapped     99 tensors" in lines
    assert ("4 of its tensors do not fit: fc.bias is (9,), expected (10,); bn1.running_var is missing; layer2.1.bn2.bias is "
            "missing; and 1 more") in message


@pytest.mark.parametrize("name, size", [("conv1.weight", 294), ("layer3.1.bn2.running_var", 8), ("fc.bias", 10)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(broken, name, size, value):
    def change(arrays):
        arrays[name].flat[-1] = value
    assert f"1 of the {size} numbers of {name} are infinite or not a number" in broken(change)[0]


def test_a_negative_variance(broken):
    def change(arrays):
        arrays["layer3.1.bn2.running_var"][1] = -0.25
    assert "layer3.1.bn2.running_var holds -0.25, expected variances of at least 0" in broken(change)[0]


def test_quantised_weights(broken):
    def change(arrays):
        arrays["conv1.weight"] = arrays["conv1.weight"].astype(np.int8)
    assert "conv1.weight holds int8 numbers, expected floats" in broken(change)[0]


def test_a_depth_beyond_the_deepest(written):
    """The message, and not the memory of such a net."""
    arrays = {f"layer{stage}.{i}.conv1.weight": np.zeros(0, np.float32) for stage in (1, 2, 3) for i in range(300)}
    with pytest.raises(WeightsError, match="make up no net that can be built: resnet_cifar: depth 1802 does not exist"):
        load_weights(None, written(arrays))


@pytest.mark.parametrize("content, words", [
    (b"", "it is empty"), (b"<!DOCTYPE html>", "it is a web page"), (b"PK\3\4" + bytes(26) + b"header.npy", "cannot be read"),
])
def test_files_that_are_no_weights(tmp_path, content, words):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        load_weights(None, path)
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_weights(None, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="it is a folder"):
        load_weights(None, tmp_path)
