"""A checkpoint file is hostile until it is parsed: what it announces is not believed, and every refusal is one line."""

import dataclasses
import io
import json
import struct
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from resnet_np.data import CIFAR10
from resnet_np.errors import CheckpointError
from resnet_np.models import Checkpoint, checkpoint, load_checkpoint, resnet_cifar, save_checkpoint

pytestmark = pytest.mark.nojit


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.npz"
    save_checkpoint(path, Checkpoint(resnet_cifar(8, classes=3), CIFAR10, ("a", "b", "c"), {"step": 7}))
    return path


@pytest.fixture
def refused(tmp_path):
    """Load what was written to bad.npz -> the line that refuses it; within the bounds of memory and time."""

    def check():
        path = tmp_path / "bad.npz"
        tracemalloc.start()
        start = time.thread_time()
        try:
            with warnings.catch_warnings(), pytest.raises(CheckpointError) as refusal:
                warnings.simplefilter("error")
                load_checkpoint(path)
            assert tracemalloc.get_traced_memory()[1] < (16 << 20) + 4 * path.stat().st_size
        finally:
            tracemalloc.stop()
        assert time.thread_time() - start < 2  # CPU seconds: what else the machine does is not counted
        assert str(refusal.value).isprintable()
        return str(refusal.value)

    return check


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents if isinstance(contents, list) else contents.items():
            archive.writestr(name, content)


def with_header(good, path, **changes):
    """The good file with values of its header replaced, at a or, as a__b, at a.b."""
    contents = members(good)
    header = json.loads(np.load(io.BytesIO(contents["header.npy"])).item())
    for place, value in changes.items():
        *outer, last = place.split("__")
        inner = header
        for key in outer:
            inner = inner[key]
        inner[last] = value
    zipped(path, contents | {"header.npy": npy(np.array(json.dumps(header)))})


def test_announced_shapes_are_held_against_the_bytes(good, tmp_path, refused):
    contents = members(good)
    head = b"\x93NUMPY\x01\x00"
    for text in ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -16), }",
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999999999999), }",
                 "{'descr': '|O', 'fortran_order': False, 'shape': (16,), }",
                 "{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000,), }",
                 "{'descr': '<f8', 'fortran_order': False, 'shape': (8,), }",
                 "{'descr': [('a', '<f4', (1000000000,))], 'fortran_order': False, 'shape': (16,), }",
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (16L,), }",  # Python 2's: NumPy would warn
                 "(" * 900, "9" * 900):
        raw = head + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + bytes(64)
        zipped(tmp_path / "bad.npz", contents | {"parameter/bn1.bias.npy": raw})
        if "16L" in text:  # harmless
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert not load_checkpoint(tmp_path / "bad.npz").net.stem.bn1.bias.data.any()
        else:
            assert "cannot be read" in refused()
    zipped(tmp_path / "bad.npz", contents | {"parameter/bn1.bias.npy": head[:6] + b"\x03\x00" + (2**31).to_bytes(4, "little")})
    assert "version" in refused()


def test_archives_that_grow(good, tmp_path, refused):
    contents, path = members(good), tmp_path / "bad.npz"
    zipped(path, contents | {"parameter/x.npy": bytes(100_000_000)}, zipfile.ZIP_DEFLATED)
    assert "compressed" in refused()
    # Many entries for one place in the file: 1,000 times 310 kB.
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("parameter/big.npy", bytes(300_000))
        first = archive.infolist()[0]
        for i in range(1000):
            copy = zipfile.ZipInfo(f"parameter/{i}.npy")
            copy.header_offset, copy.CRC = first.header_offset, first.CRC
            copy.file_size = copy.compress_size = first.file_size
            archive.filelist.append(copy)
    path.write_bytes(stream.getvalue())
    assert "bytes of arrays in a file of" in refused()


def test_a_directory_of_many_entries(good, tmp_path, refused):
    path = tmp_path / "bad.npz"
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = 60_000
    directory = entry * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), 0, 0)
    path.write_bytes(directory + end)
    assert "list of arrays takes" in refused()
    # The same behind a zip64 record, which zipfile believes more than the one at the end.
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(directory), 1)
    path.write_bytes(directory + record + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100, 0, 0))
    assert "list of arrays takes" in refused()


