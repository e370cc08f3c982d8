"""Twelve thousand damaged files: each reads, or is refused in one line, in little time and little memory.

The damage is random but seeded: case n of a kind is the same in every run, and a failure names it.
"""

import gzip
import io
import pickle
import re
import tarfile
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from data_tools import cifar, photos
from resnet_np.errors import DataError

pytestmark = [pytest.mark.nojit, pytest.mark.slow, pytest.mark.filterwarnings("ignore:invalid escape sequence")]
CASES = 600  # of each kind
SECONDS = 2
MEMORY = 16 << 20  # bytes, and four times the file
LARGE = (0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x8000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 1 << 40, 3 << 30)
TAR_SIZE = slice(124, 136)  # of a header of 512 bytes
TAR_CHECKSUM = slice(148, 156)


def place(rng, content):
    """Anywhere; but half of the time near an end, where the structure is: pixels fill the rest."""
    near = rng.integers(min(len(content), 400))
    return int(rng.choice([rng.integers(len(content)), near, len(content) - 1 - near], p=[0.5, 0.3, 0.2]))


def flip(rng, content):
    for _ in range(rng.integers(1, 9)):
        content[place(rng, content)] ^= 1 << rng.integers(8)


def overwrite(rng, content):
    at, size = place(rng, content), int(rng.integers(1, 9))
    content[at:at + size] = rng.bytes(size)


def truncate(rng, content):
    del content[place(rng, content):]


def insert(rng, content):
    at = place(rng, content)
    content[at:at] = rng.bytes(int(rng.integers(1, 600)))


def duplicate(rng, content):
    start = place(rng, content)
    piece = content[start:start + int(rng.integers(1, 1200))]
    at = place(rng, content)
    content[at:at] = piece * int(rng.integers(1, 4))


def enlarge(rng, content):
    """Write a large number where a length may stand."""
    at, size = place(rng, content), int(rng.choice([4, 8]))
    value = int(LARGE[rng.integers(len(LARGE))]) & ((1 << 8 * size) - 1)
    content[at:at + size] = value.to_bytes(size, "little" if rng.integers(2) else "big")


MUTATIONS = (flip, overwrite, truncate, insert, duplicate, enlarge)


def mutate(rng, content):
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if content:
            MUTATIONS[rng.integers(len(MUTATIONS))](rng, content)
    return bytes(content)


def mutate_tar(rng, content):
    """Damage, and headers whose checksums are right all the same, so that it is not the checksum that finds it."""
    content = bytearray(mutate(rng, content))
    for start in range(0, len(content) - 511, 512):
        block = content[start:start + 512]
        if block[257:262] == b"ustar":
            if rng.integers(8) == 0:
                size = int(LARGE[rng.integers(len(LARGE))])
                block[TAR_SIZE] = b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")
            if rng.integers(8) == 0:
                block[156] = rng.choice(list(b"0123456789LKSxgX\0"))
            block[TAR_CHECKSUM] = b" " * 8
            block[TAR_CHECKSUM] = b"%06o\0 " % sum(block)
            content[start:start + 512] = block
    return bytes(content)


