"""Exports: the bits and everything about the net come back; a description that was tampered with is refused in one line."""

import json
import tracemalloc

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from resnet_np.data import CIFAR10, Normaliser
from resnet_np.errors import CheckpointError, InputError
from resnet_np.models import Checkpoint, build, load_weights
from resnet_np.models.checkpoint import net_arrays
from resnet_np.models.foreign.export import export
from resnet_np.models.foreign.header import ARRAY, NAME

pytestmark = pytest.mark.nojit

SUFFIXES = [".safetensors", ".npz"]
NETS = [("resnet8", {"zero_pad": "end"}), ("resnet14", {"shortcut": "B", "dropout": 0.5}), ("plain8", {"fused": False}),
        ("resnet18", {"stem": "imagenet"}), ("resnet50", {"stride_in": "1x1"})]


@pytest.fixture
def checkpoint(trained, rng):
    """checkpoint(name, **options): everything in it is its own, nothing what would be assumed."""
    def checkpoint(name="resnet8", per_pixel=False, **options):
        net = trained(name, width=2, classes=3, **options)
        net.children["bn1"].momentum, net.children["bn1"].eps = 0.25, 1e-3
        mean = rng.random((3, 32, 32), np.float32) if per_pixel else np.float32([0.1, 0.2, 0.3]).reshape(3, 1, 1)
        metadata = {"dataset": {"name": "pets", "origin": "/pets", "digest": "1"}, "progress": {"epochs": [1, 2]}, "note": "é"}
        return Checkpoint(net, Normaliser(mean, np.float32([0.7, 0.8, 0.9]).reshape(3, 1, 1)), ("Kätzchen", "dog", "🐟"), metadata,
                          {"fc.bias": np.ones(3, np.float32)}, 48, 0.9)
    return checkpoint


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name, options", NETS)
@pytest.mark.parametrize("per_pixel", [False, True])
def test_a_round_trip_gives_the_same_bits(checkpoint, tmp_path, suffix, name, options, per_pixel):
    before = checkpoint(name, per_pixel, **options)
    copies = {key: array.copy() for key, array in net_arrays(before.net).items()}
    path = tmp_path / f"net{suffix}"
    count = export(before, path)
    imported = load_weights(name, path)
    after = imported.checkpoint
    assert after.net.architecture == before.net.architecture
    for key, array in net_arrays(after.net).items():
        assert array.tobytes() == copies[key].tobytes() == net_arrays(before.net)[key].tobytes(), key
    for key, array in before.normaliser.to_arrays().items():
        found = after.normaliser.to_arrays()[key]
        assert found.shape == array.shape and found.tobytes() == array.tobytes()
    assert (after.class_names, after.image_size, after.crop) == (before.class_names, 48, 0.9)
    assert after.metadata == {"dataset": before.metadata["dataset"], "note": "é"} and after.velocities == {}
    assert (after.net.children["bn1"].momentum, after.net.children["bn1"].eps) == (0.25, 1e-3)
    report = imported.report
    assert report.assumed == {} and report.dialect == "a resnet_np export" and report.container == suffix[1:]
    assert report.mapped == len(copies) and len(report.left_over) == count - len(copies) > 0
    assert {key.rpartition(".")[2] for key in report.left_over} == {"num_batches_tracked"}


def test_what_a_file_holds(checkpoint, tmp_path):
    """Torchvision's names, and what strict readers of PyTorch want; option A has no tensors."""
    before = checkpoint("resnet8")
    export(before, tmp_path / "net.safetensors")
    export(before, tmp_path / "net.npz")
    found = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    assert found["layer2.0.bn1.num_batches_tracked"] == 0 and found["layer2.0.bn1.num_batches_tracked"].dtype == np.int64
    assert found["layer3.0.conv2.weight"].shape == (8, 8, 3, 3) and found["fc.weight"].shape == (3, 8)
    assert len(found) == 7 + 7 * 5 + 2 and not any("downsample" in name for name in found)
    with safetensors.safe_open(tmp_path / "net.safetensors", "np") as file:
        described = json.loads(file.metadata()[NAME])
        assert file.metadata()["format"] == "pt"
    assert described["class_names"] == ["Kätzchen", "dog", "🐟"] and described["architecture"]["depth"] == 8
    with np.load(tmp_path / "net.npz") as arrays:
        assert set(arrays) == {*found, ARRAY}
        assert json.loads(arrays[ARRAY].tobytes()) == described
        assert all(arrays[name].tobytes() == found[name].tobytes() for name in found)


