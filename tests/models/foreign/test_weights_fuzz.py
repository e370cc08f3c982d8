"""Files with other names, shapes and bytes than they should have: they load, or our own error says why, in one line."""

import numpy as np
import pytest

from resnet_np.data import CIFAR10
from resnet_np.errors import CheckpointError
from resnet_np.models import Checkpoint, load_weights
from resnet_np.models.checkpoint import net_arrays
from resnet_np.models.foreign.export import export

pytestmark = pytest.mark.nojit


def mutate(arrays, rng):
    """One to three tensors renamed, reshaped, retyped, dropped, doubled or added."""
    arrays = dict(arrays)
    for _ in range(rng.integers(1, 4)):
        names = list(arrays)
        name, other = rng.choice(names), rng.choice(names)
        array = arrays[name]
        change = rng.integers(9)
        if change == 0:
            del arrays[name]
        elif change == 1:
            arrays[other] = arrays.pop(name)
        elif change == 2:
            arrays[f"{name}.{rng.integers(3)}"] = array
        elif change == 3:
            arrays[name.replace(str(rng.integers(5)), str(rng.integers(5)))] = array
        elif change == 4:
            arrays[name] = array[..., :0] if array.ndim else array
        elif change == 5:
            arrays[name] = array.reshape(array.shape[::-1])
        elif change == 6:
            arrays[name] = array.astype(rng.choice(["int8", "int64", "bool", "float64"]))
        elif change == 7:
            arrays[name] = np.array(rng.standard_normal(rng.integers(0, 3, rng.integers(6))), np.float32)
        else:
            arrays[name.rpartition(".")[0] or "x"] = array[:1] if array.ndim else array
    return arrays


def outcome(path):
    """"" if it loads, else the message."""
    try:
        load_weights(None, path)
    except CheckpointError as error:
        assert str(error).startswith(f"weights: {path}: ") and str(error).isprintable() and len(str(error)) < len(str(path)) + 1000
        return str(error)
    return ""


@pytest.mark.parametrize("dialect, name, options", [
    ("torchvision", "resnet18", {"stem": "imagenet"}), ("Hugging Face", "resnet18", {"stem": "imagenet"}),
    ("akamaster CIFAR", "resnet14", {}), ("kuangliu CIFAR", "resnet18", {}), ("chenyaofo CIFAR", "resnet8", {"shortcut": "B"})])
def test_mutated_tensors(trained, spelled, written, rng, dialect, name, options):
    arrays = spelled(net_arrays(trained(name, width=2, **options)), dialect, "module.")
    outcomes = [outcome(written(mutate(arrays, rng))) for _ in range(50)]
    assert sum(map(bool, outcomes)) > 25


@pytest.mark.filterwarnings("error")
def test_mutated_descriptions(trained, tmp_path, rng):
    """Of exports; in .npz files the archive's checksums notice."""
    path = tmp_path / "net.safetensors"
    export(Checkpoint(trained("resnet8", width=2), CIFAR10, tuple("abcdefghij")), path)
    content = path.read_bytes()
    place = content.index(b"architecture")
    refused = 0
    for _ in range(500):
        raw = bytearray(content)
        for at in rng.integers(place - 30, place + 700, rng.integers(1, 4)):
            raw[at] = rng.choice(bytearray(b'0123456789.,:{}[]"-ein\\ \0\xff'))
        path.write_bytes(raw)
        refused += bool(outcome(path))
    assert 100 < refused < 500