def mutate_members(rng, content):
    """Damage inside of one member of a zip, whose checksum is right all the same."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    names = list(held)
    chosen = names[rng.integers(len(names))]
    if rng.integers(4):
        held[chosen] = mutate(rng, held[chosen])
    else:  # the first number of its header, a length or the width of a text
        large = str(LARGE[rng.integers(len(LARGE))]).encode()
        held[chosen] = held[chosen][:10] + re.sub(rb"\d+", large, held[chosen][10:128], count=1) + held[chosen][128:]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, member in held.items():
            archive.writestr(name, member)
    return stream.getvalue()


@pytest.fixture
def kinds(tmp_path, image_set):
    """Of each kind: what is read, the file that is damaged, its sound content, and how it is damaged."""
    small = image_set(train=10, test=2)
    folders = {layout: cifar.write(small, tmp_path, layout) for layout in ("bin", "py")}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add(folders["bin"], "cifar-10-batches-bin")  # its times are fractions: extended headers hold them
    tar = stream.getvalue()
    batch = folders["py"] / "data_batch_2"
    raw = pickle.dumps(pickle.loads(batch.read_bytes()), protocol=4)  # bytes as they are; protocol 2 writes them as text
    npz = cifar.write(small, tmp_path / "set.npz", "npz")
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(tar, 1))
    return {
        "pickle": (folders["py"], batch, batch.read_bytes(), mutate),
        "raw pickle": (folders["py"], batch, raw, mutate),
        "binary": (folders["bin"], folders["bin"] / "data_batch_2.bin", (folders["bin"] / "data_batch_2.bin").read_bytes(), mutate),
        "archive": (archive, archive, archive.read_bytes(), mutate),
        "tar": (archive, archive, tar, lambda rng, content: gzip.compress(mutate_tar(rng, content), 1)),
        "npz": (npz, npz, npz.read_bytes(), mutate),
        "npz member": (npz, npz, npz.read_bytes(), mutate_members),
    }


@pytest.mark.parametrize("kind", ["pickle", "raw pickle", "binary", "archive", "tar", "npz", "npz member"])
def test_damage(kinds, kind):
    path, file, sound, damage = kinds[kind]
    outcomes = {"read": 0, "refused": 0}
    tracemalloc.start()
    try:
        assert read(path, file.stat().st_size) == "read"
        for case in range(CASES):
            content = damage(np.random.default_rng([case, len(kind)]), sound)
            file.write_bytes(content)
            try:
                outcomes[read(path, len(content))] += 1
            except BaseException as error:
                error.add_note(f"{kind}, case {case}")
                raise
    finally:
        tracemalloc.stop()
    # Damage that is always noticed, or never, tests nothing; but a checksum, of the whole file, may notice all of it.
    assert outcomes["refused"] > CASES // 10, outcomes
    assert outcomes["read"] or kind in ("archive", "npz"), outcomes


PICTURES = {  # Pillow's format, mode and options
    "JPEG": ("JPEG", "RGB", {}), "progressive JPEG": ("JPEG", "RGB", {"progressive": True}), "PNG": ("PNG", "RGB", {}),
    "palette PNG": ("PNG", "P", {}), "GIF": ("GIF", "P", {}), "BMP": ("BMP", "RGB", {}), "palette BMP": ("BMP", "P", {}),
    "PPM": ("PPM", "RGB", {}), "WebP": ("WEBP", "RGB", {}), "TIFF": ("TIFF", "RGB", {}), "deep TIFF": ("TIFF", "I;16", {}),
    "LZW": ("TIFF", "RGB", {"compression": "tiff_lzw"}), "fax": ("TIFF", "1", {"compression": "group4"}),
    "JPEG in a TIFF": ("TIFF", "RGB", {"compression": "jpeg"}),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_damaged_pictures(tmp_path, kind, rng, capfd, recwarn):
    form, mode, options = PICTURES[kind]
    exif, stream = Image.Exif(), io.BytesIO()
    exif[photos.ORIENTATION] = 6
    picture = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    picture = picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)
    picture.save(stream, form, exif=exif, **options)
    outcomes = {"read": 0, "refused": 0}
    for case in range(CASES):
        (tmp_path / "photo").write_bytes(mutate(np.random.default_rng([case, len(kind)]), stream.getvalue()))
        start = time.thread_time()  # of millions of pixels, some of them: neighbours on the machine must not count
        try:
            photos.read(tmp_path / "photo", image_size=16)
            outcomes["read"] += 1
        except DataError as error:
            assert str(error).isprintable()
            outcomes["refused"] += 1
        except BaseException as error:
            error.add_note(f"{kind}, case {case}")
            raise
        assert time.thread_time() - start < SECONDS, case
    assert min(outcomes.values()) > (0 if "PNG" in kind else CASES // 20), outcomes  # a PNG has checksums
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def read(path, size):
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    start = time.thread_time()
    try:
        cifar.read(path)
        outcome = "read"
    except DataError as error:
        assert "\n" not in str(error)
        outcome = "refused"
    seconds, peak = time.thread_time() - start, tracemalloc.get_traced_memory()[1] - before
    assert seconds < SECONDS
    assert peak < MEMORY + 4 * size
    return outcome
