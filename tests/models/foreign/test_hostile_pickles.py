"""Pickles that were made to harm, in each container that has some: nothing is run, and nothing that they say is believed."""

import os
import pickle
import struct

import numpy as np
import pytest

from resnet_np.models.foreign import torch_pickle
from resnet_np.models.foreign.containers import read

pytestmark = pytest.mark.nojit
EIGHT = {"0": np.arange(8, dtype=np.float32)}


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def in_every_pickle(forge, content):
    """The content in each container that has pickles, and in each pickle of the two that have several."""
    framed = forge.framed(content)
    stream = forge.stream(content, {})
    yield from (forge.zip(content, {}), stream, framed)
    yield stream.replace(pickle.dumps([], 2), framed)
    yield stream.replace(pickle.dumps(1001, 2), framed)
    yield forge.tar(forge.tar_members({}, content))
    members = forge.tar_members({"w": np.ones(2, np.float32)})
    for name in ("storages", "tensors"):
        yield forge.tar(members | {name: framed})
        yield forge.tar(members | {name: members[name].replace(pickle.dumps(1, 2), pickle.dumps(1, 2) + framed)})


def test_no_program_is_run(forge, refuse, tmp_path):
    trace = tmp_path / "trace"
    calls = {
        "system": pickle.dumps(Evil(os.system, f"echo > {trace}"), 2)[2:-1],
        "eval": forge.call("builtins", "eval", forge.text(f"open({str(trace)!r}, 'w')")),
        "getattr": forge.call("builtins", "getattr", forge.name("torch", "FloatStorage"), forge.text("__class__")),
        "dotted": forge.text("torch") + forge.text("FloatStorage.__new__") + b"\x93",
        "nested": forge.call("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", 3) + b"xxx"),
        "inst": b"(" + forge.text(f"echo > {trace}") + b"iposix\nsystem\n",
        "import": forge.call("importlib", "import_module", forge.text("os")),
        "torch": forge.call("torch", "load", forge.text(str(trace))),
        "ours": forge.name("resnet_np.models.foreign.torch_pickle", "ALLOWED"),
    }
    for name, content in calls.items():
        for raw in in_every_pickle(forge, content):
            message = refuse(raw)
            assert "which has no place in such a file; nothing in it was run" in message, (name, message)
    assert not trace.exists()


def test_allowed_things_cannot_be_altered(forge, refuse):
    attack = forge.dict(evil=b"K\x01", __defaults__=b"K\x01", _function=b"K\x01", first=b"K\x01", shape=b"K\x01")
    tensor = forge.tensor(forge.storage("0", 8), [8], [1])
    for target in (forge.name("torch._utils", "_rebuild_tensor_v2"), forge.name("collections", "OrderedDict"),
                   forge.name("torch", "FloatStorage"), forge.name("argparse", "Namespace"), forge.name("numpy", "ndarray"),
                   forge.name("torch", "float32"), tensor, forge.storage("0", 8), b"}", b"]"):
        for state in (attack, b"N" + attack + b"\x86"):
            refuse(forge.zip(forge.dict(w=tensor, x=target + state + b"b"), EIGHT))
    assert not hasattr(torch_pickle.Ignored, "evil") and not hasattr(torch_pickle.Kind, "evil")
    assert torch_pickle._ordered_dict.__defaults__ == ((),)


def test_numbers_that_are_not_read(forge, refuse):
    storage = forge.tuple(forge.text("storage"), forge.name("torch", "UntypedStorage"), forge.text("0"), forge.text("cpu"),
                          forge.number(32)) + b"Q"
    for dtype, came in ((forge.name("torch", "float8_e5m2"), "float8_e5m2"), (b"N", "unknown")):
        tensor = forge.call("torch._utils", "_rebuild_tensor_v3", storage, forge.number(0), forge.numbers([32]), forge.numbers([1]),
                            b"\x89", forge.call("collections", "OrderedDict"), dtype)
        for raw in (forge.zip(forge.dict(w=tensor), EIGHT), forge.stream(forge.dict(w=tensor), EIGHT)):
            assert f"the pickle holds {came} numbers, expected float64, float32, float16, bfloat16, int64, int32, int16, int8, " \
                   "uint8 or bool; nothing in it was run. With PyTorch, torch.save(model.float().state_dict(), path)" in refuse(raw)


