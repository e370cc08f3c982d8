"""Fine-tuning: what learns, at which rate, when; features that are computed once; a run that resumes to the same bits."""

import json

import numpy as np
import pytest

from resnet_np.data import CIFAR10, Normaliser
from resnet_np.errors import InputError, TrainingError
from resnet_np.models import Checkpoint, load_checkpoint, resnet_cifar, resnet_fast
from resnet_np.models.checkpoint import net_arrays
from resnet_np.training import loop, provenance
from resnet_np.training import run as running
from resnet_np.training.finetune import FinetuneRun
from resnet_np.training.finetune_config import FinetuneConfig, finetune_preset
from resnet_np.training.run_folder import RunFolder

pytestmark = pytest.mark.nojit


@pytest.fixture
def source():
    """Weights of a ResNet-8 for other classes."""
    return Checkpoint(resnet_cifar(8, classes=3, seed=9), CIFAR10, ("a", "b", "c"), image_size=8)


@pytest.fixture
def recipe():
    def make(name="whole", **changes):
        return finetune_preset(name, **({"weights": "w.npz", "epochs": 2, "batch_size": 16} | changes))
    return make


def carry_out(run, resume=False):
    lines = []
    result = loop.carry_out(run, resume=resume, say=lines.append, progress=False)
    return result, "\n".join(lines)


def test_a_run(source, recipe, pictures, folder):
    before = {name: array.copy() for name, array in net_arrays(source.net).items()}
    result, lines = carry_out(FinetuneRun(recipe(epochs=4), pictures, folder, source))
    assert "a new head of 2 classes, nothing frozen" in lines
    assert result["test_accuracy"] > 0.9  # chance is half
    best = load_checkpoint(folder.best)
    assert best.net.architecture["classes"] == 2 and best.class_names == ("dark", "bright") and best.image_size == 8
    np.testing.assert_array_equal(best.normaliser.mean, CIFAR10.mean)  # the weights' own, not the pictures'
    for name, array in net_arrays(source.net).items():
        np.testing.assert_array_equal(array, before[name])
    assert FinetuneConfig.from_json(json.loads(folder.config.read_text())) == recipe(epochs=4, head="new")


@pytest.mark.parametrize("freeze", ["none", "1", "trunk"])
def test_a_fast_net(recipe, pictures, folder, freeze):
    """Its whitening and its gammas of 1 never learn, whatever thaws; its stem is the conv1 and the bias behind it."""
    net = resnet_fast(8, width=24, classes=3)
    net.stem.whiten(np.random.default_rng(0).standard_normal((50, 3, 16, 16)))
    source = Checkpoint(net, CIFAR10, ("a", "b", "c"), image_size=16)
    run = FinetuneRun(recipe(freeze=freeze, image_size=16, stage_lr_mult=0.5), pictures, folder, source)
    assert any("for the stem" in note for note in run.notes()) == (freeze == "none")
    _, lines = carry_out(run)
    assert ("features" in lines) == (freeze == "trunk")
    before, after = net_arrays(net), net_arrays(load_checkpoint(folder.last).net)
    same = {name for name, array in before.items() if name in after and np.array_equal(array, after[name])}
    assert {"conv1.weight", "layer1.0.bn.weight", "layer3.1.bn1.weight"} <= same
    assert ("bias.bias" in same, "layer2.0.conv.weight" in same) == (freeze != "none", freeze == "trunk")
    assert "fc.weight" not in same


def test_pictures_too_small_for_the_pools_of_a_fast_net(recipe, pictures, folder):
    source = Checkpoint(resnet_fast(8, width=24, classes=3), CIFAR10, ("a", "b", "c"), image_size=16)
    with pytest.raises(InputError, match="--image-size: fast8 needs pictures of at least 9 pixels a side, got 8; give"):
        FinetuneRun(recipe(image_size=8), pictures, folder, source)


