"""load_weights: the same bits, what is assumed, and what is asked for instead."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from data_tools import cifar
from resnet_np.data import CIFAR10, Normaliser
from resnet_np.errors import CheckpointError, InputError
from resnet_np.models import Checkpoint, build, load_weights, save_checkpoint
from resnet_np.models.checkpoint import load_checkpoint, net_arrays
from resnet_np.models.foreign.weights import WeightsError

pytestmark = pytest.mark.nojit

CASES = [
    # dialect, name, options, classes; normaliser, image size, crop
    ("torchvision", "resnet18", {"stem": "imagenet"}, 1000, "imagenet", 224, 0.875),
    ("torchvision", "resnet50", {"stem": "imagenet"}, 5, "imagenet", 224, 0.875),
    ("torchvision", "resnet18", {"stem": "cifar"}, 10, "cifar10", 32, 1.0),
    ("Hugging Face", "resnet50", {"stem": "imagenet"}, 1000, "imagenet", 224, 0.875),
    ("Hugging Face", "resnet18", {"stem": "imagenet"}, 2, "imagenet", 224, 0.875),
    ("kuangliu CIFAR", "resnet18", {"stem": "cifar"}, 10, "cifar10-0.2023", 32, 1.0),
    ("kuangliu CIFAR", "resnet50", {"stem": "cifar"}, 100, "cifar10-0.2023", 32, 1.0),
    ("akamaster CIFAR", "resnet20", {}, 10, "imagenet", 32, 1.0),
    ("akamaster CIFAR", "resnet20", {"shortcut": "B"}, 10, "imagenet", 32, 1.0),
    ("chenyaofo CIFAR", "resnet20", {"shortcut": "B"}, 10, "cifar10-0.2023", 32, 1.0),
    ("chenyaofo CIFAR", "resnet20", {"shortcut": "B"}, 100, "cifar100", 32, 1.0),
]
STATISTICS = {  # mean, std; FACTS.md, and the CIFAR-100 logs of pytorch-cifar-models
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "cifar10-0.2023": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    "cifar100": ([0.5070, 0.4865, 0.4409], [0.2673, 0.2564, 0.2761]),
}


@pytest.fixture
def resnet8(trained, spelled, written):
    """A file of akamaster's names, and the net in it."""
    net = trained("resnet8", width=2)
    return net, written(spelled(net_arrays(net), "akamaster CIFAR", "module."))


def same(net, other):
    ours, theirs = net_arrays(net), net_arrays(other)
    return ours.keys() == theirs.keys() and all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


@pytest.mark.parametrize("dialect, name, options, classes, normaliser, image_size, crop", CASES)
def test_what_a_file_says_and_what_is_assumed(
    trained, spelled, written, dialect, name, options, classes, normaliser, image_size, crop
):
    net = trained(name, **options, width=4, classes=classes)
    arrays = spelled(net_arrays(net) | {"bn1.num_batches_tracked": np.array(5)}, dialect)
    path = written(arrays)
    imported = load_weights(None, path)
    checkpoint, report = imported.checkpoint, imported.report
    assert same(checkpoint.net, net) and checkpoint.net.architecture == net.architecture
    mean, std = STATISTICS[normaliser]
    np.testing.assert_array_equal(checkpoint.normaliser.mean.ravel(), np.float32(mean))
    np.testing.assert_array_equal(checkpoint.normaliser.std.ravel(), np.float32(std))
    assert (checkpoint.image_size, checkpoint.crop, len(checkpoint.class_names)) == (image_size, crop, classes)
    assert (report.dialect, report.container, report.mapped) == (dialect, "npz", len(net_arrays(net)))
    assert report.left_over == tuple(key for key in arrays if key.endswith("tracked")) and len(report.left_over) == 1
    assert (report.missing, report.unknown, report.mis_shaped) == ((), (), ())
    expected = {"normaliser": normaliser, "image_size": str(image_size), "crop": str(crop)}
    if name == "resnet50":
        expected["stride_in"] = "3x3"
    if dialect == "akamaster CIFAR" and not options:
        expected["zero_pad"] = "both"
    assert {key: value for key, value in report.assumed.items() if key != "class_names"} == expected
    assert checkpoint.metadata == {"imported": {
        "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "container": "npz", "dialect": dialect,
        "assumed": report.assumed}}
    text = report.lines()
    assert text[0] == f"file       {path.name}: npz, names of {dialect}"
    assert text[1].startswith(f"net        {name}, ") and text[1].endswith(f"width 4, {classes:,} classes")
    assert f"normaliser {normaliser}, " in " ".join(text) and f"mapped     {len(net_arrays(net))} tensors" in text
    assert f"left over  1: {report.left_over[0]}" in text and not any(line.startswith("missing") for line in text)


