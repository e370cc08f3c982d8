"""Containers that were made to harm: nothing that they announce is believed."""

import io
import os
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.containers import read

pytestmark = pytest.mark.nojit
EIGHT = {"0": np.arange(8, dtype=np.float32)}


def test_streams_that_end_elsewhere(forge, refuse):
    content = forge.dict(w=forge.tensor(forge.storage("0", 8), [8], [1]))
    whole = forge.stream(content, EIGHT)
    assert "bytes, expected" in refuse(whole[:-1])
    assert "bytes, expected" in refuse(whole + b"x")
    count, huge = struct.pack("<q", 8), struct.pack("<q", (1 << 63) - 1)
    for kind, size in (("Float", 1 << 61), ("Float", (1 << 63) - 1)):
        lying = forge.stream(forge.dict(w=forge.tensor(forge.storage("0", size, kind), [8], [1])), EIGHT)
        assert refuse(lying.replace(count, struct.pack("<q", size)))
    assert "numbers, expected 8" in refuse(whole.replace(count, huge))
    assert "its list names" in refuse(whole.replace(pickle.dumps(["0"], 2), pickle.dumps(["0", "0"], 2)))
    assert "its list of storages is none" in refuse(whole.replace(pickle.dumps(["0"], 2), pickle.dumps({}, 2)))


def test_streams_whose_head_is_wrong(forge, refuse):
    whole = forge.stream(b"}", {})
    for other, part in ((1002, "the protocol 1002, expected 1001"), ([], "the protocol of a list"),
                        (1 << 80, "the protocol of a int")):
        assert part in refuse(whole.replace(pickle.dumps(1001, 2), pickle.dumps(other, 2)))
    content = forge.dict(w=forge.tensor(forge.storage("0", 8), [8], [1]), v=forge.tensor(forge.storage("1", 8), [8], [1]))
    assert "cut short" in refuse(forge.stream(content, EIGHT | {"1": EIGHT["0"]})[:-40])  # where the second storage begins


def test_pickles_that_are_too_long_for_their_file(forge, refuse):
    long = forge.dict(x=b"B" + struct.pack("<I", 2_000_000) + bytes(2_000_000))
    assert "its data.pkl has 2,0" in refuse(forge.zip(long, {}))
    assert "not a valid pickle" in refuse(forge.stream(long, {}))
    assert "for names and shapes" in refuse(forge.tar(forge.tar_members({}, long)))


