"""The restricted unpickler: reads what CIFAR-10's files hold, runs nothing, raises nothing but DataError."""

import io
import os
import pickle
import pickletools
import struct

import numpy as np
import pytest

from resnet_np import safe_pickle
from resnet_np.errors import CheckpointError, DataError

pytestmark = pytest.mark.nojit

# What Python 2.7 with NumPy 1 wrote (protocol 2): {'labels': [1, 2], 'data': array([[0, 1, 2], [3, 4, 255]], uint8)}
PYTHON_2 = (b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x01K\x02eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\n"
            b"q\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87R"
            b"q\t(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06\x00\x01\x02\x03\x04\xfftbu.")


def loads(stream, allowed=safe_pickle.ARRAYS, max_bytes=1 << 20):
    return safe_pickle.loads(stream, allowed=allowed, what="batch", max_bytes=max_bytes)


def test_reads_what_python_2_wrote():
    batch = loads(PYTHON_2)
    assert batch[b"labels"] == [1, 2]
    assert batch[b"data"].dtype == np.uint8
    np.testing.assert_array_equal(batch[b"data"], [[0, 1, 2], [3, 4, 255]])


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("array", [
    np.arange(6, dtype=np.uint8).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    np.linspace(0, 1, 5, dtype=np.float32),
    np.zeros((0, 3), np.int64),
    np.array(7.0),
    np.array([True, False]),
], ids=["u1", "fortran big-endian i4", "f4", "empty", "scalar", "bool"])
def test_reads_what_this_numpy_writes(protocol, array):
    found = loads(pickle.dumps({"x": array, "n": b"\xff"}, protocol=protocol))
    np.testing.assert_array_equal(found["x"], array)
    assert found["x"].dtype == array.dtype
    assert found["n"] == b"\xff"


def test_newer_and_older_names_of_numpys_core():
    stream = pickle.dumps(np.arange(3, dtype=np.uint8), protocol=2)
    other = stream.replace(b"numpy._core.", b"numpy.core.") if b"numpy._core." in stream else \
        stream.replace(b"numpy.core.", b"numpy._core.")
    assert other != stream
    np.testing.assert_array_equal(loads(stream), loads(other))


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(6))
def test_runs_no_code(tmp_path, protocol):
    stream = pickle.dumps({"data": Evil(os.system, f"echo run > {tmp_path / 'evil'}")}, protocol=protocol)
    with pytest.raises(DataError, match=r"^batch: the pickle asks for '(posix|nt)\.system'.*nothing in it was run"):
        loads(stream)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "builtins.getattr", "numpy.load", "resnet_np.safe_pickle._Unpickler",
                                  "numpy.core.multiarray.fromfile", "numpy.dtype.newbyteorder"])
def test_the_list_of_the_caller_is_the_only_one(name):
    module, _, attribute = name.rpartition(".")
    with pytest.raises(DataError, match="has no place"):
        loads(f"c{module}\n{attribute}\n.".encode())


def test_allow_list_belongs_to_the_caller():
    stream = pickle.dumps(np.arange(3))
    with pytest.raises(DataError, match="has no place"):
        loads(stream, allowed={})
    assert loads(b"cany\nthing\n.", allowed={"any.thing": dict}) is dict


