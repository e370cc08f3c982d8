"""Checkpoints: one `.npz` a net, readable without pickle.

    header                   JSON, as a zero-dimensional string: format, architecture, classes, batch norm settings, metadata
    parameter/<name>         every Parameter            buffer/<name>      every buffer
    velocity/<name>          the optimiser's state      normaliser/<name>  what the net was trained to see
    average/<name>           the weights that lookahead averages
    typical/<name>           what its training pictures have in common (training/novelty.py)

Saving never harms what is there: the file is written beside its target, flushed to the disk, and renamed. Loading trusts
nothing: what a file announces is held against its size before memory is set aside for it.
"""

import contextlib
import io
import json
import os
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from resnet_np.backend import like, to_host
from resnet_np.data import Normaliser
from resnet_np.errors import CheckpointError, ResNetNpError
from resnet_np.layers import BatchNorm2d, Layer
from resnet_np.models import resnet_cifar as cifar
from resnet_np.models import resnet_fast as fast
from resnet_np.models import resnet_imagenet as imagenet
from resnet_np.models.resnet import ResNet
from resnet_np.precision import PRECISIONS
from resnet_np.words import LONGEST_NAME, LONGEST_PATH, fits_on_a_line, one_line

FORMAT = 1
LARGEST_IMAGE = 1024  # pixels a side; a typing error must not fill the memory
HEADER_BYTES = 4 << 20  # by which the header may exceed the other arrays: it grows with the epochs, 1.6 kB each
DIRECTORY_BYTES = 64 << 10  # by which a zip's directory may exceed a 16th of its file: ours stay under 2 %
_DIRECTORY_END = struct.Struct("<4s4H2LH")  # signature, four counts, the directory's length and place, length of a comment
FAMILIES: dict[str, tuple[Callable[..., ResNet], Callable[..., int]]] = {
    "resnet_cifar": (cifar.resnet_cifar, cifar.parameter_count),
    "resnet_imagenet": (imagenet.resnet_imagenet, imagenet.parameter_count),
    "resnet_fast": (fast.resnet_fast, fast.parameter_count),
}
_ZIP64_END = b"PK\6\7"  # stands right before the above in an archive beyond 4 GB or 65,535 members


@dataclass
class Checkpoint:
    """A net with everything that is needed to use it and to go on training it.

    net         computes in the precision that it was trained in, unless net.precision is set to another
    metadata    whatever the run wants to remember, as JSON: step, best epoch, configuration, data set, versions
    velocities  the optimiser's state by parameter name; empty in a checkpoint that is only meant to be used
    averages    lookahead's, by name of the parameter or buffer; empty there too, and where a run does without
    image_size  side in pixels of the square that the net is shown: photos are resized until their shorter side has
    crop        image_size / crop pixels, and the middle is cut out
    typical     what is needed to tell that a picture is unlike the training pictures; empty where nobody knows
    """

    net: ResNet
    normaliser: Normaliser
    class_names: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    velocities: dict[str, np.ndarray] = field(default_factory=dict)
    image_size: int = 32
    crop: float = 1.0
    typical: dict[str, np.ndarray] = field(default_factory=dict)
    averages: dict[str, np.ndarray] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, previous: Path | None = None) -> None:
    """Write `path` atomically: a reader, or a power cut, sees the old file or the new one.

    previous: where the old file goes, if it is to be kept; a power cut in between leaves it there.
    Raises CheckpointError if it cannot be written, or could not be read back.
    """
    _check_class_names(list(checkpoint.class_names))
    _check_metadata(checkpoint.metadata)
    header = {
        "format": FORMAT,
        "architecture": checkpoint.net.architecture,
        "class_names": list(checkpoint.class_names),
        "batch_norm": _batch_norm_settings(checkpoint.net),
        "image_size": checkpoint.image_size,
        "crop": checkpoint.crop,
        "metadata": checkpoint.metadata,
    }
    arrays = {"header": np.array(json.dumps(header))}
    arrays |= {f"parameter/{name}": to_host(parameter.data) for name, parameter in checkpoint.net.named_parameters().items()}
    arrays |= {f"buffer/{name}": to_host(buffer) for name, buffer in checkpoint.net.named_buffers().items()}
    arrays |= {f"normaliser/{name}": array for name, array in checkpoint.normaliser.to_arrays().items()}
    arrays |= {f"velocity/{name}": velocity for name, velocity in checkpoint.velocities.items()}
    arrays |= {f"average/{name}": average for name, average in checkpoint.averages.items()}
    arrays |= {f"typical/{name}": array for name, array in checkpoint.typical.items()}
    _check_header(arrays["header"].nbytes, sum(array.nbytes for name, array in arrays.items() if name != "header"))
    write_atomically(path, lambda stream: np.savez(stream, **arrays), previous=previous)  # type: ignore[arg-type]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in it is run, and no memory is taken that the size of the file does not explain.

    Raises CheckpointError, in one line, if the file is missing, damaged or no checkpoint.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise CheckpointError(f"checkpoint: {path} is not there; give a run folder or an .npz file that `resnet-np train` wrote")
    try:
        with warnings.catch_warnings(action="ignore"):  # parsers warn about oddities of a damaged file before they refuse it
            arrays = _read_arrays(path)
            return rebuild(json.loads(arrays.pop("header").item()), arrays)
    except ResNetNpError as error:
        raise CheckpointError(f"checkpoint: {path} does not fit: {one_line(error, 300)}") from error
    except Exception as error:  # zip, NumPy and JSON each have their own for a damaged file; none may reach the user
        raise CheckpointError(
            f"checkpoint: {path} cannot be read ({one_line(error, 300)}); it is damaged or was not written by resnet_np"
        ) from error


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, previous: Path | None = None) -> None:
    """Call `write` with a temporary file beside `path`, flush it to the disk, rename it to `path`.

    previous: what was at `path` is renamed to this first, instead of being replaced.
    Raises CheckpointError if that fails; what was at `path` is then untouched, and the temporary file removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        if previous and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error if os.path.isdir(path.parent) else f"there is no folder {path.parent}"
        untouched = "; the file that was there before is untouched" if os.path.exists(path) else ""
        raise CheckpointError(f"cannot write {path}: {reason}{untouched}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders; its rename is journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file by name."""
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        _check_directory(stream, size)
        with zipfile.ZipFile(stream) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise ValueError("two of its arrays have the same name")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
                raise CheckpointError("its arrays are compressed; expected them as they are, as np.savez writes them")
            total = sum(member.file_size for member in members.values())
            if total > size or any(member.file_size != member.compress_size for member in members.values()):
                raise ValueError(f"it announces {total:,} bytes of arrays in a file of {size:,}")
            if "header" not in members:
                raise ValueError("it has no header")
            _check_header(members["header"].file_size, total - members["header"].file_size)
            return {name: _array(name, archive.read(member)) for name, member in members.items()}