@pytest.mark.parametrize("classes, assumed, some", [
    (10, "CIFAR-10's", {0: "airplane", 9: "truck"}),
    (1000, "ImageNet's", {0: "tench", 134: "crane bird", 281: "tabby", 517: "crane", 999: "toilet tissue"}),
    (100, "class 0 to class 99", {99: "class 99"}), (3, "class 0 to class 2", {1: "class 1"}),
])
def test_the_names_of_the_classes(trained, written, classes, assumed, some):
    imported = load_weights(None, written(net_arrays(trained("resnet8", width=2, classes=classes))))
    names = imported.checkpoint.class_names
    assert len(names) == len(set(names)) == classes and all(name.strip() == name != "" for name in names)
    assert {number: names[number] for number in some} == some and imported.report.assumed["class_names"] == assumed
    if classes == 10:
        assert names == cifar.CLASSES  # `evaluate` holds them against the data set's


def test_everything_assumed_can_be_said(resnet8):
    net, path = resnet8
    names = [f"letter {letter}" for letter in "abcdefghij"]
    imported = load_weights(None, path, zero_pad="end", normaliser="cifar10", class_names=names, image_size=40, crop=0.5)
    checkpoint = imported.checkpoint
    assert imported.report.assumed == {} and checkpoint.metadata["imported"]["assumed"] == {}
    assert checkpoint.net.architecture == net.architecture | {"zero_pad": "end"} and checkpoint.class_names == tuple(names)
    assert (checkpoint.image_size, checkpoint.crop) == (40, 0.5)
    np.testing.assert_array_equal(checkpoint.normaliser.std, CIFAR10.std)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8), np.float32)
    both = load_weights(None, path).checkpoint.net.forward(x, training=False)
    assert np.abs(checkpoint.net.forward(x, training=False) - both).max() > 1e-3  # it is another net


def test_the_place_of_the_stride_can_be_said(trained, written):
    net = trained("resnet50", width=2)
    imported = load_weights(None, written(net_arrays(net)), stride_in="1x1")
    assert imported.checkpoint.net.architecture == net.architecture | {"stride_in": "1x1"}
    assert "stride_in" not in imported.report.assumed


@pytest.mark.parametrize("normaliser, mean, std", [
    ("0.1,0.2,0.3,0.4,0.5,0.6", [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]),
    (Normaliser.channels((0.5, 0.6, 0.7), (1, 2, 3)), [0.5, 0.6, 0.7], [1, 2, 3]),
])
def test_a_normaliser_of_ones_own(resnet8, normaliser, mean, std):
    found = load_weights(None, resnet8[1], normaliser=normaliser).checkpoint.normaliser
    np.testing.assert_array_equal(found.mean.ravel(), np.float32(mean))
    np.testing.assert_array_equal(found.std.ravel(), np.float32(std))


