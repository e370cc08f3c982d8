"""Hostile files through `python -m data_tools verify`: one clear line, no code run, nothing written."""

import gzip
import io
import os
import pickle
import tarfile
import time

import numpy as np
import pytest

from data_tools import __main__ as command
from data_tools import archives, cifar

pytestmark = pytest.mark.nojit


@pytest.fixture
def refusal(tmp_path, capsys):
    """A path to verify -> the one line that it ends in."""
    def verify(path):
        before = sorted(tmp_path.rglob("*"))
        start = time.process_time()
        assert command.main(["verify", str(path)]) == 2
        assert time.process_time() - start < 10
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"data_tools: {path}")
        assert err.endswith("\n")
        assert len(err.splitlines()) == 1
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        return err
    return verify


@pytest.fixture
def folder(tmp_path, image_set):
    return cifar.write(image_set(), tmp_path / "set", "bin")


@pytest.mark.parametrize("packed", [False, True])
def test_a_pickle_that_runs_code(tmp_path, image_set, pack, refusal, packed):
    class Evil:
        def __reduce__(self):
            return os.system, (f"echo run > {tmp_path / 'evil'}",)

    folder = cifar.write(image_set(), tmp_path, "py")
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": Evil(), b"labels": [1]}))
    line = refusal(pack(folder, tmp_path / "a.tar.gz") if packed else folder)
    assert "test_batch: the pickle asks for 'posix.system', which has no place in such a file; nothing in it was run" in line


@pytest.mark.parametrize("layout", ["bin", "py"])
def test_a_label_of_200(tmp_path, image_set, refusal, layout):
    wrong = image_set()
    wrong.test_labels[2] = 200
    assert "test_batch" in (line := refusal(cifar.write(wrong, tmp_path / "x", layout)))
    assert "record 2 has the label 200, expected 0 to 9" in line


def test_a_truncated_batch(folder, refusal):
    path = folder / "data_batch_4.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert "has 9,218 bytes, expected 30,730,000 (or fewer, in whole records of 3073); it was cut short" in refusal(folder)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", ".."])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE])
def test_members_that_point_outside(tmp_path, folder, pack_members, refusal, name, kind):
    member = tarfile.TarInfo(name)
    member.type = kind
    good = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    assert "points outside; refusing the archive" in refusal(pack_members(tmp_path / "a.tar.gz", [*good, (member, b"")]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"\xff"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "data_batch_1.bin"])
def test_links_and_devices(tmp_path, folder, pack_members, refusal, kind, target):
    member = tarfile.TarInfo("data_batch_3.bin")
    member.type, member.linkname = kind, target
    good = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir()) if path.name != member.name]
    line = refusal(pack_members(tmp_path / "a.tar.gz", [*good, (member, b"")]))
    assert "data_batch_3.bin missing" in line
    assert "/etc/passwd" not in line


def zeros(path, count):
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(count):
            stream.write(bytes(1 << 20))
    return path


def test_a_gzip_of_zeros(tmp_path, refusal):
    assert "found none" in (line := refusal(zeros(tmp_path / "a.tar.gz", 64))) or "damaged" in line


def test_an_archive_that_goes_on_with_zeros(tmp_path, folder, pack, refusal, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 32 << 20)
    archive = pack(folder, tmp_path / "a.tar.gz")
    archive.write_bytes(archive.read_bytes() + zeros(tmp_path / "zeros", 64).read_bytes())
    assert "unpacks to more than 33,554,432 bytes" in refusal(archive)


def test_a_batch_of_zeros(tmp_path, refusal):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        member = tarfile.TarInfo("data_batch_1.bin")
        member.size = archives.MAX_FILE + 1
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    assert path.stat().st_size < 1 << 20
    assert "unpacks to more than 67,108,864 bytes" in refusal(path)


def test_many_members(tmp_path, pack_members, refusal):
    path = pack_members(tmp_path / "a.tar.gz", [(f"picture{number}", b"") for number in range(2_000)])
    assert "more than 100 members" in refusal(path)


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "set.npz", "set"])
@pytest.mark.parametrize("magic", [b"", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x93NUMPY", b"BZh9", b"\xfd7zXZ\0", b"\x80\x02"])
def test_random_bytes(tmp_path, refusal, rng, name, magic):
    (tmp_path / name).write_bytes(magic + rng.bytes(5000))
    assert "get it again" in refusal(tmp_path / name)


def test_random_bytes_as_batches(folder, refusal, rng):
    for path in folder.iterdir():
        path.write_bytes(rng.bytes(3 * 3073))
    assert "expected 0 to 9" in refusal(folder)


def test_an_npz_that_runs_code(tmp_path, refusal):
    class Evil:
        def __reduce__(self):
            return os.system, (f"echo run > {tmp_path / 'evil'}",)

    np.savez(tmp_path / "a.npz", **dict.fromkeys(("train_images", "train_labels", "test_images", "test_labels", "classes"),
                                                 np.array([Evil()], object)))
    assert "Python objects, which are programs" in refusal(tmp_path / "a.npz")