def test_types_of_numbers_beside_the_weights(forge, write):
    """As a setting of the run, say."""
    tensor = forge.tensor(forge.storage("0", 8), [8], [1])
    content = forge.dict(w=tensor, trained_in=forge.name("torch", "float8_e4m3fn"))
    assert list(read(write(forge.zip(content, EIGHT))).arrays) == ["w"]


def test_attributes_of_mappings_are_dropped(forge, write):
    """Names of methods among them: a state dict's `_metadata` comes this way."""
    state = forge.call("collections", "OrderedDict") + b"(" + forge.text("w") + forge.tensor(forge.storage("0", 8), [8], [1]) + b"u"
    for attack in (forge.dict(items=b"K\x01", __class__=b"K\x01"), b"N" + forge.dict(items=b"K\x01") + b"\x86"):
        assert list(read(write(forge.zip(state + attack + b"b", EIGHT))).arrays) == ["w"]


def test_pickles_that_grow(forge, refuse):
    ordered = forge.name("collections", "OrderedDict") + b"q\x00(" + b"NN\x86" * 5000 + b"l\x85q\x01"
    bombs = {
        "as the key": b"}N" + b"2\x86" * 100 + b"Ns",
        "has a tuple as the key": b"}N" + b"\x85" * 40_000 + b"Ns",
        "tuple as the key of": forge.name("collections", "OrderedDict") + b"((N\x85Nll\x85R",
        "more than it holds": ordered + b"(" + b"h\x00h\x01R" * 5000 + b"t",
        "operations": b"]" * 200_000,
        "holds a set": b"\x8f" * 10_000,
        "memo entry": b"Nr\xff\xff\xff\x7f",
        "valid pickle": b"\x8e" + struct.pack("<Q", 1 << 50),
    }
    for part, content in bombs.items():
        for raw in (forge.zip(content, {}), forge.stream(content, {}), forge.tar(forge.tar_members({}, content))):
            assert part in refuse(raw)


def test_tuples_within_tuples(forge, write):
    """Depth alone harms nobody: reading, comparing and forgetting them must not end the process."""
    deep = b"N" + b"\x85" * 40_000
    content = forge.dict(w=forge.tensor(forge.storage("0", 8), [8], [1]), deep=deep)
    assert list(read(write(forge.zip(content, EIGHT))).arrays) == ["w"]


@pytest.mark.parametrize(("shape", "strides", "first", "part"), [
    ([9], [1], 0, "reaches to number 8 of a storage of 8"),
    ([8], [1], 1, "reaches to number 8"),
    ([2, 4], [8, 1], 0, "reaches to number 11"),
    ([1 << 40], [1], 0, "reaches"),
    ([4], [1 << 62], 0, "reaches"),
    ([8], [-1], 7, "no positive numbers"),
    ([-8], [1], 0, "no positive numbers"),
    ([8], [1], -1, "no positive numbers"),
    ([1 << 63], [0], 0, "no positive numbers"),
    ([8], [1, 1], 0, "do not fit each other"),
    ([1] * 40, [1] * 40, 0, "do not fit each other"),
    ([1 << 40], [0], 0, "announces tensors of 4,398,046,511,104 bytes, too many"),
    ([1 << 62] * 32, [0] * 32, 0, "too many for a file"),
])
def test_views_that_lie(forge, refuse, shape, strides, first, part):
    content = forge.dict(w=forge.tensor(forge.storage("0", 8), shape, strides, first))
    for raw in (forge.zip(content, EIGHT), forge.stream(content, EIGHT)):
        assert part in refuse(raw)