def test_rates(source, recipe, pictures, folder):
    rates = FinetuneRun(recipe(stage_lr_mult=0.5), pictures, folder, source)._rates()
    assert rates["conv1.weight"] == rates["bn1.bias"] == 0.125 and rates["layer1.0.conv1.weight"] == 0.25
    assert (rates["layer3.0.bn2.weight"], rates["fc.weight"], rates["fc.bias"]) == (1.0, 10.0, 10.0)
    assert FinetuneRun(recipe(head_lr_mult=3), pictures, folder, source)._rates()["fc.weight"] == 3
    assert set(FinetuneRun(recipe(), pictures, folder, source)._rates().values()) == {1.0, 10.0}
    known = Checkpoint(resnet_cifar(8, classes=2), CIFAR10, pictures.classes)  # its head is kept: the pictures are what is new
    rates = FinetuneRun(recipe(), pictures, folder, known)._rates()
    assert [rates[name] for name in ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.bn1.bias", "fc.weight")] == [8, 4, 1, 1]


def test_rates_are_said_of_what_learns(source, recipe, pictures, folder):
    known = Checkpoint(resnet_cifar(8, classes=2), CIFAR10, pictures.classes)

    def said(source, **changes):
        return [note for note in FinetuneRun(recipe(**changes), pictures, folder, source).notes() if "learning rates" in note]

    assert said(known) == ["learning rates: 8 times that of the last stage for the stem, 1 times for the head"]
    assert said(source, freeze="1") == ["learning rates: 1 times that of the last stage for layer2, 10 times for the head"]
    assert said(known, freeze="trunk") == said(known, freeze="2") == []  # one rate is left
    assert said(known, freeze="trunk", unfreeze_at=2) == said(known)


def test_rates_are_obeyed(source, recipe, pictures, folder):
    """After one step without momentum from zero velocities each weight has moved by rate x gradient."""
    plain = {"momentum": 0, "nesterov": False, "weight_decay": 0, "max_steps": 1, "epochs": 1}
    run = FinetuneRun(recipe(stage_lr_mult=0.5, **plain), pictures, folder, source)
    before = {name: p.data.copy() for name, p in run.net.named_parameters().items()}
    carry_out(run)
    last = load_checkpoint(folder.last).net.named_parameters()
    gradients = {name: p.grad for name, p in run.net.named_parameters().items()}
    for name, rate in run._rates().items():
        np.testing.assert_allclose(before[name] - last[name].data, run.rate(1) * rate * gradients[name], rtol=1e-3, atol=1e-6)


def test_heads(source, recipe, pictures, folder):
    known = Checkpoint(resnet_cifar(8, classes=2, seed=4), CIFAR10, pictures.classes)
    fc = known.net.children["fc"].weight.data
    np.testing.assert_array_equal(FinetuneRun(recipe(), pictures, folder, known).net.children["fc"].weight.data, fc)
    fresh = FinetuneRun(recipe(head="new"), pictures, folder, known).net.children["fc"].weight.data
    assert not np.array_equal(fresh, fc)
    with pytest.raises(InputError, match="--head keep: the weights know the classes a, b, c, ... but the pictures are of dark"):
        FinetuneRun(recipe(head="keep"), pictures, folder, source)


@pytest.mark.parametrize("freeze, learns", [("none", "conv1 bn1 layer1 layer2 layer3 fc"), ("1", "layer2 layer3 fc"), ("3", "fc"),
                                            ("trunk", "fc")])
def test_what_learns(source, recipe, pictures, folder, freeze, learns):
    carry_out(FinetuneRun(recipe(freeze=freeze, epochs=1), pictures, folder, source))
    found = net_arrays(load_checkpoint(folder.last).net)
    moved = {name.partition(".")[0] for name, array in net_arrays(source.net).items()
             if array.shape != found[name].shape or not np.array_equal(array, found[name])}
    assert moved == set(learns.split())  # statistics included


def test_gradual_unfreezing(source, recipe, pictures, folder):
    run = FinetuneRun(recipe("gradual", epochs=5, unfreeze_at=3), pictures, folder, source)
    seen = []
    for epoch in range(1, 8):
        run.begin_epoch(epoch)
        seen.append(sorted({name.partition(".")[0] for name, p in run.net.named_parameters().items() if not p.frozen}))
    assert seen == [["fc"], ["fc"], ["fc", "layer3"], ["fc", "layer2", "layer3"], ["fc", "layer1", "layer2", "layer3"],
                    ["bn1", "conv1", "fc", "layer1", "layer2", "layer3"], ["bn1", "conv1", "fc", "layer1", "layer2", "layer3"]]


def test_features_are_computed_once_and_change_nothing(source, recipe, pictures, tmp_path):
    """A head on cached features learns what it learns at the end of the frozen net, up to rounding."""
    folders = [RunFolder(tmp_path / name) for name in ("cached", "whole")]
    for folder in folders:
        folder.path.mkdir()
    cached = FinetuneRun(recipe("head", dropout=0.2), pictures, folders[0], source)
    result, lines = carry_out(cached)
    assert "80 pictures went through the frozen trunk once" in lines
    assert cached.learner is not cached.net
    whole = FinetuneRun(recipe("head", dropout=0.2), pictures, folders[1], source)
    whole.prepare = lambda say: None
    other, _ = carry_out(whole)
    assert result["test_loss"] == pytest.approx(other["test_loss"], rel=1e-4)
    nets = [net_arrays(load_checkpoint(folder.last).net) for folder in folders]
    for name, array in nets[0].items():
        np.testing.assert_allclose(array, nets[1][name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("changes, reason", [
    ({"augment": True}, "cropped and mirrored anew (--no-augment)"), ({"cutout": 2}, "--cutout"), ({"mixup": 0.2}, "--mixup"),
    ({"unfreeze_at": 2}, "--unfreeze-at")])
def test_it_says_that_it_cannot_cache(source, recipe, pictures, folder, changes, reason):
    _, lines = carry_out(FinetuneRun(recipe("head", **changes), pictures, folder, source))
    assert "features   cannot be kept from epoch to epoch" in lines and reason in lines


@pytest.mark.parametrize("name, changes", [("whole", {}), ("head", {"dropout": 0.3}), ("gradual", {"unfreeze_at": 2, "epochs": 3})])
def test_a_run_that_is_stopped_resumes_to_the_same_bits(source, recipe, pictures, tmp_path, name, changes):
    config = recipe(name, **changes)
    through, stopped = RunFolder(tmp_path / "through"), RunFolder(tmp_path / "stopped")
    for folder in (through, stopped):
        folder.path.mkdir()
    carry_out(FinetuneRun(config, pictures, through, source))
    first = FinetuneRun(config, pictures, stopped, source)
    step, steps = running.training_step, []

    def stop_in_the_second_epoch(*arguments, **keywords):
        steps.append(1)
        if len(steps) > 3 + first.loader.steps_per_epoch + 1:  # three steps were a trial
            raise TrainingError("the power is gone")
        return step(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "training_step", stop_in_the_second_epoch)
        patch.setattr("resnet_np.training.report.training_step", stop_in_the_second_epoch)
        with pytest.raises(TrainingError, match="the power is gone"):
            carry_out(first)
    checkpoint = stopped.newest()[1]
    carry_out(FinetuneRun(FinetuneConfig.from_json(stopped.read_config()), pictures, stopped, checkpoint), resume=True)
    ours, theirs = (load_checkpoint(folder.last) for folder in (stopped, through))
    for arrays, others in ((net_arrays(ours.net), net_arrays(theirs.net)), (ours.velocities, theirs.velocities)):
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, others[key], err_msg=key)


def test_a_trunk_frozen_by_its_number_is_a_frozen_trunk(source, recipe, pictures, folder):
    _, lines = carry_out(FinetuneRun(recipe(freeze="3", augment=False), pictures, folder, source))
    assert "80 pictures went through the frozen trunk once" in lines


def test_pictures_of_another_size_than_the_weights_know(source, recipe, pictures, folder):
    source.image_size, source.crop = 32, 0.875
    run = FinetuneRun(recipe(), pictures, folder, source)
    assert ("the weights were trained on pictures of 32 pixels, these have 8; --image-size 32 would cost 16 times the work"
            in run.notes())
    assert (run.image_size, run.crop) == (8, 1.0)  # nothing was cut off these, so nothing may be cut off a photo either


def test_a_mean_picture_of_another_size(source, recipe, pictures, folder):
    source.normaliser = Normaliser.per_pixel(pictures.train_images)
    FinetuneRun(recipe(), pictures, folder, source)
    with pytest.raises(InputError, match="pictures have 16 pixels, but the weights subtract a mean picture of 8"):
        FinetuneRun(recipe(image_size=16), pictures, folder, source)
    FinetuneRun(recipe(image_size=16, normaliser="channel"), pictures, folder, source)


def test_pictures_that_were_trained_on_are_not_held_back(source, recipe, pictures, folder):
    source.metadata = {"dataset": provenance.fingerprint(pictures), "config": {"split_seed": 1}}
    with pytest.raises(InputError, match="--split-seed: got 0, but the weights were trained on the same pictures with split 1"):
        FinetuneRun(recipe(), pictures, folder, source)
    FinetuneRun(recipe(split_seed=1), pictures, folder, source)


def test_another_size(source, recipe, pictures, folder):
    _, lines = carry_out(FinetuneRun(recipe(image_size=16, epochs=1), pictures, folder, source))
    assert "resized from 8 to 16 pixels a side: 4 times the work" in lines
    assert load_checkpoint(folder.best).image_size == 16


@pytest.mark.parametrize("changes, words", [
    ({"weights": ""}, "--weights: got nothing"),
    ({"freeze": "head"}, "--freeze: got head"), ({"freeze": "0"}, "--freeze: got 0"),
    ({"unfreeze_at": 2}, "--unfreeze-at: got 2, expected a --freeze that it ends"),
    ({"freeze": None}, "--freeze: got None, expected a text"), ({"unfreeze_at": True}, "--unfreeze-at: got True, expected a whole"),
    ({"head_lr_mult": "a"}, "--head-lr-mult: got a, expected a number"), ({"stage_lr_mult": None}, "--stage-lr-mult: got None"),
    ({"fused": 1}, "--fused: got 1, expected True or False"), ({"milestones": ["a"]}, "--milestones: got a, expected numbers"),
    ({"head_lr_mult": -1}, "--head-lr-mult: got -1"),
    ({"stage_lr_mult": -0.5}, "--stage-lr-mult: got -0.5"), ({"stage_lr_mult": 1e300}, "--stage-lr-mult: got 1e.300"),
    ({"unfreeze_at": 3, "freeze": "trunk"}, "--unfreeze-at: got 3, expected at most --epochs .2."),
    ({"unfreeze_at": -1, "freeze": "trunk"}, "--unfreeze-at: got -1"),
    ({"head": "none"}, "--head: got none"), ({"image_size": 5000}, "--image-size: got 5000, expected at most 1,024")])
def test_nonsense_is_refused(recipe, changes, words):
    with pytest.raises(InputError, match=words):
        recipe(**changes)


def test_stages_may_be_numbers_in_python():
    assert finetune_preset("whole", weights="w", freeze=2) == finetune_preset("whole", weights="w", freeze="2")


def test_lists_and_numbers_of_numpy_are_taken_too():
    given = finetune_preset("whole", weights="w", lr=np.float32(0.5), epochs=np.int64(3), milestones=[np.float64(0.25), 0.5])
    assert given == finetune_preset("whole", weights="w", lr=0.5, epochs=3, milestones=(0.25, 0.5))
    assert type(given).from_json(json.loads(json.dumps(given.to_json()))) == given


def test_the_defaults_are_a_preset():
    assert FinetuneConfig(weights="w") == finetune_preset("whole", weights="w")


def test_what_only_the_net_can_refuse(source, recipe, pictures, folder):
    with pytest.raises(InputError, match="--freeze: got 4, but resnet8 has 3 stages"):
        FinetuneRun(recipe(freeze="4"), pictures, folder, source)
    with pytest.raises(InputError, match="--preset: got all"):
        finetune_preset("all", weights="w")
