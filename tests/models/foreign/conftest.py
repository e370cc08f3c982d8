"""Weight files made by hand, byte for byte, so that hostile ones can be made too and PyTorch is not needed."""

import io
import json
import pickle
import struct
import sys
import tarfile
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from resnet_np.errors import CheckpointError
from resnet_np.models import build
from resnet_np.models.checkpoint import net_arrays
from resnet_np.models.foreign.containers import read

KINDS = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "u1": "Byte", "b1": "Bool"}
SAFE = {"f4": "F32", "f8": "F64", "f2": "F16", "i8": "I64", "u1": "U8", "b1": "BOOL"}


class Forge:
    """Writers. `content` is the pickle of an object without its frame; `storages` is {key: array}."""

    magic = 0x1950A86A20F9469CFC6C

    # Pieces of pickles
    @staticmethod
    def text(value):
        raw = value.encode()
        return b"X" + struct.pack("<I", len(raw)) + raw

    @staticmethod
    def number(value):
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    @staticmethod
    def name(module, attribute):
        return f"c{module}\n{attribute}\n".encode()

    @staticmethod
    def tuple(*parts):
        return b"(" + b"".join(parts) + b"t"

    def numbers(self, values):
        return self.tuple(*map(self.number, values))

    def dict(self, **entries):
        return b"}(" + b"".join(self.text(key) + value for key, value in entries.items()) + b"u"

    def call(self, module, attribute, *arguments):
        return self.name(module, attribute) + self.tuple(*arguments) + b"R"

    def storage(self, key, size, kind="Float", part=None):
        named = (self.text("storage"), self.name("torch", f"{kind}Storage"), self.text(key), self.text("cpu"), self.number(size))
        return self.tuple(*named, *([part] if part else [])) + b"Q"

    def tensor(self, storage, shape, strides, first=0):
        return self.call("torch._utils", "_rebuild_tensor_v2", storage, self.number(first), self.numbers(shape),
                         self.numbers(strides), b"\x89", self.call("collections", "OrderedDict"))

    @staticmethod
    def framed(content):
        return b"\x80\x02" + content + b"."

    # Whole files
    def stream(self, content, storages, little_endian=True):
        machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        head = pickle.dumps(self.magic, 2) + pickle.dumps(1001, 2) + pickle.dumps(machine, 2)
        numbers = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
        return head + self.framed(content) + pickle.dumps(list(storages), 2) + numbers

    def zip(self, content, storages, extra=(), method=zipfile.ZIP_STORED):
        members = {"net/data.pkl": self.framed(content), "net/byteorder": b"little"}
        members |= {f"net/data/{key}": array.tobytes() for key, array in storages.items()}
        return self.archive([*members.items(), ("net/version", b"3\n"), *extra], method)

    @staticmethod
    def archive(members, method=zipfile.ZIP_STORED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, raw in members:
                archive.writestr(name, raw)
        return stream.getvalue()

    def tar_members(self, arrays, content=None):
        """Storages have the keys 1000, 1001, …; tensors 2000, 2001, …, in the order of the names."""
        storages = pickle.dumps(len(arrays), 2)
        tensors = pickle.dumps(len(arrays), 2)
        for place, array in enumerate(arrays.values()):
            kind = KINDS[array.dtype.str[1:]]
            key = self.number(1000 + place)
            storages += self.framed(self.tuple(key, self.text("cpu"), self.name("torch", f"{kind}Storage")))
            storages += struct.pack("<q", array.size) + array.tobytes()
            tensors += self.framed(self.tuple(self.number(2000 + place), key, self.name("torch", f"{kind}Tensor")))
            strides = [stride // array.itemsize for stride in array.strides]
            tensors += struct.pack(f"<ii{2 * array.ndim + 1}q", array.ndim, 0, *array.shape, *strides, 0)
        storages += pickle.dumps([], 2)
        if content is None:
            content = self.dict(**{name: self.text(str(2000 + place)) + b"Q" for place, name in enumerate(arrays)})
        return {"storages": storages, "tensors": tensors, "pickle": self.framed(content)}

    @staticmethod
    def tar(members, change=lambda header: None):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, raw in members if isinstance(members, list) else members.items():
                header = tarfile.TarInfo(name)
                header.size, header.mtime = len(raw), 0.5  # the fraction needs an extended header
                change(header)
                archive.addfile(header, io.BytesIO(raw))
        return stream.getvalue()

    @staticmethod
    def safetensors(header, numbers, length=None):
        raw = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(raw) if length is None else length) + raw + numbers

    @staticmethod
    def npz(arrays, compressed=False):
        stream = io.BytesIO()
        (np.savez_compressed if compressed else np.savez)(stream, **arrays)
        return stream.getvalue()

    # The same arrays in each
    def state_dict(self, arrays, part=None):
        """(content, storages) of an OrderedDict with attributes, as nets give. In a stream, the part of a storage is N: None."""
        entries, storages = b"", {}
        for place, (name, array) in enumerate(arrays.items()):
            storages[str(place)] = array
            strides = [stride // array.itemsize for stride in array.strides]
            storage = self.storage(str(place), array.size, KINDS[array.dtype.str[1:]], part)
            entries += self.text(name) + self.tensor(storage, array.shape, strides)
        metadata = self.dict(_metadata=self.call("collections", "OrderedDict"))
        return self.call("collections", "OrderedDict") + b"(" + entries + b"u" + metadata + b"b", storages

    def write(self, kind, arrays):
        if kind == "tar":
            return self.tar(self.tar_members(arrays))
        if kind in ("npz", "packed npz"):
            return self.npz(arrays, kind == "packed npz")
        if kind == "safetensors":
            header, numbers = {"__metadata__": {"format": "pt"}}, b""
            for name, array in arrays.items():
                place = [len(numbers), len(numbers) + array.nbytes]
                header[name] = {"dtype": SAFE[array.dtype.str[1:]], "shape": array.shape, "data_offsets": place}
                numbers += array.tobytes()
            return self.safetensors(header, numbers)
        return self.zip(*self.state_dict(arrays)) if kind == "zip" else self.stream(*self.state_dict(arrays, b"N"))


@pytest.fixture(scope="session")
def forge():
    return Forge()


@pytest.fixture
def arrays(rng):
    """A little of every type that weights come in."""
    return {
        "module.conv1.weight": rng.standard_normal((4, 3, 3, 3), np.float32),
        "bn1.weight": rng.standard_normal(4).astype(np.float16),
        "fc.weight": rng.standard_normal((2, 4)),
        "bn1.num_batches_tracked": np.array(7, np.int64),
        "mask": np.array([True, False]),
        "nothing": np.empty((0, 3), np.float32),
    }


@pytest.fixture
def write(tmp_path):
    """Bytes to a file whose suffix says nothing."""
    def write(content):
        path = tmp_path / "weights.bin"
        path.write_bytes(content)
        return path
    return write


@pytest.fixture
def refuse(write):
    """Read bytes that must be refused, in the time and memory that any file may take; gives the message after the path."""
    def refuse(content):
        path = write(content)
        tracemalloc.start()
        try:
            start = time.process_time()
            with pytest.raises(CheckpointError) as caught:
                read(path)
            traced = sys.gettrace() is not None  # coverage makes a loop over a million letters thirty times as slow
            assert time.process_time() - start < (10 if traced else 2)
            assert tracemalloc.get_traced_memory()[1] < (16 << 20) + 4 * len(content)
        finally:
            tracemalloc.stop()
        assert str(caught.value).isprintable() and len(str(caught.value)) < len(str(path)) + 500
        start = f"weights: {path}: "
        assert str(caught.value).startswith(start)
        return str(caught.value).removeprefix(start)
    return refuse


# Our names are torchvision's. Theirs, told once more and in another way than the package does it.
SPELLINGS = {
    "torchvision": [],
    "chenyaofo CIFAR": [],
    "akamaster CIFAR": [("downsample", "shortcut"), ("fc.", "linear.")],
    "kuangliu CIFAR": [("downsample", "shortcut"), ("fc.", "linear.")],
    "Hugging Face": [
        ("downsample.0", "shortcut.convolution"), ("downsample.1", "shortcut.normalization"), ("fc.", "classifier.1."),
        *((f"{stage}.{i}.{part}{k + 1}", f"{stage}.{i}.layer.{k}.{word}") for stage in "1234" for i in range(36) for k in range(3)
          for part, word in (("conv", "convolution"), ("bn", "normalization"))),
        *((f"layer{s + 1}.{i}.", f"resnet.encoder.stages.{s}.layers.{i}.") for s in range(4) for i in range(36)),
        ("conv1", "resnet.embedder.embedder.convolution"), ("bn1", "resnet.embedder.embedder.normalization"),
    ],
}


@pytest.fixture(scope="session")
def spelled():
    """spelled(arrays, dialect, prefix) -> the same arrays under the names of that dialect."""
    def spelled(arrays, dialect, prefix=""):
        renamed = {}
        for name, array in arrays.items():
            for ours, theirs in SPELLINGS[dialect]:
                name = name.replace(ours, theirs)
            renamed[prefix + name] = array
        return renamed
    return spelled


@pytest.fixture
def trained(rng):
    """trained(name, **options) -> a net of which every number, running statistics included, is its own."""
    def trained(name, **options):
        net = build(name, **options)
        for key, array in net_arrays(net).items():
            if array.ndim == 1:  # biases and means around 0, scales and variances between 1/2 and 1
                array[...] = rng.normal(0, 0.1, array.shape) if key.endswith(("bias", "mean")) else rng.uniform(0.5, 1, array.shape)
        return net
    return trained


@pytest.fixture
def written(tmp_path):
    """Arrays to an .npz file."""
    def written(arrays):
        np.savez(tmp_path / "weights.npz", **arrays)
        return tmp_path / "weights.npz"
    return written