@pytest.mark.parametrize("model, wishes, words", [
    (None, {"zero_pad": "left"}, "zero_pad: got 'left', expected both or end"),
    (None, {"stride_in": "1x1"}, "stride_in: it is for nets with bottlenecks, and this one has none"),
    (None, {"stride_in": "2x2"}, "stride_in: got '2x2', expected 3x3 or 1x1"),
    (None, {"normaliser": "imagnet"}, "normaliser: got 'imagnet', expected imagenet, cifar10, cifar10-0.2023, cifar100, or three"),
    (None, {"normaliser": "0.1,0.2,0.3,4,5,0"}, "normaliser: std must be above 0"),
    (None, {"class_names": ["a", "b"]}, "class names: got 2, expected 10"),
    (None, {"class_names": ["a"] * 10}, "class names: 'a' occurs 10 times"),
    (None, {"class_names": [*"abcdefghi", " "]}, "class names: number 10 is ' ', expected a text of 1 to 200 letters"),
    (None, {"class_names": [*"abcdefghi", "a\x1b[31m"]}, r"class names: number 10 is 'a\x1b[31m', expected a text"),
    (None, {"class_names": [*"abcdefghi", "b" * 201]}, "class names: number 10 is 'bbb"),
    (None, {"class_names": range(10)}, "class names: number 1 is 0, expected a text"),
    (None, {"image_size": 0}, "image_size: got 0, expected a whole number of pixels from 1 to 1,024"),
    (None, {"image_size": 32.0}, "image_size: got 32.0"),
    (None, {"crop": 0.0}, "crop: got 0.0, expected a number from 0.1 to 1"),
    (None, {"crop": True}, "crop: got True, expected a number"),
    (None, {"normaliser": 5}, "normaliser: got a int, expected a name or a Normaliser"),
    (None, {"class_names": 5}, "class names: got a int, expected a list of texts"),
    (None, {"class_names": "abcdefghij"}, "class names: got a str, expected a list of texts"),
    (None, {"classes": 0}, "classes: got 0, expected a whole number from 2 to 100,000"),
    (None, {"classes": 10**12}, "classes: got 1000000000000, expected"),
    (None, {"classes": 2.0}, "classes: got 2.0, expected"),
    (None, {"crop": float("nan")}, "crop: got nan"),
    (None, {"classes": 4}, "has a head of 10 outputs already"),
    ("resnet21", {}, "resnet20 and resnet26"),
    (8, {}, "load_weights: got a int, expected a ResNet, a name such as resnet20, or None"),
])
def test_arguments_that_make_no_sense(resnet8, model, wishes, words):
    with pytest.raises(InputError) as caught:
        load_weights(model, resnet8[1], **wishes)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_zeros_of_a_net_without_option_a(trained, written):
    path = written(net_arrays(trained("resnet8", width=2, shortcut="B")))
    with pytest.raises(InputError, match="zero_pad: it is for nets with option-A shortcuts, and this one has none"):
        load_weights(None, path, zero_pad="both")


def test_what_changes_nothing_is_left_over(resnet8, written):
    with np.load(resnet8[1]) as found:
        arrays = dict(found)
    others = {"module.bn1.num_batches_tracked": np.array(7), "epoch": np.array(3), "n_averaged": np.array(2),
              "module.optimizer.exp_avg": np.ones(3, np.float32), "module.criterion.weight": np.ones(10, np.float32)}
    report = load_weights(None, written(arrays | others)).report
    assert set(report.left_over) == {*others} and report.unknown == () and report.mapped == 37
    assert any(line.startswith("left over  5: ") and line.endswith(" and 2 more") for line in report.lines())


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module.", "net.", "module.encoder_q.", "trunk.resnet."])
@pytest.mark.parametrize("dialect", ["torchvision", "Hugging Face", "akamaster CIFAR"])
def test_a_net_under_any_name(trained, spelled, written, dialect, prefix):
    """And beside it what belongs to its training alone."""
    net = trained("resnet8", width=2) if dialect == "akamaster CIFAR" else trained("resnet18", stem="imagenet", width=2, classes=3)
    training = {"criterion.weight": np.ones(3, np.float32), "optimizer.layer1.0.conv1.weight": np.ones(3, np.float32)}
    imported = load_weights(None, written(spelled(net_arrays(net), dialect, prefix) | training))
    assert same(imported.checkpoint.net, net) and imported.report.left_over == tuple(training)


def test_two_nets_in_one_file(trained, spelled, written):
    nets = {f"module.encoder_{name}.": net_arrays(trained("resnet8", width=2)) for name in "qk"}
    arrays = {name: array for prefix, net in nets.items() for name, array in spelled(net, "torchvision", prefix).items()}
    with pytest.raises(CheckpointError, match="it holds 2 nets, under module.encoder_q., module.encoder_k.; save one"):
        load_weights(None, written(arrays))


@pytest.mark.parametrize("name", ["logit_scale", "module.layer1.0.alpha"])
def test_a_single_float_may_change_what_is_computed(resnet8, written, name):
    """A residual branch times 0.25 (ReZero), logits times 14: another net."""
    with np.load(resnet8[1]) as found:
        arrays = dict(found)
    with pytest.raises(CheckpointError, match=f"{name} has no place in it"):
        load_weights(None, written(arrays | {name: np.array(0.25, np.float32)}))