def _check_directory(stream: BinaryIO, size: int) -> None:
    """Before zipfile makes an object of 800 bytes of every entry of 46."""
    stream.seek(max(0, size - _DIRECTORY_END.size - 20))
    tail = stream.read()
    end = tail[-_DIRECTORY_END.size :]
    if len(tail) < _DIRECTORY_END.size + 20 or not end.startswith(b"PK\5\6") or not end.endswith(b"\0\0"):
        raise ValueError("it is no .npz archive, or was cut short")
    directory = _DIRECTORY_END.unpack(end)[5]
    if tail.startswith(_ZIP64_END) or directory > size // 16 + DIRECTORY_BYTES:
        raise ValueError(f"its list of arrays takes {directory:,} bytes, too many for a file of {size:,}")


def _check_header(header: int, others: int) -> None:
    """Parsed JSON takes up to seven times its bytes. The same rule in saving: what is written can be read."""
    if header > others + HEADER_BYTES:
        raise CheckpointError(f"its header has {header:,} bytes, expected at most {others + HEADER_BYTES:,}")


def _array(name: str, raw: bytes) -> np.ndarray:
    """The array of one .npy file: text if it is the header, float32 otherwise."""
    stream = io.BytesIO(raw)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} is in another version of NumPy's format than 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=1000)
    if dtype.kind != "U" if name == "header" else dtype != np.float32:
        raise ValueError(f"{name} holds {dtype}, expected {'text' if name == 'header' else 'float32'}")
    # A view of what was read: a shape that asks for more than that does not fit.
    return np.frombuffer(raw, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran_order else "C").copy()


