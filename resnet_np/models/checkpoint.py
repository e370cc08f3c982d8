"""Checkpoints: one `.npz` a net, readable without pickle.

    header                   JSON, as a zero-dimensional string: format, architecture, classes, batch norm settings, metadata
    parameter/<name>         every Parameter            buffer/<name>      every buffer
    velocity/<name>          the optimiser's state      normaliser/<name>  what the net was trained to see

Saving never harms what is there: the file is written beside its target, flushed to the disk, and renamed.
"""

import contextlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from resnet_np.data import Normaliser
from resnet_np.errors import CheckpointError, ResNetNpError
from resnet_np.layers import BatchNorm2d, Layer
from resnet_np.models.resnet_cifar import ResNetCifar, resnet_cifar

FORMAT = 1


@dataclass
class Checkpoint:
    """A net with everything that is needed to use it and to go on training it.

    metadata    whatever the run wants to remember, as JSON: step, best epoch, configuration, data set, versions
    velocities  the optimiser's state by parameter name; empty in a checkpoint that is only meant to be used
    """

    net: ResNetCifar
    normaliser: Normaliser
    class_names: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    velocities: dict[str, np.ndarray] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path` atomically: a reader, or a power cut, sees the old file or the new one.

    Raises CheckpointError if it cannot be written.
    """
    header = {
        "format": FORMAT,
        "architecture": checkpoint.net.architecture,
        "class_names": list(checkpoint.class_names),
        "batch_norm": _batch_norm_settings(checkpoint.net),
        "fused": False,
        "metadata": checkpoint.metadata,
    }
    arrays = {"header": np.array(json.dumps(header))}
    arrays |= {f"parameter/{name}": parameter.data for name, parameter in checkpoint.net.named_parameters().items()}
    arrays |= {f"buffer/{name}": buffer for name, buffer in checkpoint.net.named_buffers().items()}
    arrays |= {f"normaliser/{name}": array for name, array in checkpoint.normaliser.to_arrays().items()}
    arrays |= {f"velocity/{name}": velocity for name, velocity in checkpoint.velocities.items()}
    write_atomically(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in it is run.

    Raises CheckpointError, in one line, if the file is missing, damaged or no checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint: {path} is not there; give a run folder or an .npz file that `resnet-np train` wrote")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"checkpoint: {path} is no .npz archive, or was cut short; give one that `resnet-np train` wrote")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(arrays["header"].item())
        return _rebuild(path, header, arrays)
    except ResNetNpError as error:
        raise CheckpointError(f"checkpoint: {path} does not fit: {error}") from error
    except Exception as error:  # zip, zlib, NumPy and JSON each have their own for a damaged file; none may reach the user
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"checkpoint: {path} cannot be read ({reason}); it is damaged or was not written by resnet_np"
        ) from error


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` with a temporary file beside `path`, flush it to the disk, rename it to `path`.

    Raises CheckpointError if that fails; what was at `path` is then untouched, and the temporary file removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"cannot write {path}: {reason}; the file that was there before is untouched") from error
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


def _rebuild(path: Path, header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Checkpoint:
    if header["format"] != FORMAT:
        raise CheckpointError(f"its format is {header['format']!r}, this version of resnet_np reads {FORMAT}")
    architecture, metadata = dict(header["architecture"]), header["metadata"]
    if not isinstance(metadata, dict):
        raise CheckpointError(f"its metadata is a {type(metadata).__name__}, expected a JSON object")
    if architecture["depth"] > len(arrays):  # before a net of that depth is built
        raise CheckpointError(f"it holds {len(arrays)} arrays, too few for a net of {architecture['depth']} layers")
    if architecture.pop("family") != "resnet_cifar":
        raise CheckpointError(f"its architecture is {header['architecture']!r}, expected the family resnet_cifar")
    net = resnet_cifar(**architecture)
    load_arrays(
        net,
        {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(("parameter/", "buffer/"))},
    )
    for layer in _batch_norms(net):
        layer.momentum, layer.eps = float(header["batch_norm"]["momentum"]), float(header["batch_norm"]["eps"])
    class_names = tuple(str(name) for name in header["class_names"])
    if len(class_names) != architecture["classes"]:
        raise CheckpointError(f"it names {len(class_names)} classes for {architecture['classes']} outputs")
    return Checkpoint(
        net,
        Normaliser.from_arrays(_group(arrays, "normaliser/")),
        class_names,
        metadata,
        _group(arrays, "velocity/"),
    )


def net_arrays(net: Layer) -> dict[str, np.ndarray]:
    """Every parameter and buffer by name: the arrays themselves."""
    return {name: parameter.data for name, parameter in net.named_parameters().items()} | net.named_buffers()


def load_arrays(net: Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy named arrays into a net's parameters and buffers. Names, shapes and dtypes must be the net's own.

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
        if arrays[name].shape != target.shape or arrays[name].dtype != target.dtype:
            raise CheckpointError(f"{name} is {arrays[name].dtype} {arrays[name].shape}, expected {target.dtype} {target.shape}")
    for name, target in targets.items():
        target[...] = arrays[name]


def _group(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _batch_norms(layer: Layer) -> list[BatchNorm2d]:
    below = [found for child in layer.children.values() for found in _batch_norms(child)]
    return [layer, *below] if isinstance(layer, BatchNorm2d) else below


def _batch_norm_settings(net: Layer) -> dict[str, float]:
    first = _batch_norms(net)[0]
    return {"momentum": first.momentum, "eps": first.eps}