def test_ten_classes_of_an_imagenet_net_are_not_those_of_cifar(trained, written):
    imported = load_weights(None, written(net_arrays(trained("resnet18", stem="imagenet", width=2, classes=10))))
    assert imported.report.assumed["class_names"] == "class 0 to class 9"


def test_half_precision_compressed(trained, tmp_path):
    """Random numbers, of which deflate takes a tenth off."""
    net = trained("resnet18", width=16)
    arrays = {name: array.astype(np.float16) for name, array in net_arrays(net).items()}
    np.savez_compressed(tmp_path / "net.npz", **arrays)
    found = net_arrays(load_weights(None, tmp_path / "net.npz").checkpoint.net)
    assert sum(array.nbytes for array in found.values()) > 2.1 * (tmp_path / "net.npz").stat().st_size
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


# A net, or the name of one
def test_a_name_is_held_against_the_file(resnet8):
    assert same(load_weights("resnet8", resnet8[1]).checkpoint.net, resnet8[0])
    with pytest.raises(CheckpointError) as caught:
        load_weights("resnet20", resnet8[1])
    assert str(caught.value) == (f"weights: {resnet8[1]}: it holds resnet8, shortcut A (zeros half before, half after), width 2, "
                                 "10 classes, expected a resnet20")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_net_is_filled_in_place(resnet8, dtype):
    ours, path = resnet8
    net = build("resnet8", width=2, dropout=0.5, fused=False, seed=9)  # how it computes and trains is no business of the file
    net.astype(dtype)
    before = {name: id(array) for name, array in net_arrays(net).items()}
    imported = load_weights(net, path)
    assert imported.checkpoint.net is net and {name: id(array) for name, array in net_arrays(net).items()} == before
    for name, array in net_arrays(net).items():
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, net_arrays(ours)[name])


@pytest.mark.parametrize("options", [{"width": 3}, {"zero_pad": "end"}, {"shortcut": "B"}, {"classes": 9}])
def test_another_net_is_left_alone(resnet8, options):
    net = build("resnet8", **{"width": 2} | options, seed=9)
    before = {name: array.copy() for name, array in net_arrays(net).items()}
    with pytest.raises(CheckpointError, match=r"it holds resnet8, shortcut A \(.*\), width 2, 10 classes, but the net") as caught:
        load_weights(net, resnet8[1])
    assert ("; the file does not say zero_pad" in str(caught.value)) == ("zero_pad" in options)
    for name, array in net_arrays(net).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_net_is_left_alone_by_a_damaged_file(trained, spelled, written):
    arrays = spelled(net_arrays(trained("resnet8", width=2)), "akamaster CIFAR")
    arrays["linear.bias"][3] = np.nan  # the last tensor
    net = build("resnet8", width=2, seed=9)
    before = {name: array.copy() for name, array in net_arrays(net).items()}
    with pytest.raises(CheckpointError, match="1 of the 10 numbers of linear.bias are infinite or not a number"):
        load_weights(net, written(arrays))
    assert all(np.array_equal(array, before[name]) for name, array in net_arrays(net).items())


def test_a_net_that_differs_in_what_no_file_says(trained, written, resnet8):
    with pytest.raises(CheckpointError) as caught:
        load_weights(build("resnet8", width=2, zero_pad="end"), resnet8[1])
    assert str(caught.value).endswith("(zeros after), width 2, 10 classes; the file does not say zero_pad: if it is that of the "
                                      "net, pass zero_pad='end'")
    net = build("resnet8", width=2, zero_pad="end", seed=9)
    load_weights(net, resnet8[1], zero_pad="end")
    assert same(net, resnet8[0])
    # Neither makes a difference to these.
    for name, options in ("resnet8", {"shortcut": "B", "zero_pad": "end"}), ("resnet18", {"stride_in": "1x1"}):
        ours, net = trained(name, width=2, **options), build(name, width=2, **options, seed=9)
        load_weights(net, written(net_arrays(ours)))
        assert same(net, ours)


