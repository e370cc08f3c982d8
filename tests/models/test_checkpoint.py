"""What is saved comes back bit for bit, and nothing that goes wrong harms what was there."""

import os
import pickle

import numpy as np
import pytest

from resnet_np.data import CIFAR10
from resnet_np.errors import CheckpointError
from resnet_np.models import Checkpoint, checkpoint, load_checkpoint, resnet_cifar, save_checkpoint

pytestmark = pytest.mark.nojit


@pytest.fixture
def stored(rng):
    net = resnet_cifar(8, "B", classes=3, seed=5)
    for buffer in net.named_buffers().values():
        buffer += rng.random(buffer.shape).astype(np.float32)
    velocities = {name: rng.standard_normal(p.data.shape).astype(np.float32) for name, p in net.named_parameters().items()}
    return Checkpoint(net, CIFAR10, ("cat", "dog", "鸟"), {"step": 7, "lr": 0.1}, velocities, 40, 0.875,
                      {"mean": rng.standard_normal(5).astype(np.float32)})


def test_round_trip(stored, tmp_path):
    path = tmp_path / "net.npz"
    save_checkpoint(path, stored)
    found = load_checkpoint(path)
    assert found.class_names == stored.class_names and found.metadata == stored.metadata
    assert found.net.architecture == stored.net.architecture
    assert (found.image_size, found.crop, list(found.typical)) == (40, 0.875, ["mean"])
    np.testing.assert_array_equal(found.typical["mean"], stored.typical["mean"])
    for name, parameter in stored.net.named_parameters().items():
        np.testing.assert_array_equal(found.net.named_parameters()[name].data, parameter.data)
        np.testing.assert_array_equal(found.velocities[name], stored.velocities[name])
    for name, buffer in stored.net.named_buffers().items():
        np.testing.assert_array_equal(found.net.named_buffers()[name], buffer)
    np.testing.assert_array_equal(found.normaliser.mean, CIFAR10.mean)
    np.testing.assert_array_equal(found.normaliser.std, CIFAR10.std)


@pytest.mark.parametrize("step", ["savez", "replace"])
def test_a_failing_write_harms_nothing(stored, tmp_path, monkeypatch, step):
    path = tmp_path / "net.npz"
    save_checkpoint(path, stored)
    before = path.read_bytes()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np if step == "savez" else os, step, fail)
    with pytest.raises(CheckpointError, match="No space left on device; the file that was there before is untouched"):
        save_checkpoint(path, stored)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile-code-ran",)


def test_what_is_no_checkpoint(stored, tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    good, path = tmp_path / "good.npz", tmp_path / "bad.npz"
    save_checkpoint(good, stored)
    whole = good.read_bytes()

    def refused(words=""):
        with pytest.raises(CheckpointError) as refusal:
            load_checkpoint(path)
        assert words in str(refusal.value) and "\n" not in str(refusal.value)

    refused("is not there")
    for content in (b"", b"hello", rng.bytes(5000), whole[: len(whole) // 2], whole[:-10], pickle.dumps(Hostile())):
        path.write_bytes(content)
        refused("is no .npz archive, or was cut short")
    path.write_bytes(whole[:3000] + bytes(200) + whole[3200:])
    refused("cannot be read")
    np.savez(path, header=np.array([Hostile()], dtype=object), allow_pickle=True)
    refused("cannot be read")
    np.savez(path, header=np.array("[1, 2]"))
    refused("cannot be read")
    assert not (tmp_path / "hostile-code-ran").exists()


def test_arrays_of_another_net(stored):
    net = stored.net
    arrays = {name: p.data.copy() for name, p in net.named_parameters().items()} | {
        name: b.copy() for name, b in net.named_buffers().items()}
    before = net.stem.conv1.weight.data.copy()
    for change, words in (({"fc.extra": np.zeros(1)}, "left over: fc.extra"), ({"fc.bias": None}, "missing arrays: fc.bias"),
                          ({"fc.bias": np.zeros(4, np.float32)}, r"fc.bias is float32 \(4,\), expected float32 \(3,\)"),
                          ({"fc.bias": np.zeros(3)}, "fc.bias is float64")):
        changed = {name: array for name, array in (arrays | change).items() if array is not None}
        changed["conv1.weight"] = before + 1
        with pytest.raises(CheckpointError, match=words):
            checkpoint.load_arrays(net, changed)
        np.testing.assert_array_equal(net.stem.conv1.weight.data, before)