def deflated(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in members.items():
            with archive.open(name, "w", force_zip64=True) as member:
                for _ in range(size >> 20):
                    member.write(bytes(1 << 20))
    return stream.getvalue()


def test_zip_bombs(forge, refuse):
    bomb = deflated({"w.npy": 200 << 20})
    assert len(bomb) < 1 << 20 and "too many for a file" in refuse(bomb)
    stream = forge.npz({"w": np.zeros(1 << 20, np.float32)}, compressed=True)
    place = stream.rfind(b"PK\1\2") + 24
    assert "ends after 4,194,432 of 4,194,500 bytes" in refuse(stream[:place] + struct.pack("<L", 4_194_500) + stream[place + 4:])
    for lie in (1 << 30, 0xFFFFFFFF, 100):  # of the member's length, in the directory alone
        assert refuse(stream[:place] + struct.pack("<L", lie) + stream[place + 4:])
    content = forge.dict(w=forge.tensor(forge.storage("0", 8), [8], [1]))
    assert "expected 8 numbers" in refuse(forge.zip(content, {"0": np.zeros(1000, np.float32)}, method=zipfile.ZIP_DEFLATED))
    assert "too many for a file" in refuse(forge.zip(content, {"0": np.zeros(9 << 20, np.float32)}, method=zipfile.ZIP_DEFLATED))
    assert "unusual" in refuse(forge.zip(content, EIGHT, method=zipfile.ZIP_LZMA))


def test_zips_whose_members_overlap(forge, refuse):
    """A quine of a bomb: every entry of the directory is the same bytes."""
    raw = forge.zip(*forge.state_dict({"a": np.ones(500, np.float32), "b": np.ones(500, np.float32)}))
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        offsets = {info.filename: info.header_offset for info in archive.infolist()}
    first, second = (struct.pack("<L", offsets[f"net/data/{key}"]) for key in "01")
    entry = raw.rfind(second + b"net/data/1")
    assert "overlaps" in refuse(raw[:entry] + first + raw[entry + 4:])
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = forge.zip(b"}", EIGHT, extra=[("net/data/0", b"x")])
    assert "same name" in refuse(twice)
    assert "zip of" in refuse(forge.zip(b"}", EIGHT, extra=[("other/data.pkl", b"N.")]))


def test_zip64_lies(refuse):
    def archive(file_size, packed_size, offset, directory):
        name, extra = b"w.npy", struct.pack("<HHQQQ", 1, 24, file_size, packed_size, offset)
        local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, zlib.crc32(b"x"), 1, 1, len(name), 0) + name + b"x"
        entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 0, zlib.crc32(b"x"), 0xFFFFFFFF, 0xFFFFFFFF, len(name),
                            len(extra), 0, 0, 0, 0, 0xFFFFFFFF) + name + extra
        size = len(entry) if directory is None else directory
        end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, size, len(local))
        end += struct.pack("<4sLQL", b"PK\6\7", 0, len(local) + len(entry), 1)
        return local + entry + end + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)

    assert "magic" in refuse(archive(1, 1, 0, None))  # sound, but for what the member holds
    for lies in ((1 << 62, 1, 0, None), (1, 1 << 62, 0, None), (1, 1, 1 << 62, None), (1, 1, 0, 1 << 62),
                 (1 << 63, 1 << 63, 0, None), ((1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1)):
        assert refuse(archive(*lies))


def test_a_directory_of_many_members(refuse):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for place in range(20_000):
            archive.writestr(f"{place}", b"")
    raw = stream.getvalue()
    assert "has a part of" in refuse(raw)


def test_damaged_numbers_are_noticed(forge, refuse, arrays):
    for kind in ("zip", "npz"):
        raw = bytearray(forge.write(kind, arrays))
        raw[raw.find(arrays["module.conv1.weight"].tobytes()) + 5] ^= 1
        assert "CRC" in refuse(bytes(raw))


def test_tars_that_lie(forge, refuse, tmp_path):
    members = forge.tar_members({"w": EIGHT["0"]})

    def changed(**values):
        def change(header):
            for name, value in values.items() if header.name == "tensors" else ():
                setattr(header, name, value)
        return forge.tar(members, change)

    for name in ("../../tensors", "/etc/passwd", "a/tensors", "\x1b[31m"):
        assert "is a tar with the member" in refuse(changed(name=name))
    for kind in (b"1", b"2", b"3", b"5", b"6", b"L", b"K"):
        assert refuse(changed(type=kind, linkname=str(tmp_path)))
    assert "once each" in refuse(forge.tar([*members.items(), ("tensors", members["tensors"])]))
    for size in (1 << 33, -1, 1 << 62):
        raw = bytearray(forge.tar(members))
        header = raw.find(b"tensors\0")
        raw[header + 124:header + 136] = b"\x80" + size.to_bytes(11, "big") if size > 0 else b"\xff" * 12
        raw[header + 148:header + 156] = b" " * 8
        raw[header + 148:header + 156] = b"%06o\0 " % sum(raw[header:header + 512])
        assert refuse(bytes(raw))
    raw = bytearray(forge.tar(members))
    raw[raw.find(b"tensors\0") + 148] ^= 1
    assert "a damaged header at byte" in refuse(bytes(raw))
    assert os.listdir(tmp_path) == ["weights.bin"]


def test_tars_whose_parts_lie(forge, refuse):
    sound = forge.tar_members({"w": EIGHT["0"]})
    count = struct.pack("<q", 8)
    for name, old, new in (("storages", count, struct.pack("<q", -1)), ("storages", count, struct.pack("<q", 1 << 60)),
                           ("storages", pickle.dumps(1, 2), pickle.dumps(10**9, 2)),
                           ("tensors", pickle.dumps(1, 2), pickle.dumps(2, 2)),
                           ("storages", pickle.dumps([], 2), pickle.dumps([(1, 5, 0, 1)], 2)),
                           ("storages", pickle.dumps([], 2), pickle.dumps([(1, 1000, 7, 2)], 2)),
                           ("storages", pickle.dumps([], 2), pickle.dumps([1], 2)),
                           ("storages", b"FloatStorage", b"QInt8Storage"), ("storages", b"FloatStorage", b"FloatTensor"),
                           ("tensors", forge.number(1000), forge.number(7)), ("tensors", forge.number(1000), b"N"),
                           ("pickle", b"2000", b"9999"), ("pickle", b"2000", b"x" * 4)):
        assert sound[name].count(old) == 1
        assert refuse(forge.tar(sound | {name: sound[name].replace(old, new)}))


def test_safetensors_that_lie(forge, refuse):
    numbers = bytes(32)

    def tensor(dtype="F32", shape=(8,), place=(0, 32)):
        return {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}

    for length in (1 << 63, (1 << 64) - 1, 1 << 30, 1 << 20, 0, 1):
        assert refuse(forge.safetensors({"w": tensor()}, numbers, length))
    for header in ({"w": tensor(place=(0, 64))}, {"w": tensor(place=(8, 40))}, {"w": tensor(place=(32, 0))},
                   {"w": tensor(shape=(9,))}, {"w": tensor(shape=(1 << 62, 4))}, {"w": tensor(shape=(-8,))},
                   {"w": tensor(), "v": tensor()},
                   {"w": tensor(shape=(4,), place=(0, 16)), "v": tensor(shape=(5,), place=(12, 32))},
                   {"w": tensor(shape=(4,), place=(0, 16))}, {"w": [1]}, b'{"w": ', b"{" + b'"a":{' * 5000, b"{" + b" " * 100_000):
        assert refuse(forge.safetensors(header, numbers))
    for dtype, shape in (("C64", (4,)), ("F8_E4M3", (32,)), ("F8_E5M2", (32,))):
        assert f"its tensor w holds {dtype} numbers, expected float64, float32, float16, bfloat16, int64, int32, int16, int8, " \
               "uint64, uint32, uint16, uint8 or bool; save it" in refuse(forge.safetensors({"w": tensor(dtype, shape)}, numbers))
    many = {f"{place}": tensor("U8", (0,), (0, 0)) for place in range(40_000)}
    assert "announces a header of" in refuse(forge.safetensors(many, b""))


def test_npz_that_lie(forge, refuse, tmp_path):
    trace = tmp_path / "trace"
    program = type("Program", (), {"__reduce__": lambda _: (os.system, (f"echo > {trace}",))})
    objects = np.array([program()], object)
    assert "holds object" in refuse(forge.npz({"w": objects}))
    assert not trace.exists()
    for array in (np.array(["a"]), np.zeros(2, [("a", "f4")]), np.zeros(2, np.complex64), np.zeros(2, "V2"), np.zeros(2, "M8[s]")):
        assert f"its array w holds {array.dtype}, expected float64, float32, float16, int64, int32, int16, int8, uint64, uint32, " \
               "uint16, uint8 or bool; save it as one of these" in refuse(forge.npz({"w": array}))
    raw = io.BytesIO()
    np.save(raw, np.zeros(100, np.float32))
    raw = raw.getvalue()
    for old, new in ((b"(100,)", b"(101,)"), (b"(100,)", b"(-1, )"), (b"(100,), ", b"(99**99)"), (b"(100,)", b"1<<40 "),
                     (b"'<f4'", b"'|O' "), (b"\x93NUMPY\x01", b"\x93NUMPY\x09"), (b"v\0", b"\xff\xff")):
        assert raw.count(old) == 1, old
        assert refuse(forge.archive([("w.npy", raw.replace(old, new))]))
    assert "in version (3, 0)" in refuse(forge.archive([("w.npy", raw.replace(b"\x93NUMPY\x01", b"\x93NUMPY\x03"))]))
    assert "a zip of w.npy, readme.txt" in refuse(forge.archive([("w.npy", raw), ("readme.txt", b"")]))


def test_a_file_that_shrinks(forge, write, arrays, monkeypatch):
    path = write(forge.write("stream", arrays))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    monkeypatch.setattr("resnet_np.models.foreign.source.os.fstat", lambda _: type("Status", (), {"st_size": size}))
    with pytest.raises(CheckpointError, match="became shorter while it was read"):
        read(path)


def test_names_that_are_made_to_be_searched_for_long(forge, refuse):
    """Patterns that backtrack need seconds for names of 100,000 letters."""
    for name in (".optimizer." * 90_000 + "\n", "module." * 90_000, "layer1.0.se." * 40, "a\x1b[31m", ""):
        header = {name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
        assert "expected 1 to 300 printable letters" in refuse(forge.safetensors(header, b"12345678"))