def test_two_arrays_of_one_name(good, tmp_path, refused):
    contents = members(good)
    for second in ("parameter/bn1.bias.npy", "parameter/bn1.bias"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zipped(tmp_path / "bad.npz", [*contents.items(), (second, contents["parameter/bn1.bias.npy"])])
        assert "the same name" in refused()


def test_headers_of_json(good, tmp_path, refused):
    contents, path = members(good), tmp_path / "bad.npz"
    for text in ("[{}" + ",{}" * 2_000_000 + "]", "[" * 2_000_000, '{"' + "鸟" * 3_000_000 + '":1}'):
        zipped(path, contents | {"header.npy": npy(np.array(text))})
        assert "its header has" in refused()
    for text in ("[{}" + ",{}" * 300_000 + "]", "[" * 100_000, "9" * 100_000, '"', "null", "{}", "[1, 2]", '{"format": {}}'):
        zipped(path, contents | {"header.npy": npy(np.array(text))})
        refused()
    zipped(path, contents | {"header.npy": npy(np.zeros(3, np.float32))})
    assert "expected text" in refused()
    del contents["header.npy"]
    zipped(path, contents)
    assert "no header" in refused()


@pytest.mark.parametrize("place, value, words", [
    ("format", 2, "its format is 2"),
    ("architecture__depth", 1202, "expected 19,420,819 for the net"),
    ("architecture__depth", "8", "depth is '8', expected a whole number"),
    ("architecture__depth", 8.0, "expected a whole number"),
    ("architecture__family", "\n\x1b[2J\ud800" * 1000, "expected a net of the family"),
    ("architecture__shortcut", [], "shortcut is []"),
    ("architecture__wings", 2, "unexpected keyword"),
    ("architecture__width", 4097, "expected a whole number from 1 to 4,096"),
    ("image_size", 0, "pictures of 0 pixels"), ("image_size", 1e3, "pictures of 1000.0 pixels"), ("crop", 0.0, "0.0 of the photo"),
    ("class_names", "abc", "its class names are a str, expected a list of texts"),
    ("class_names", ["a", "b\x1b[31m\n", "c"], r"its class 'b\x1b[31m\n' has no name that fits on a line"),
    ("class_names", ["a", "b\u2028", "c"], r"its class 'b\u2028' has no name that fits on a line"),
    ("class_names", ["a", "b" * 201, "c"], "has no name that fits on a line, expected a text of 1 to 200 letters"),
    ("class_names", [1, 2, 3], "its class 1 has no name"),
    ("class_names", ["a", "b"], "names 2 classes for 3"),
    ("batch_norm__eps", float("nan"), "eps nan"),
    ("batch_norm__momentum", -1, "momentum -1"),
    ("batch_norm", 5, "cannot be read"),
    ("metadata", [], "metadata is a list"),
    ("metadata__dataset", "x", "its dataset is a str"),
    ("metadata__dataset", {"name": "x"}, "its dataset lacks a name or a digest"),
    ("metadata__dataset", {"name": "a\x1b]0;b\x07", "origin": "x", "digest": "d"}, "a digest that fits on a line"),
    ("metadata__dataset", {"name": "x", "origin": ["/a"], "digest": "d"}, "its pictures come from ['/a'], expected a path"),
    ("metadata__dataset", {"name": "x", "origin": "/" * 4097, "digest": "d"}, "expected a path of at most 4,096 letters"),
    ("metadata__config", 5, "its config is a int"),
    ("metadata__config", {"split_seed": "x"}, "its split_seed is 'x'"),
])
def test_headers_that_lie(good, tmp_path, refused, place, value, words):
    with_header(good, tmp_path / "bad.npz", **{place: value})
    assert words in refused()


def test_what_could_not_be_read_back_is_not_written(good, tmp_path):
    checkpoint = load_checkpoint(good)
    for changes in ({"class_names": ("a", "b\n", "c")}, {"metadata": {"dataset": {"name": "x\n", "digest": "d"}}}):
        with pytest.raises(CheckpointError, match="fits on a line"):
            save_checkpoint(tmp_path / "net.npz", dataclasses.replace(checkpoint, **changes))
        assert not (tmp_path / "net.npz").exists()
    names = ("tabby\u00a0cat", "猫\u3000犬", "c")  # blanks that Python would not print
    save_checkpoint(tmp_path / "net.npz", dataclasses.replace(checkpoint, class_names=names))
    assert load_checkpoint(tmp_path / "net.npz").class_names == names


def test_a_net_ordered_by_a_few_bytes(good, tmp_path, refused):
    classes = 20_000
    with_header(good, tmp_path / "bad.npz", architecture__classes=classes, class_names=["x"] * classes)
    assert "expected 1,374,640 for the net" in refused()
    contents = members(good) | {f"parameter/{i}.npy": npy(np.zeros(0, np.float32)) for i in range(1300)}
    zipped(good, contents)
    with_header(good, tmp_path / "bad.npz", architecture__depth=1202)
    assert "expected 19,420,819 for the net" in refused()


def test_names_that_are_no_text(good, tmp_path, refused):
    zipped(tmp_path / "bad.npz", members(good) | {"parameter/\n\x1b[31m.npy": npy(np.zeros(1, np.float32))})
    assert "left over" in refused()


def test_what_is_saved_can_be_loaded(good, tmp_path):
    """A header just within the bound is read back; one beyond it is refused before anything is written."""
    found = load_checkpoint(good)
    limit = sum(array.nbytes for array in checkpoint.net_arrays(found.net).values()) + checkpoint.HEADER_BYTES
    path = tmp_path / "long.npz"
    found.metadata = {"records": ["x" * (limit // 4 - 1000)]}
    save_checkpoint(path, found)
    assert load_checkpoint(path).metadata == found.metadata
    before = path.read_bytes()
    found.metadata = {"records": ["x" * (limit // 4 + 1000)]}
    with pytest.raises(CheckpointError, match="its header has"):
        save_checkpoint(path, found)
    assert path.read_bytes() == before


def test_honest_files_stay_within_the_bounds(tmp_path):
    """The largest nets of Table 6 but one, with and without velocities."""
    net = resnet_cifar(110)
    velocities = {name: np.zeros_like(parameter.data) for name, parameter in net.named_parameters().items()}
    for state in ({}, velocities):
        path = tmp_path / "net.npz"
        save_checkpoint(path, Checkpoint(net, CIFAR10, tuple("abcdefghij"), {}, state))
        tracemalloc.start()
        load_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < (16 << 20) + 4 * path.stat().st_size