def rebuild(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Checkpoint:
    """What a header and the arrays under their names in the file make up. Raises CheckpointError, KeyError, TypeError or ValueError
    for what does not fit together."""
    if header["format"] != FORMAT:
        raise CheckpointError(f"its format is {header['format']!r}, this version of resnet_np reads {FORMAT}")
    architecture, metadata, batch_norm = dict(header["architecture"]), header["metadata"], header["batch_norm"]
    _check_metadata(metadata)
    if (family := architecture.pop("family")) not in FAMILIES:
        raise CheckpointError(f"expected a net of the family {' or '.join(FAMILIES)}, it holds one of {family!r}")
    if family == "resnet_fast":
        architecture.setdefault("pool", "mean")  # the only one that there was when checkpoints did not name it
    class_names = header["class_names"]
    _check_class_names(class_names)
    if len(class_names) != architecture["classes"]:
        raise CheckpointError(f"it names {len(class_names)} classes for {architecture['classes']} outputs")
    momentum, eps = float(batch_norm["momentum"]), float(batch_norm["eps"])
    if not 0 <= momentum <= 1 or not 0 < eps < 1:
        raise CheckpointError(f"its batch norm has momentum {momentum} and eps {eps}, expected numbers between 0 and 1")
    image_size, crop = header.get("image_size", 32), header.get("crop", 1.0)  # which earlier checkpoints lack
    if type(image_size) is not int or not 1 <= image_size <= LARGEST_IMAGE or type(crop) is not float or not 0.1 <= crop <= 1:
        raise CheckpointError(f"it wants pictures of {image_size!r} pixels, {crop!r} of the photo; expected 1 to "
                              f"{LARGEST_IMAGE:,}, and 0.1 to 1")
    build, parameter_count = FAMILIES[family]
    _check_size(parameter_count(**architecture), arrays)
    net = build(**architecture)
    load_arrays(
        net,
        {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(("parameter/", "buffer/"))},
    )
    for layer in _batch_norms(net):
        layer.momentum, layer.eps = momentum, eps
    if (trained_in := metadata.get("config", {}).get("precision")) in PRECISIONS:
        net.precision = trained_in
    return Checkpoint(
        net, Normaliser.from_arrays(_group(arrays, "normaliser/")), tuple(class_names), metadata, _group(arrays, "velocity/"),
        image_size, crop, _group(arrays, "typical/"), _group(arrays, "average/"))


def _check_class_names(names: Any) -> None:
    if not isinstance(names, list):
        raise CheckpointError(f"its class names are a {type(names).__name__}, expected a list of texts")
    for name in names:
        if not fits_on_a_line(name):
            raise CheckpointError(f"its class {one_line(repr(name), 60)} has no name that fits on a line, expected a text of 1 to "
                                  f"{LONGEST_NAME} letters that can be printed")


def _check_metadata(metadata: Any) -> None:
    """What several readers look up; the rest is its reader's business."""
    if not isinstance(metadata, dict):
        raise CheckpointError(f"its metadata is a {type(metadata).__name__}, expected a JSON object")
    for name in ("config", "dataset"):
        if not isinstance(metadata.get(name, {}), dict):
            raise CheckpointError(f"its {name} is a {type(metadata[name]).__name__}, expected a JSON object")
    seed = metadata.get("config", {}).get("split_seed", 0)
    if type(seed) is not int or seed < 0:
        raise CheckpointError(f"its split_seed is {seed!r}, expected a whole number of at least 0")
    dataset = metadata.get("dataset", {})
    if dataset and not all(fits_on_a_line(dataset.get(name)) for name in ("name", "digest")):
        raise CheckpointError("its dataset lacks a name or a digest that fits on a line")
    origin = dataset.get("origin", "")
    if not isinstance(origin, str) or len(origin) > LONGEST_PATH:
        raise CheckpointError(f"its pictures come from {one_line(repr(origin), 60)}, expected a path of at most {LONGEST_PATH:,} "
                              "letters")


def _check_size(parameters: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Before a net is built, which a few bytes of header may order by the gigabyte."""
    stored = sum(array.size for name, array in arrays.items() if name.startswith("parameter/"))
    if stored < parameters:
        raise CheckpointError(f"it holds {stored:,} parameters, expected {parameters:,} for the net that it announces")


def net_arrays(net: Layer) -> dict[str, np.ndarray]:
    """Every parameter and buffer by name: the arrays themselves."""
    return {name: parameter.data for name, parameter in net.named_parameters().items()} | net.named_buffers()


def load_arrays(net: Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy named arrays into a net's parameters and buffers. Names and shapes must be the net's own, dtypes floats no wider.

    Raises CheckpointError naming what is missing, left over or mis-shaped; the net is then unchanged.
    """
    targets = net_arrays(net)
    missing, left_over = sorted(targets.keys() - arrays.keys()), sorted(arrays.keys() - targets.keys())
    if missing or left_over:
        raise CheckpointError(
            f"missing arrays: {', '.join(missing[:3]) or 'none'}{' ...' * (len(missing) > 3)}; "
            f"left over: {', '.join(left_over[:3]) or 'none'}{' ...' * (len(left_over) > 3)}"
        )
    for name, target in targets.items():
        array = arrays[name]
        if array.shape != target.shape or array.dtype.kind != "f" or not np.can_cast(array.dtype, target.dtype):
            raise CheckpointError(f"{name} is {array.dtype} {array.shape}, expected {target.dtype} {target.shape}")
    for name, target in targets.items():
        target[...] = like(arrays[name], target)


def _group(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _batch_norms(layer: Layer) -> list[BatchNorm2d]:
    below = [found for child in layer.children.values() for found in _batch_norms(child)]
    return [layer, *below] if isinstance(layer, BatchNorm2d) else below


def copy_settings(net: Layer, source: Layer) -> None:
    """Give the batch norms of `net` the momentum and eps of those of `source`, a net of as many."""
    for norm, other in zip(_batch_norms(net), _batch_norms(source), strict=True):
        norm.momentum, norm.eps = other.momentum, other.eps


def _batch_norm_settings(net: Layer) -> dict[str, float]:
    first = _batch_norms(net)[0]
    return {"momentum": first.momentum, "eps": first.eps}
