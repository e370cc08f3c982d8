"""Six hundred damaged checkpoints: each is refused in one line, quickly and in little memory, or loads as a whole net."""

import io
import json
import re
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from resnet_np.data import CIFAR10
from resnet_np.errors import CheckpointError
from resnet_np.models import Checkpoint, load_checkpoint, resnet_cifar, save_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.nojit]

COUNT = 600
LARGE = (0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 31, 1 << 33, (1 << 63) - 1, (1 << 64) - 1)


def place(rng, data):
    """Anywhere, or where structure lies thick: the first bytes and the directory at the end."""
    start, stop = [(0, len(data)), (0, min(400, len(data))), (max(0, len(data) - 5000), len(data))][rng.integers(3)]
    return int(rng.integers(start, stop))


def flip(rng, data):
    for _ in range(rng.integers(1, 9)):
        data[place(rng, data)] ^= 1 << rng.integers(8)


def overwrite(rng, data):
    start = place(rng, data)
    new = rng.bytes(int(rng.integers(1, 64)))
    data[start:start + len(new)] = new


def truncate(rng, data):
    del data[place(rng, data):]


def insert(rng, data):
    start = place(rng, data)
    data[start:start] = rng.bytes(int(rng.integers(1, 200)))


def duplicate(rng, data):
    start, target = place(rng, data), place(rng, data)
    data[target:target] = data[start:start + int(rng.integers(1, 3000))]


def enlarge(rng, data):
    start, width = place(rng, data), int(rng.choice([1, 2, 4, 8]))
    value = LARGE[rng.integers(len(LARGE))] & ((1 << 8 * width) - 1)
    data[start:start + width] = value.to_bytes(width, "little")


def count(rng, data):
    """Another number, mostly a large one, where one stands in decimal: a shape, a width, a depth."""
    numbers = list(re.finditer(rb"\d+", data[:2000]))
    if numbers:
        found = numbers[rng.integers(len(numbers))]
        data[found.start():found.end()] = COUNTS[rng.integers(len(COUNTS))]


MUTATIONS = (flip, overwrite, truncate, insert, duplicate, enlarge, count)
COUNTS = (b"0", b"-1", b"8", b"1202", b"50000000", b"1000000000", b"1000000000000", b"9" * 40, b"9" * 5000)
ODD = (None, True, -1, 0, 1202, 10**8, 10**30, float("nan"), "", "x" * 5000, "\ud800", [], {}, [[]], {"a": {}}, list(range(2000)))


def spoil(rng, value):
    """Somewhere in the header, another value, a missing key or a new one."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[rng.integers(len(value))]
        chance = rng.random()
        if chance < 0.1:
            return {name: item for name, item in value.items() if name != key}
        if chance < 0.2:
            return value | {"seed": ODD[rng.integers(len(ODD))]}
        return value | {key: spoil(rng, value[key])}
    return ODD[rng.integers(len(ODD))]


def mutated_header(rng, raw):
    text = np.load(io.BytesIO(raw)).item()
    if rng.random() < 0.6:
        text = json.dumps(spoil(rng, json.loads(text)))
    else:
        letters = bytearray(text.encode())
        MUTATIONS[rng.integers(len(MUTATIONS))](rng, letters)
        text = letters.decode("latin1")
    stream = io.BytesIO()
    np.save(stream, np.array(text))
    return stream.getvalue()


def mutated_member(rng, contents):
    """The archive written again with a valid CRC, so that the damage reaches the readers of headers and arrays."""
    name = "header.npy" if rng.random() < 0.5 else list(contents)[rng.integers(len(contents))]
    if name == "header.npy" and rng.random() < 0.8:
        changed = mutated_header(rng, contents[name])
    else:
        data = bytearray(contents[name])
        head = data[:128]
        MUTATIONS[rng.integers(len(MUTATIONS))](rng, head)
        changed = bytes(head + data[128:])
    packed = rng.random() < 0.05
    if packed:  # zeros shrink to a thousandth
        changed += bytes(int(rng.integers(1, 60_000_000)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED, compresslevel=1) as archive:
        for other, content in contents.items():
            archive.writestr(other, changed if other == name else content)
    return stream.getvalue()


def test_mutations(tmp_path):
    net = resnet_cifar(8, classes=3)
    path = tmp_path / "net.npz"
    dataset = {"name": "custom", "origin": "a test", "digest": "0" * 16}
    metadata = {"config": {"split_seed": 0, "lr": 0.1}, "dataset": dataset, "progress": {"step": 7, "records": [{"epoch": 1}]}}
    save_checkpoint(path, Checkpoint(net, CIFAR10, ("a", "b", "c"), metadata))
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    refused, loaded, slowest, largest = set(), 0, 0.0, 0.0
    tracemalloc.start()
    try:
        for seed in range(COUNT):
            rng = np.random.default_rng([7, seed])
            if seed % 2:
                data = mutated_member(rng, contents)
            else:
                mutable = bytearray(whole)
                for _ in range(rng.integers(1, 3)):
                    if mutable:
                        MUTATIONS[rng.integers(len(MUTATIONS))](rng, mutable)
                data = bytes(mutable)
            path.write_bytes(data)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            start = time.thread_time()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    found = load_checkpoint(path)
                except CheckpointError as error:
                    assert str(error).isprintable(), seed
                    refused.add(str(error).replace(str(path), "")[:60])
                else:
                    loaded += 1
                    assert found.net.named_parameters().keys() == net.named_parameters().keys(), seed
            seconds = time.thread_time() - start
            share = (tracemalloc.get_traced_memory()[1] - before) / ((16 << 20) + 4 * len(data))
            assert seconds < 2 and share < 1, (seed, seconds, share)
            slowest, largest = max(slowest, seconds), max(largest, share)
    finally:
        tracemalloc.stop()
    print(f"{loaded} of {COUNT} loaded, {len(refused)} refusals, at most {slowest:.3f} s and {largest:.0%} of the memory bound")
    assert len(refused) > 40 and 0 < loaded < COUNT / 2  # the mutations reach many places, and most of them matter
