"""A loss that is not finite stops the run before it spoils the weights, and the first layer at fault is named."""

import warnings

import numpy as np
import pytest

from resnet_np.errors import TrainingError
from resnet_np.layers.watch import leaves
from resnet_np.models import load_checkpoint, resnet_cifar
from resnet_np.models.checkpoint import net_arrays
from resnet_np.optim import SGD
from resnet_np.training import diagnosis, loop, training_step
from resnet_np.training import run as running
from resnet_np.training.loop import train
from resnet_np.workspace import Workspace

pytestmark = pytest.mark.nojit


@pytest.fixture
def net():
    return resnet_cifar(8, "B", classes=3, seed=1)


@pytest.fixture
def x(rng):
    return rng.standard_normal((8, 3, 8, 8)).astype(np.float32)


def learn(net, x):
    """One step, in which nothing but a TrainingError may be said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return training_step(net, SGD(net.named_parameters()), x, np.arange(len(x)) % 3, lr=0.1, workspace=Workspace())


def refusal(net, x):
    parameters = {name: parameter.data.copy() for name, parameter in net.named_parameters().items()}
    with pytest.raises(TrainingError) as found:
        learn(net, x)
    for name, parameter in net.named_parameters().items():
        np.testing.assert_array_equal(parameter.data, parameters[name])  # nothing was learned
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("name", ["layer2.0.conv1.weight", "layer2.0.downsample.0.weight", "layer3.0.bn2.bias", "fc.bias"])
def test_a_parameter_that_is_no_number(net, x, name):
    net.named_parameters()[name].data.flat[3 % net.named_parameters()[name].data.size] = np.nan
    layer, _, key = name.rpartition(".")
    text = refusal(net, x)
    assert text.startswith(f"the loss is nan: the {key} of {layer} (") and text.endswith("is no longer finite")


def test_an_overflow(net, x):
    net.named_parameters()["layer2.0.conv2.weight"].data[...] = 1e38
    text = refusal(net, x)
    assert "layer2.0.conv2 (Conv2d) is the first layer whose output is not finite; its input is finite, up to " in text
    assert "its weight up to 1.0e+38" in text


def test_a_sum_that_overflows(net, x):
    for name in ("layer2.0.bn2.bias", "layer2.0.downsample.1.bias"):
        net.named_parameters()[name].data[...] = 3e38
    assert "layer2.0.relu2 (ReLU) is the first layer whose input is not finite: the two branches" in refusal(net, x)


def test_logits_that_are_too_far_apart(net, x):
    net.named_parameters()["fc.bias"].data[:] = 3e38, -3e38, 0
    assert "the output of every layer is finite, but the logits reach 3.0e+38" in refusal(net, x)


@pytest.mark.parametrize("value, words", [(np.nan, "the pictures of the batch hold NaN"), (np.inf, "hold infinite values")])
def test_pictures(net, x, value, words):
    x[3, 1, 2, 2] = value
    assert words in refusal(net, x)


def test_the_search_leaves_no_trace(net, x):
    before = {name: array.copy() for name, array in net_arrays(net).items()}
    assert "every layer is finite" in diagnosis.why(net, x)
    for name, array in net_arrays(net).items():
        np.testing.assert_array_equal(array, before[name])
    assert all("forward" not in vars(layer) for layer in leaves(net).values())
    learn(net, x)


def test_a_state_that_is_not_worth_keeping(net):
    diagnosis.check_state(net)
    net.named_buffers()["layer3.0.bn1.running_var"][5] = np.inf
    with pytest.raises(TrainingError, match=r"layer3.0.bn1.running_var is no longer finite"):
        diagnosis.check_state(net)


def poison(monkeypatch, t, change):
    """Call change(net, x) before step t of the run."""
    learn, done = running.training_step, []

    def poisoned(net, optimiser, x, labels, **keywords):
        done.append(1)
        if len(done) == t:
            change(net, x)
        return learn(net, optimiser, x, labels, **keywords)

    monkeypatch.setattr(running, "training_step", poisoned)


def plant_nan(net, _):
    net.named_parameters()["layer2.0.conv1.weight"].data[0, 0, 0, 0] = np.nan


def plant_huge(net, _):
    net.named_parameters()["layer2.0.conv1.weight"].data[...] = 3e38


def plant_picture(_, x):
    x[0, 0, 0, 0] = np.nan


@pytest.mark.parametrize("change, words", [
    (plant_nan, "the weight of layer2.0.conv1 (Conv2d) is no longer finite"),
    (plant_huge, "layer2.0.conv1 (Conv2d) is the first layer whose output is not finite"),
    (plant_picture, "the pictures of the batch hold NaN"),
])
def test_the_run_stops_and_its_last_checkpoint_is_good(recipe, pictures, folder, tmp_path, monkeypatch, change, words):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    poison(monkeypatch, 7, change)
    with pytest.raises(TrainingError) as stop:
        train(recipe(), pictures, folder, resume=False, say=lambda _: None, progress=False)
    text = str(stop.value)
    assert text.startswith("training, after step 6: the loss is nan: ") and words in text and "\n" not in text
    assert f"{folder.last} is the last good checkpoint" in text and "lower --lr than 0.05" in text and stop.value.exit_code == 1
    assert load_checkpoint(folder.last).metadata["progress"]["step"] == 6
    # Without the fault it goes on to the weights of a run that never had one.
    monkeypatch.undo()
    train(recipe(), pictures, folder, resume=True, say=lambda _: None, progress=False)
    other = type(folder)(tmp_path / "other")
    other.path.mkdir()
    train(recipe(), pictures, other, resume=False, say=lambda _: None, progress=False)
    ours, theirs = (net_arrays(load_checkpoint(path).net) for path in (folder.last, other.last))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("t, save_seconds", [(5, 0), (8, 60)])  # saved within an epoch, and at its end
def test_weights_that_are_lost_in_the_update_are_not_saved(recipe, pictures, folder, monkeypatch, t, save_seconds):
    monkeypatch.setattr(loop, "SAVE_SECONDS", save_seconds)
    learn, done = running.training_step, []

    def overflowing(net, *arguments, **keywords):
        result = learn(net, *arguments, **keywords)
        done.append(1)
        if len(done) == t:
            net.stem.bn1.bias.data[0] = -np.inf  # which a ReLU would hide
        return result

    monkeypatch.setattr(running, "training_step", overflowing)
    with pytest.raises(TrainingError, match=rf"after step {t}: bn1.bias is no longer finite.*last good checkpoint"):
        train(recipe(), pictures, folder, resume=False, say=lambda _: None, progress=False)
    assert load_checkpoint(folder.last).metadata["progress"]["step"] == 4
