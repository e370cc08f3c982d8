"""Six thousand damaged weight files, half of them with checksums that are right all the same: each is loaded, or is refused
in one line, in little time and little memory. The damage is random but seeded: a failure names its case.
"""

import functools
import io
import re
import struct
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from resnet_np.errors import CheckpointError
from resnet_np.models import load_weights
from resnet_np.models.checkpoint import net_arrays

pytestmark = pytest.mark.nojit
CASES = 600  # of each kind
SECONDS = 2
MEMORY = 16 << 20  # bytes, and four times the file
LARGE = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 33, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
WORDS = (*(str(number).encode() for number in LARGE), b"-1", b"8", b"F16", b"I64", b"C64", b"F4", b"1e9", b"9" * 400)  # in JSON
TAR_SIZE, TAR_CHECKSUM = slice(124, 136), slice(148, 156)  # of a header of 512 bytes


def place(rng, content):
    """Anywhere; but half of the time near an end, where the structure is."""
    near = int(rng.integers(min(len(content), 400)))
    return (near, len(content) - 1 - near, int(rng.integers(len(content))))[max(0, int(rng.integers(4)) - 1)]


def flip(rng, content):
    for _ in range(rng.integers(1, 9)):
        content[place(rng, content)] ^= 1 << int(rng.integers(8))


def truncate(rng, content):
    del content[place(rng, content):]


def insert(rng, content):
    at = place(rng, content)
    content[at:at] = rng.bytes(int(rng.integers(1, 600)))


def swap(rng, content):
    size = int(rng.integers(1, 600))
    one, other = sorted((place(rng, content), place(rng, content)))
    content[one:one + size], content[other:other + size] = content[other:other + size], content[one:one + size]


def duplicate(rng, content):
    start, at = place(rng, content), place(rng, content)
    content[at:at] = content[start:start + int(rng.integers(1, 1200))] * int(rng.integers(1, 4))


def enlarge(rng, content):
    """Write an extreme number where a length may stand."""
    at, size = place(rng, content), int(rng.choice([1, 4, 8]))
    value = LARGE[rng.integers(len(LARGE))] & ((1 << 8 * size) - 1)
    content[at:at + size] = value.to_bytes(size, "little" if rng.integers(4) else "big")


MUTATIONS = (flip, flip, truncate, insert, swap, duplicate, enlarge, enlarge)


def mutate(rng, content):
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if content:
            MUTATIONS[rng.integers(len(MUTATIONS))](rng, content)
    return bytes(content)


@functools.cache
def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def mutate_members(rng, content):
    """Damage inside of one member of a zip, or none and a longer directory, with checksums that are right."""
    held = dict(members(content))
    names = [*held, *[name for name in held if name.endswith("data.pkl")] * len(held)]
    chosen = names[rng.integers(len(names))]
    held[chosen] = mutate(rng, held[chosen])
    if rng.integers(40) == 0:
        held[chosen] += bytes(int(rng.integers(1, 30_000_000)))  # which shrink to a thousandth
    stream = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.integers(8) == 0 else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", method, compresslevel=1) as archive:
        for name, member in held.items():
            archive.writestr(name, member)
    return stream.getvalue()


def mutate_tar(rng, content):
    content = bytearray(mutate(rng, content))
    for start in range(0, len(content) - 511, 512):
        block = content[start:start + 512]
        if block[257:262] == b"ustar":
            if rng.integers(10) == 0:
                size = LARGE[rng.integers(len(LARGE))]
                block[TAR_SIZE] = b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")
            if rng.integers(10) == 0:
                block[156] = rng.choice(list(b"0123456789LKSxgX\0"))
            block[TAR_CHECKSUM] = b" " * 8
            block[TAR_CHECKSUM] = b"%06o\0 " % sum(block)
            content[start:start + 512] = block
    return bytes(content)


def mutate_header(rng, content):
    """Damage inside of a safetensors header, whose length is right."""
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8:8 + length]
    if rng.integers(2):
        numbers = list(re.finditer(rb"\d+|[A-Z]\w+", header))
        found = numbers[rng.integers(len(numbers))]
        header = header[:found.start()] + WORDS[rng.integers(len(WORDS))] + header[found.end():]
    else:
        header = mutate(rng, header)
    return struct.pack("<Q", len(header)) + header + content[8 + length:]


KINDS = {
    "stream": ("stream", mutate),
    "zip": ("zip", mutate), "zip members": ("zip", mutate_members),
    "tar": ("tar", mutate), "tar members": ("tar", mutate_tar),
    "npz": ("npz", mutate), "npz members": ("npz", mutate_members), "packed npz": ("packed npz", mutate),
    "safetensors": ("safetensors", mutate), "safetensors header": ("safetensors", mutate_header),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_little_damage(forge, net, write, kind):
    damage_many(forge, net, write, kind, 30)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage(forge, net, write, kind):
    outcomes, refusals = damage_many(forge, net, write, kind, CASES)
    # Damage that is always noticed, or never, tests nothing; but checksums may notice all of it.
    assert outcomes["refused"] > CASES // 10 and len(refusals) > 20
    assert outcomes["loaded"] or KINDS[kind][0] == "packed npz"


@pytest.fixture
def net(trained, arrays):
    """A small net, half of it in half precision, and beside it a little of every type of numbers."""
    weights = {f"module.{name}": array.astype(np.float16 if place % 2 else np.float32)
               for place, (name, array) in enumerate(net_arrays(trained("resnet8", width=1)).items())}
    return weights | {f"optimizer.{name}": array for name, array in arrays.items()}


def damage_many(forge, net, write, kind, cases):
    container, damage = KINDS[kind]
    sound = forge.write(container, net)
    assert load_weights(None, write(sound)).report.mapped == 37
    refusals, outcomes, slowest, largest = set(), {"loaded": 0, "refused": 0}, 0.0, 0.0
    for case in range(cases):
        content = damage(np.random.default_rng([case, len(kind)]), sound)
        path = write(content)
        tracemalloc.start()
        start = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = net_arrays(load_weights(None, path).checkpoint.net)
            outcomes["loaded"] += 1
            assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in found.values()), case
        except CheckpointError as error:
            outcomes["refused"] += 1
            assert str(error).isprintable(), case
            refusals.add(str(error).replace(str(path), "")[:120])
        except BaseException as error:
            error.add_note(f"{kind}, case {case}")
            raise
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        seconds, share = time.process_time() - start, peak / (MEMORY + 4 * len(content))
        assert seconds < SECONDS and share < 1, (kind, case, seconds, share)
        slowest, largest = max(slowest, seconds), max(largest, share)
    print(f"{kind}, {len(sound):,} bytes: {outcomes}, {len(refusals)} refusals, {slowest:.3f} s, {largest:.0%} of the memory")
    return outcomes, refusals
