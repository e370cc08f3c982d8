"""Archives: read member by member, whatever they announce; hostile ones end in one clear line."""

import gzip
import os
import tarfile
import tracemalloc

import pytest

from data_tools import archives, batches, cifar
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit


def refusal(path):
    with pytest.raises(DataError) as caught:
        cifar.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.fixture(params=["bin", "py"])
def folder(request, tmp_path, image_set):
    return cifar.write(image_set(), tmp_path, request.param)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"some text", bytes(5000)])
def test_not_an_archive(tmp_path, content):
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(content)
    assert "no tar or tar.gz archive" in (message := refusal(path)) or "found none" in message


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_archive_cut_short(tmp_path, folder, share, pack):
    archive = pack(folder, tmp_path / "a.tar.gz")
    content = archive.read_bytes()
    archive.write_bytes(content[:int(share * len(content))])
    assert "cut short or damaged" in refusal(archive)


def test_damaged_archive(tmp_path, folder, rng, pack):
    content = bytearray(pack(folder, tmp_path / "a.tar.gz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "b.tar.gz").write_bytes(content)
    refusal(tmp_path / "b.tar.gz")


@pytest.mark.parametrize("name", ["../data_batch_1.bin", "/data_batch_1.bin", "a/../../data_batch_1.bin"])
def test_members_that_point_outside_are_refused(tmp_path, name, pack_members):
    assert "points outside" in refusal(pack_members(tmp_path / "a.tar.gz", [(name, b"x")]))
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz"]


def test_links_are_not_followed(tmp_path, image_set, pack_members):
    folder = cifar.write(image_set(), tmp_path, "bin")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_3.bin")
        link.type, link.linkname = kind, "cifar-10-batches-bin/data_batch_2.bin"
        members = [(f"cifar-10-batches-bin/{path.name}", path.read_bytes())
                   for path in sorted(folder.iterdir()) if path.name != "data_batch_3.bin"]
        assert "data_batch_3.bin missing" in refusal(pack_members(tmp_path / "a.tar.gz", [*members, (link, b"")]))


def test_a_member_twice(tmp_path, pack_members):
    batch = bytes(batches.RECORD)
    archive = pack_members(tmp_path / "a.tar.gz", [("x/data_batch_1.bin", batch), ("y/data_batch_1.bin", batch)])
    assert "data_batch_1.bin twice" in refusal(archive)


@pytest.mark.parametrize("member", ["cifar-10-batches-bin/data_batch_1.bin", "cifar-10-batches-bin/readme.html"])
def test_decompression_bomb(tmp_path, monkeypatch, member, pack_members):
    monkeypatch.setattr(archives, "MAX_FILE", 1 << 16)
    monkeypatch.setattr(archives, "MAX_BYTES", 1 << 18)
    archive = pack_members(tmp_path / "a.tar.gz", [(member, bytes(1 << 20)), ("x", b"")])
    assert archive.stat().st_size < 1 << 13
    assert "unpacks to more than" in refusal(archive)


def peak_of_refusal(path):
    tracemalloc.start()
    try:
        return refusal(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [True, False])
def test_a_size_that_is_announced_only_takes_no_memory(tmp_path, packed):
    header = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    header.size = archives.MAX_FILE
    content = header.tobuf() + b"x" * 100
    path = tmp_path / "a.tar"
    path.write_bytes(gzip.compress(content) if packed else content)
    message, peak = peak_of_refusal(path)
    assert "cut short or damaged" in message
    assert peak < 4 << 20


def test_announced_holes_are_not_filled(tmp_path, pack_members):
    sparse = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    sparse.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": sparse.name,
                          "GNU.sparse.size": str(60 << 20), "GNU.sparse.realsize": str(60 << 20), "GNU.sparse.map": "0,1"}
    message, peak = peak_of_refusal(pack_members(tmp_path / "a.tar.gz", [(sparse, b"x")]))
    assert "found none" in message
    assert peak < 4 << 20


def test_a_long_header_is_refused(tmp_path, pack_members):
    member = tarfile.TarInfo("x")
    member.pax_headers = {"comment": "x" * (60 << 20)}
    message, peak = peak_of_refusal(pack_members(tmp_path / "a.tar.gz", [(member, b"")]))
    assert "more than 8,192 bytes" in message
    assert peak < 4 << 20


def test_many_members_are_refused(tmp_path, pack_members):
    archive = pack_members(tmp_path / "a.tar.gz", [(f"x{number}", b"") for number in range(archives.MAX_MEMBERS + 1)])
    assert "more than 100 members" in refusal(archive)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "neither a folder nor a file" in refusal(tmp_path / "pipe")