def test_views_that_lie_in_a_tar(forge, refuse):
    members = forge.tar_members({"w": EIGHT["0"]})
    head = members["tensors"][:-32]
    for axes, numbers in ((1, (9, 1, 0)), (1, (8, 1, 1)), (1, (8, -1, 0)), (1, (1 << 40, 0, 0)), (-1, ()), (1 << 30, (8, 1, 0)),
                          (1, (8,))):
        tensors = head + struct.pack(f"<ii{len(numbers)}q", axes, 0, *numbers)
        refuse(forge.tar(members | {"tensors": tensors}))


def test_many_views_of_one_storage(forge, refuse):
    tensor = forge.tensor(forge.storage("0", 200_000), [200_000], [1])
    entries = {f"w{place}": b"h\x01" for place in range(1000)}
    content = tensor + b"q\x010" + forge.dict(**entries)
    assert "announces tensors of 800,000,000 bytes" in refuse(forge.zip(content, {"0": np.zeros(200_000, np.float32)}))


@pytest.mark.parametrize("content", [
    b"NQ", b")Q", b"K\x01\x85Q", b"X\x01\x00\x00\x00aQ", b"P12\n",
    b"(X\x07\x00\x00\x00storageNNNNtQ",
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nNNK\x08tQ",
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NNtQ",
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NJ\xff\xff\xff\xfftQ",
    b"(X\x07\x00\x00\x00storagectorch\nQInt8Storage\nX\x01\x00\x00\x000NK\x08tQ",
    b"(X\x06\x00\x00\x00modulectorch\nFloatStorage\nNNtQ",
])
def test_names_of_storages_that_are_none(forge, refuse, content):
    for raw in (forge.zip(content, EIGHT), forge.stream(content, EIGHT)):
        assert refuse(raw)


def test_storages_that_lie(forge, refuse, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(32))
    eight = [8], [1]
    for key in ("../../secret", str(secret), "1", "data.pkl", "\x1b[31m", ""):
        content = forge.dict(w=forge.tensor(forge.storage(key, 8), *eight))
        assert "lacks the storage" in refuse(forge.zip(content, EIGHT))
        refuse(forge.stream(content, EIGHT))
        assert "lacks the storage" in refuse(forge.stream(content, {}))
    for size in (4, 16, 1 << 40, (1 << 63) - 1):
        content = forge.dict(w=forge.tensor(forge.storage("0", size), [4], [1]))
        assert "its storage '0' has 32 bytes, expected" in refuse(forge.zip(content, EIGHT))
        assert "its storage '0' has 8 numbers, expected" in refuse(forge.stream(content, EIGHT))
    twice = forge.dict(w=forge.tensor(forge.storage("0", 8), *eight), v=forge.tensor(forge.storage("0", 4, "Double"), [1], [1]))
    assert "twice" in refuse(forge.zip(twice, EIGHT))
    for first, size in ((-1, 4), (5, 4), (0, -1), (1 << 62, 1 << 62)):
        part = forge.tuple(forge.text("view"), forge.number(first), forge.number(size))
        content = forge.dict(w=forge.tensor(forge.storage("0", 8, part=part), [1], [1]))
        assert "outside of the 8 numbers" in refuse(forge.stream(content, EIGHT))


def test_calls_with_the_wrong_arguments(forge, refuse):
    tensor = forge.tensor(forge.storage("0", 8), [8], [1])
    for part, content in {
        "not made of pairs": forge.call("collections", "OrderedDict", b"]Na"),
        "OrderedDict that": forge.call("collections", "OrderedDict", b"N"),
        "no tensor": forge.call("torch._utils", "_rebuild_parameter", b"N", b"\x88", b"N"),
        "no storage": forge.tensor(b"N", [1], [1]),
        "has no storage": forge.tensor(forge.name("torch", "FloatStorage"), [1], [1]),
        "part of a storage that is none": forge.storage("0", 8, part=b"K\x01"),
        "not a valid pickle": forge.call("torch._utils", "_rebuild_tensor_v2", b"N"),
    }.items():
        content = forge.dict(w=tensor, x=content)
        for raw in (forge.zip(content, EIGHT), forge.stream(content, EIGHT)):
            assert part in refuse(raw)