def test_an_export_that_lost_its_description_is_torchvisions(checkpoint, tmp_path):
    before = checkpoint("resnet18", stem="imagenet")
    export(before, tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as arrays:
        np.savez(tmp_path / "bare.npz", **{name: array for name, array in arrays.items() if name != ARRAY})
    imported = load_weights(None, tmp_path / "bare.npz")
    assert imported.report.dialect == "torchvision" and imported.report.assumed["normaliser"] == "imagenet"
    assert imported.checkpoint.net.architecture == before.net.architecture


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_about_an_export_may_be_said_anew(checkpoint, tmp_path, suffix):
    export(checkpoint(), tmp_path / f"net{suffix}")
    with pytest.raises(InputError, match="normaliser: the file is a resnet_np export, which says that itself; leave it out"):
        load_weights(None, tmp_path / f"net{suffix}", normaliser="imagenet")


def test_where_it_cannot_be_written(checkpoint, tmp_path):
    with pytest.raises(InputError, match=r"export: net.pth ends in .pth, expected .safetensors or .npz"):
        export(checkpoint(), tmp_path / "net.pth")
    with pytest.raises(InputError, match="export: net ends in nothing"):
        export(checkpoint(), tmp_path / "net")
    with pytest.raises(CheckpointError, match="cannot write .*: there is no folder .*none"):
        export(checkpoint(), tmp_path / "none" / "net.npz")
    normaliser = Normaliser(np.full((3, 224, 224), 1 / 3), CIFAR10.std)
    large = Checkpoint(build("resnet8", width=2, classes=3), normaliser, ("a", "b", "c"))
    with pytest.raises(CheckpointError, match="expected at most 262,144; a mean picture of this size is kept by checkpoints only"):
        export(large, tmp_path / "net.npz")
    assert list(tmp_path.iterdir()) == []


def rewritten(tmp_path, suffix, change, drop=()):
    """The exported file with another description: what `change` makes of the JSON text."""
    path = tmp_path / f"net{suffix}"
    if suffix == ".npz":
        with np.load(path) as arrays:
            arrays = {name: array for name, array in arrays.items() if name not in drop}
        arrays[ARRAY] = np.frombuffer(change(arrays[ARRAY].tobytes().decode()).encode(), np.uint8)
        np.savez(path, **arrays)
        return path
    arrays = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        text = change(file.metadata()[NAME])
    safetensors.numpy.save_file({name: array for name, array in arrays.items() if name not in drop}, path, {NAME: text})
    return path


def swap(**changes):
    return lambda text: json.dumps(json.loads(text) | changes)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("change, drop, words", [
    (lambda text: text[:-1], (), "what it says about its net is damaged"),
    (lambda text: "[]", (), "its description of the net is a list, expected a JSON object"),
    (lambda text: "[" * 100_000, (), "what it says about its net is damaged"),
    (lambda text: "{}", (), "what it says about its net is damaged ('normaliser')"),
    (swap(format=2), (), "its format is 2, this version of resnet_np reads 1"),
    (swap(class_names=["a", "b"]), (), "it names 2 classes for 3 outputs"),
    (swap(normaliser={"mean": [1, 2], "std": "x"}), (), "what it says about its net is damaged"),
    (swap(normaliser={"mean": [[[0]]] * 3, "std": [[[0]]] * 3}), (), "normaliser: std must be above 0"),
    (swap(architecture={"family": "resnet_cifar", "depth": 1202, "width": 4096, "classes": 3}), (), "expected 1,2"),
    (swap(architecture=[]), (), "what it says about its net is damaged"),
    (swap(image_size=10**9), (), "it wants pictures of 1000000000 pixels"),
    (swap(), ("layer1.0.conv1.weight", ), "it holds "),
    (swap(), ("layer1.0.bn1.running_mean", ), "missing arrays: layer1.0.bn1.running_mean"),
])
def test_a_description_that_does_not_fit(checkpoint, tmp_path, suffix, change, drop, words):
    export(checkpoint(), tmp_path / f"net{suffix}")
    path = rewritten(tmp_path, suffix, change, drop)
    with pytest.raises(CheckpointError) as caught:
        load_weights(None, path)
    message = str(caught.value)
    assert message.startswith(f"weights: {path}: ") and words in message and message.isprintable()


@pytest.mark.parametrize("name, value", [("layer1.0.conv1.weight", np.nan), ("bn1.running_var", -1)])
def test_numbers_that_cannot_be_those_of_a_net(checkpoint, tmp_path, name, value):
    before = checkpoint()
    net_arrays(before.net)[name].flat[0] = value
    export(before, tmp_path / "net.npz")
    with pytest.raises(CheckpointError, match=name):
        load_weights(None, tmp_path / "net.npz")


@pytest.mark.parametrize("kind", ["npz", "compressed npz", "safetensors"])
def test_a_description_that_would_fill_the_memory(tmp_path, kind):
    """Nested JSON takes twenty times its bytes once it is parsed; compressed, a thousand times those of the file."""
    text = b"[" + b"[]," * 340_000 + b"[]]"
    path = tmp_path / f"bomb.{kind.split()[-1]}"
    if kind == "safetensors":
        safetensors.numpy.save_file({"a": np.zeros(1, np.float32)}, path, {NAME: text.decode()})
    else:
        save = np.savez_compressed if kind.startswith("compressed") else np.savez
        save(path, **{ARRAY: np.frombuffer(text, np.uint8)})
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            load_weights(None, path)
        assert tracemalloc.get_traced_memory()[1] < (16 << 20) + 4 * path.stat().st_size
    finally:
        tracemalloc.stop()
