"""Files of every container, made without PyTorch: what is read, which dictionary is chosen, and what is no weight file."""

import gzip
import os
import pickle

import numpy as np
import pytest

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.containers import Tensors, read

pytestmark = pytest.mark.nojit
CONTAINERS = {"stream": "torch stream", "zip": "torch zip", "tar": "torch tar", "safetensors": "safetensors", "npz": "npz",
              "packed npz": "npz"}


def expected(array):
    return array.astype(np.float32) if array.dtype == np.float64 else array


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container(forge, write, arrays, kind):
    found = read(write(forge.write(kind, arrays)))
    assert isinstance(found, Tensors) and found.container == CONTAINERS[kind]
    assert list(found.arrays) == (sorted(arrays) if kind == "safetensors" else list(arrays))  # whose library knows no order
    for name, array in found.arrays.items():
        assert type(array) is np.ndarray and array.dtype == expected(arrays[name]).dtype
        assert array.flags.c_contiguous and array.flags.aligned and array.flags.writeable
        np.testing.assert_array_equal(array, expected(arrays[name]), strict=True)


@pytest.mark.parametrize("kind", ["stream", "zip"])
def test_parts_of_storages(forge, write, kind):
    numbers = np.arange(12, dtype=np.float32)

    def tensor(*view):
        return forge.tensor(forge.storage("0", 12), *view)

    content = forge.dict(row=tensor([4], [1], 4), transposed=tensor([4, 3], [1, 4]), expanded=tensor([2, 3], [0, 1], 9),
                         scalar=tensor([], [], 11), one=tensor([1, 2], [1 << 62, 1]), empty=tensor([0, 1 << 40], [1, 1], 12),
                         steps=tensor([6], [2]))
    found = read(write(getattr(forge, kind)(content, {"0": numbers}))).arrays
    whole = numbers.reshape(3, 4)
    for name, part in {"row": whole[1], "transposed": whole.T, "expanded": np.broadcast_to(numbers[9:], (2, 3)),
                       "scalar": numbers[11], "one": numbers[:2].reshape(1, 2), "steps": numbers[::2]}.items():
        np.testing.assert_array_equal(found[name], part)
        assert found[name].shape == part.shape
    assert found["empty"].shape == (0, 1 << 40)
    found["row"][...] = 0  # shared in the file, not here
    np.testing.assert_array_equal(found["transposed"], whole.T)