def test_cannot_alter_our_functions():
    # BUILD with a state of (None, {"__defaults__": …}) sets attributes on whatever lies on the stack.
    stream = b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__(K\x01ts\x86b."
    pickletools.dis(stream, out=io.StringIO())
    with pytest.raises(DataError, match="alter a function"):
        loads(stream)
    assert safe_pickle._encode.__defaults__ is None


@pytest.mark.parametrize("array", [
    np.array([1, "a"], object),
    np.zeros(2, [("a", "u1")]),
    np.array(["a", "bc"]),
    np.array(["2026-01-01"], "datetime64[D]"),
    np.zeros(2, "V8"),
], ids=["objects", "records", "strings", "dates", "raw"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_refuses_arrays_of_anything_but_numbers(array, protocol):
    with pytest.raises(DataError, match="expected plain numbers"):
        loads(pickle.dumps(array, protocol=protocol))


def patched(old, new):
    assert PYTHON_2.count(old) == 1
    return PYTHON_2.replace(old, new)


@pytest.mark.parametrize("stream", [
    patched(b"K\x02K\x03\x86", b"K\x02K\x04\x86"),
    patched(b"K\x02K\x03\x86", b"J\xff\xff\xff\xffJ\xfa\xff\xff\xff\x86"),
    patched(b"K\x02K\x03\x86", b"K\x02NN\x87"),
], ids=["too few bytes", "negative shape", "shape of no numbers"])
def test_refuses_an_array_whose_parts_disagree(stream):
    with pytest.raises(DataError, match="impossible shape|bytes"):
        loads(stream)


def test_refuses_an_array_of_the_wrong_parts():
    for stream, message in ((patched(b"U\x06\x00\x01\x02\x03\x04\xff", b"K\x06"), "parts are of the wrong kind"),
                            (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\n\x85R.", "something that is no array"),
                            (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.", "no string of bytes")):
        with pytest.raises(DataError, match=message):
            loads(stream)


@pytest.mark.parametrize("stream", [b"", b"\x80\x02", b"no pickle", b"\x80\x02}q", b"(" * 1000, b"\x80\xff.", b"0.",
                                    b"\x80\x04N\x85",
                                    PYTHON_2[:-1], PYTHON_2[:100], b"Pid\n.", b"\x80\x02\x82\x01."])
def test_damaged_streams_are_one_line(stream):
    with pytest.raises(DataError) as caught:
        loads(stream)
    assert str(caught.value).startswith("batch: not a valid pickle")
    assert "\n" not in str(caught.value)


def test_size_limit():
    assert loads(b"N.", max_bytes=2) is None
    with pytest.raises(DataError, match="has 2 bytes, expected at most 1"):
        loads(b"N.", max_bytes=1)


@pytest.mark.parametrize("stream", [
    b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",  # announces a terabyte of bytes
    b"\x80\x02Nr" + struct.pack("<I", 0xFFFFFFF0) + b".",  # stores memo entry four billion
], ids=["length", "memo"])
def test_announced_sizes_are_not_believed(stream):
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            loads(stream)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_number_of_operations_is_limited(monkeypatch):
    monkeypatch.setattr(safe_pickle, "MAX_OPERATIONS", 100)
    with pytest.raises(DataError, match="more than 100 operations"):
        loads(b"\x80\x02" + b"N" * 101 + b".")


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_mutations_raise_dataerror_only(rng):
    for _ in range(2000):
        stream = bytearray(PYTHON_2)
        for place in rng.integers(len(stream), size=rng.integers(1, 4)):
            stream[place] = rng.integers(256)
        try:
            loads(bytes(stream))
        except DataError as error:
            assert "\n" not in str(error)


def nested(levels, repeat):
    """{((((None,),),),): None}: so deep that a hash of it ends the process, or with twice the work at each level."""
    return b"\x80\x02}N" + repeat * levels + b"Ns."


@pytest.mark.parametrize("stream", [
    nested(300_000, b"\x85"),
    nested(100, b"2\x86"),
    b"\x80\x02}(N" + b"2\x86" * 100 + b"Nu.",
    b"\x80\x02(N" + b"2\x86" * 100 + b"Nd.",
    b"\x80\x02}\x8b\x00\x00\x01\x00" + b"\x01" * (1 << 16) + b"Ns.",
], ids=["deep", "shared", "several", "dict", "number of a megabit"])
def test_keys_that_are_slow_to_hash_are_never_hashed(stream):
    with pytest.raises(DataError, match="as the key of a dictionary"):
        loads(stream)


def test_plain_keys_are_kept():
    value = {1: "a", "x": {b"y": 2.0, None: 3, True: 4, -1 << 63: 5}, 0.5: {}}
    assert loads(pickle.dumps(value, protocol=4), allowed={}) == value


@pytest.mark.parametrize("value", [{1}, frozenset({1}), set()])
def test_sets_are_refused(value):
    with pytest.raises(DataError, match="holds a set"):
        loads(pickle.dumps(value, protocol=4), allowed={})


@pytest.mark.parametrize("long", [b"X" + struct.pack("<I", 100_000) + b"a" * 100_000, b"(" + b"N" * 10_000 + b"l"])
def test_one_long_argument_cannot_be_used_by_many_calls(long):
    calls = []
    stream = b"\x80\x02cany\nthing\nq\x00" + long + b"\x85q\x01(" + b"h\x00h\x01R" * 1000 + b"t."
    with pytest.raises(DataError, match="calls functions with more than it holds"):
        loads(stream, allowed={"any.thing": calls.append})
    assert len(calls) < 3


def test_a_shape_of_huge_numbers_is_not_multiplied():
    huge = b"\x8b" + struct.pack("<I", 100_000) + b"\x01" * 100_000
    with pytest.raises(DataError, match="impossible shape"):
        loads(patched(b"K\x02K\x03\x86", huge + b"2\x86"))


def test_several_pickles_in_a_stream():
    stream = io.BytesIO(pickle.dumps([1, 2], protocol=4) + pickle.dumps("b") + b"Qnumbers")
    assert safe_pickle.load(stream, allowed={}, what="x") == [1, 2]
    assert safe_pickle.load(stream, allowed={}, what="x") == "b"
    assert stream.read() == b"Qnumbers"


def test_objects_outside_of_the_pickle():
    stream = b"\x80\x02(X\x01\x00\x00\x00aK\x07tQ."
    assert safe_pickle.load(io.BytesIO(stream), allowed={}, what="x", persistent_load=lambda name: [name]) == [("a", 7)]
    with pytest.raises(DataError, match="outside of the pickle"):
        loads(stream)


def test_another_class_of_error_and_other_advice():
    for stream, expected in ((b"cposix\nsystem\n.", "^x: the pickle asks for 'posix.system'.* nothing in it was run. Ask me$"),
                             (b"\x80\x02\x1b", "^x: not a valid pickle")):
        with pytest.raises(CheckpointError, match=expected):
            safe_pickle.load(io.BytesIO(stream), allowed={}, what="x", error=CheckpointError, advice="Ask me")
    with pytest.raises(DataError, match="more than 3 operations"):
        safe_pickle.load(io.BytesIO(pickle.dumps([1, 2, 3])), allowed={}, what="x", max_operations=3)


def test_messages_are_printable():
    def bell(_):
        raise ValueError("\x07\x1b[31m red\n")

    with pytest.raises(DataError) as caught:
        safe_pickle.load(io.BytesIO(b"\x80\x02NQ."), allowed={}, what="x", persistent_load=bell)
    assert "[31m red" in str(caught.value) and str(caught.value).isprintable()