# Checkpoints of ours
def test_a_checkpoint_of_ours(trained, tmp_path):
    net = trained("plain8", width=2, dropout=0.25)
    for layer in net.children["bn1"], net.children["layer1"].children["0"].children["bn1"]:
        layer.eps = 1e-3
    checkpoint = Checkpoint(net, CIFAR10, tuple("abcdefghij"), {"epoch": 3}, {}, 48, 0.75)
    save_checkpoint(tmp_path / "best.npz", checkpoint)
    imported = load_weights("plain8", tmp_path / "best.npz")
    assert same(imported.checkpoint.net, net) and imported.checkpoint.net.architecture == net.architecture
    assert (imported.checkpoint.metadata, imported.checkpoint.image_size, imported.checkpoint.crop) == ({"epoch": 3}, 48, 0.75)
    assert imported.report.lines() == ["file       best.npz: npz, names of a resnet_np checkpoint",
                                       "net        plain8, no shortcuts, width 2, 10 classes", "mapped     37 tensors"]
    with np.load(tmp_path / "best.npz") as arrays:  # packed again in another order
        np.savez(tmp_path / "again.npz", **dict(sorted(arrays.items(), reverse=True)))
    assert same(load_weights(None, tmp_path / "again.npz").checkpoint.net, net)
    other = build("plain8", width=2, seed=5)
    load_weights(other, tmp_path / "best.npz")
    assert same(other, net) and other.children["layer3"].children["0"].children["bn2"].eps == 1e-3
    with pytest.raises(InputError, match="zero_pad, crop, classes: the file is a resnet_np checkpoint, which says that itself"):
        load_weights(None, tmp_path / "best.npz", zero_pad="end", crop=0.5, classes=7)
    with pytest.raises(CheckpointError, match="it holds plain8, no shortcuts, width 2, 10 classes, expected a resnet8"):
        load_weights("resnet8", tmp_path / "best.npz")


def test_what_was_imported_is_kept_as_a_checkpoint(resnet8, tmp_path):
    imported = load_weights(None, resnet8[1]).checkpoint
    save_checkpoint(tmp_path / "converted.npz", imported)
    kept = load_checkpoint(tmp_path / "converted.npz")
    assert kept.metadata == imported.metadata and same(kept.net, imported.net) and kept.class_names == imported.class_names


# Without a head
def test_a_trunk_gets_a_head_where_one_is_asked_for(trained, spelled, written):
    net = trained("resnet18", stem="imagenet", width=2)
    arrays = {name.removeprefix("resnet."): array for name, array in spelled(net_arrays(net), "Hugging Face").items()
              if "classifier" not in name}
    path = written(arrays)
    with pytest.raises(WeightsError) as caught:
        load_weights(None, path)
    assert "it has no head (classifier.1.weight)" in str(caught.value) and "classes=10" in str(caught.value)
    imported = load_weights(None, path, classes=3)
    assert imported.report.missing == ("classifier.1.weight", "classifier.1.bias") and imported.report.mapped == 100
    assert "missing    2: classifier.1.weight, classifier.1.bias" in imported.report.lines()
    found = net_arrays(imported.checkpoint.net)
    assert found["fc.weight"].shape == (3, 16) and found["fc.weight"].std() > 0
    assert all(np.array_equal(found[name], array) for name, array in net_arrays(net).items() if not name.startswith("fc."))


@pytest.mark.parametrize("kind", ["zip", "stream", "tar", "npz", "safetensors"])
def test_every_container(forge, trained, spelled, tmp_path, kind):
    net = trained("resnet8", width=2)
    (tmp_path / "weights").write_bytes(forge.write(kind, spelled(net_arrays(net), "akamaster CIFAR", "module.")))
    imported = load_weights("resnet8", tmp_path / "weights")
    assert same(imported.checkpoint.net, net)
    assert imported.report.container == (f"torch {kind}" if kind in ("zip", "stream", "tar") else kind)


def test_nothing_here_imports_torch(resnet8):
    code = (f"import sys; from resnet_np.models import load_weights; load_weights(None, {str(resnet8[1])!r}); "
            "print(sorted({'torch', 'numba', 'matplotlib'} & set(sys.modules)))")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert answer.stdout == "[]\n", answer.stderr