def test_parts_that_are_storages_themselves(forge, write):
    """Old streams have them."""
    part = forge.tuple(forge.text("view"), forge.number(3), forge.number(6))
    content = forge.dict(w=forge.tensor(forge.storage("0", 12, part=part), [2, 2], [2, 1], 1),
                         v=forge.tensor(forge.storage("0", 12, part=b"N"), [2], [1]))
    found = read(write(forge.stream(content, {"0": np.arange(12, dtype=np.float32)}))).arrays
    np.testing.assert_array_equal(found["w"], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(found["v"], [0, 1])


def test_parts_that_are_storages_in_a_tar(forge, write):
    members = forge.tar_members({"w": np.arange(12, dtype=np.float32)})
    members["storages"] = members["storages"].removesuffix(pickle.dumps([], 2)) + pickle.dumps([(1, 1000, 5, 4)], 2)
    members["tensors"] = members["tensors"].replace(forge.number(1000), forge.number(1))
    members["tensors"] = members["tensors"][:-24] + np.array([3, 1, 1], "<i8").tobytes()
    np.testing.assert_array_equal(read(write(forge.tar(members))).arrays["w"], [6, 7, 8])


def test_a_safetensors_header_of_any_length(forge, write):
    """Its first byte is that of a pickle, a zip or a web page for some."""
    for length in range(60, 60 + 256):
        raw = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
        assert read(write(forge.safetensors(raw, bytes(4)))).arrays == {"w": 0}


def test_bfloat16(forge, write):
    values = np.array([1, -2.5, 3.140625, 1e38, 0, np.inf], np.float32)  # exact in bfloat16, but for one
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    rounded = (upper.astype(np.uint32) << 16).view(np.float32)
    content = forge.dict(w=forge.tensor(forge.storage("0", 6, "BFloat16"), [3, 2], [1, 3]))
    header = {"w": {"dtype": "BF16", "shape": [6], "data_offsets": [0, 12]}}
    for raw, shaped in ((forge.zip(content, {"0": upper}), rounded.reshape(2, 3).T),
                        (forge.safetensors(header, upper.tobytes()), rounded)):
        np.testing.assert_array_equal(read(write(raw)).arrays["w"], shaped, strict=True)


def test_float64_is_rounded_and_may_become_infinite(forge, write):
    found = read(write(forge.npz({"w": np.array([0.1, 1e300])}))).arrays["w"]
    np.testing.assert_array_equal(found, np.array([0.1, np.inf], np.float32), strict=True)


def test_big_endian_and_fortran_npz(forge, write):
    array = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    np.testing.assert_array_equal(read(write(forge.npz({"w": array}))).arrays["w"], array.astype(np.float32), strict=True)


def test_names_that_python_2_wrote(forge, write):
    def old(raw):
        return b"U" + bytes([len(raw)]) + raw

    kind = forge.name("torch", "FloatStorage")
    storage = forge.tuple(old(b"storage"), kind, old(b"7"), old(b"cuda:0"), forge.number(2), b"N") + b"Q"
    state = forge.call("collections", "OrderedDict", b"(" + b"(" + old(b"w") + forge.tensor(storage, [2], [1]) + b"l" + b"l")
    found = read(write(forge.stream(b"}" + old(b"state_dict") + state + b"s", {"7": np.ones(2, np.float32)})))
    np.testing.assert_array_equal(found.arrays["w"], [1, 1])


def holding(forge, value):
    """A tensor of one number that tells which dictionary it came from."""
    return forge.dict(w=forge.tensor(forge.storage("0", 9), [1], [1], value))


@pytest.mark.parametrize(("places", "chosen"), [
    ({"state_dict": 1, "net": 2}, 1),
    ({"state_dict_ema": 1, "model": 2}, 2),
    ({"model_state_dict": 3, "optimizer": 1}, 3),
    ({"model_state": 6, "optimizer_state": 1}, 6),
    ({"model_state": 1, "model_state_dict": 7, "model_ema": 2}, 7),
    ({"weights": 4}, 4),
])
def test_which_dictionary(forge, write, places, chosen):
    content = forge.dict(epoch=forge.number(90), **{name: holding(forge, value) for name, value in places.items()},
                         best=forge.tensor(forge.storage("0", 9), [], [], 8))
    assert read(write(forge.zip(content, {"0": np.arange(9, dtype=np.float32)}))).arrays == {"w": chosen}


def test_a_dictionary_in_a_dictionary(forge, write):
    content = forge.dict(model=forge.dict(state_dict=holding(forge, 5), epoch=forge.number(1)))
    assert read(write(forge.zip(content, {"0": np.arange(9, dtype=np.float32)}))).arrays == {"w": 5}


def test_a_layer_may_have_the_name_of_a_dictionary(forge, write):
    content = forge.dict(net=forge.tensor(forge.storage("0", 9), [1], [1], 3), extra=b"N")
    assert read(write(forge.zip(content, {"0": np.arange(9, dtype=np.float32)}))).arrays == {"net": 3}


def test_harmless_things_beside_the_weights(forge, write):
    scalar = pickle.dumps({"best": np.float64(93.1), "rng": np.arange(3), "half": np.bool_(True)}, 2)[2:-1]
    namespace = forge.name("argparse", "Namespace") + b")\x81" + forge.dict(lr=b"N") + b"b"
    counter = forge.call("collections", "Counter", forge.dict(a=b"N"))
    default = forge.call("collections", "defaultdict", forge.name("builtins", "dict")) + forge.text("x") + b"Ns"
    others = forge.tuple(forge.call("torch", "device", forge.text("cuda")), forge.name("torch", "float32"),
                         forge.call("torch", "Size", forge.numbers([1, 2])), forge.call("builtins", "set", b"]Na"))
    content = forge.dict(state_dict=holding(forge, 5), args=namespace, history=scalar, milestones=counter, more=default,
                         others=others)
    assert read(write(forge.zip(content, {"0": np.arange(9, dtype=np.float32)}))).arrays == {"w": 5}


@pytest.mark.parametrize(("content", "message"), [
    (b"}(X\x05\x00\x00\x00epochK\x05X\x03\x00\x00\x00lrsNu", "holds a dictionary of epoch, lrs, expected tensors by name"),
    (b"}", "holds a dictionary of nothing"),
    (b"]", "holds a list"),
    (b"}K\x01}s", "holds a dictionary of 1, expected"),
])
def test_no_state_dict(forge, refuse, content, message):
    assert message in refuse(forge.zip(content, {}))
    assert message in refuse(forge.stream(content, {}))
    assert message in refuse(forge.tar(forge.tar_members({}, content)))


@pytest.mark.parametrize(("content", "message"), [
    (b"\n<!DOCTYPE html><html>", "is a web page"),
    (b"<html><head>", "is a web page"),
    (b"<?xml version", "answer of a server"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 45\n", "pointer of git-lfs"),
    (gzip.compress(b"x" * 600, mtime=0), "unpack it"),
    (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
    (b"\x93NUMPY\x01\x00", "single array"),
    (b"\x08\x07\x12\x07pytorch", "begins with 08 07 12 07 70 79 74 6f, expected a file of PyTorch"),
    (b"\x00", "begins with 00, expected"),
    (b"", "is empty"),
    (pickle.dumps({"a": 1}), "a pickle that torch.save did not write|not a valid pickle"),
    (pickle.dumps(1) * 3, "a pickle that torch.save did not write"),
    (b"PK\5\6" + bytes(18), "a zip of nothing"),
    (b"PK\3\4" + bytes(50), "cannot be read as zip"),
])
def test_other_files(refuse, content, message):
    found = refuse(content)
    assert any(part in found for part in message.split("|")), found


def test_other_zips_and_tars(forge, refuse):
    assert "a zip of word/document.xml, a.txt, expected" in refuse(forge.archive([("word/document.xml", b""), ("a.txt", b"")]))
    assert "TorchScript" in refuse(forge.zip(b"}", {}, extra=[("net/code/__torch__.py", b"")]))
    assert "a checkpoint of resnet_np" in refuse(forge.npz({"header": np.array("{}"), "parameter/w": np.ones(1)}))
    assert "'weights.pth', expected files named storages, tensors, pickle" in refuse(forge.tar({"weights.pth": b"x"}))
    assert "a tar of storages, expected" in refuse(forge.tar({"storages": b"x"}))


def test_whole_nets(forge, refuse):
    layer = forge.name("torch.nn.modules.conv", "Conv2d") + b")\x81"
    for content in (layer, forge.name("mine", "Net") + b")\x81" + forge.dict(conv=layer) + b"b"):
        for raw in (forge.zip(content, {}), forge.stream(content, {}), forge.tar(forge.tar_members({}, content))):
            assert "whole pickled net" in refuse(raw)
    assert "asks for 'mine.Config'" in refuse(forge.zip(forge.dict(args=forge.name("mine", "Config")), {}))


def test_big_endian_machines(forge, refuse, arrays):
    assert "big-endian" in refuse(forge.stream(*forge.state_dict(arrays), little_endian=False))
    assert "big-endian" in refuse(forge.archive([("net/data.pkl", forge.framed(b"}")), ("net/byteorder", b"big")]))


@pytest.mark.parametrize(("place", "message"), [
    ("nowhere", "no such file"), (".", "a folder"), ("pipe", "not a regular file"), ("zero\0byte", "cannot be opened"),
    ("locked", "cannot be opened: Permission denied"),
])
def test_no_file(tmp_path, monkeypatch, place, message):
    path = tmp_path / place
    if place == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no named pipes")
        os.mkfifo(path)
    if place == "locked":
        path.write_bytes(b"x")

        def refuse(*_):
            raise PermissionError(13, "Permission denied")  # root may read everything: its rights cannot be taken away
        monkeypatch.setattr("resnet_np.models.foreign.source.Source", refuse)
    with pytest.raises(CheckpointError, match=f"^weights: .*: (it|there) is.*{message}|: it {message}") as caught:
        read(str(path))
    assert str(caught.value).isprintable()


def test_the_suffix_does_not_matter(forge, tmp_path, arrays):
    path = tmp_path / "weights.npz"
    path.write_bytes(forge.write("safetensors", arrays))
    assert read(path).container == "safetensors"
