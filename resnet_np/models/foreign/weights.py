"""A net out of any weight file: of PyTorch, safetensors or NumPy, of five families of names, an export of ours or a checkpoint."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from resnet_np.data.normalise import Normaliser
from resnet_np.errors import CheckpointError, InputError, ResNetNpError
from resnet_np.models.arguments import MOST_CLASSES
from resnet_np.models.checkpoint import (
    FAMILIES,
    LARGEST_IMAGE,
    Checkpoint,
    copy_settings,
    load_arrays,
    load_checkpoint,
    net_arrays,
    rebuild,
)
from resnet_np.models.foreign import containers, header
from resnet_np.models.foreign.conventions import CHOICES, Settled, Wishes, leaves_open, settle
from resnet_np.models.foreign.dialects import HARMLESS, NETS, Dialect, deduce, detect, variant
from resnet_np.models.foreign.npz_file import OwnCheckpoint
from resnet_np.models.foreign.report import Report
from resnet_np.models.layout import shapes
from resnet_np.models.names import describe, family_of, name_of, parse_name
from resnet_np.models.resnet import ResNet
from resnet_np.words import one_line, one_path

CHECKPOINT, EXPORT = "a resnet_np checkpoint", "a resnet_np export"


class WeightsError(CheckpointError):
    """A weight file that no net here fits. report: what was found in it, where it was read so far."""

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


class HeadlessError(WeightsError):
    """A weight file that ends before the last layer: it has no classes of its own."""


@dataclass
class Imported:
    """checkpoint: the net and all that is needed to use it. report: how the file was read."""

    checkpoint: Checkpoint
    report: Report


def load_weights(
    model_or_name: ResNet | str | None,
    path: str | PathLike[str],
    *,
    zero_pad: str | None = None,
    stride_in: str | None = None,
    normaliser: str | Normaliser | None = None,
    class_names: Sequence[str] | None = None,
    image_size: int | None = None,
    crop: float | None = None,
    classes: int | None = None,
) -> Imported:
    """Read the weights in `path`; which net they belong to is deduced from them.

    model_or_name  a net: it is filled in place, or left alone if the file does not fit; a name ("resnet20"): the file must hold
                   such a net; None: whatever it holds
    zero_pad       "both" or "end", stride_in "3x3" or "1x1": as in `resnet_cifar` and `resnet_imagenet`
    normaliser     as `named_normaliser` has it, or a Normaliser
    class_names    one an output
    image_size     pixels a side of what the net is shown, crop the part of the photo that it is: as in Checkpoint
    classes        for a file without a head: the outputs of a fresh one
    All of these but the first say what a foreign file leaves open; all but the last are assumed otherwise. Checkpoints and exports
    of ours say it themselves: none may be given.
    Raises CheckpointError, in one line, for a file that cannot be read or does not fit (with a `report` where there is one), and
    InputError for an argument that makes no sense.
    """
    path = Path(path)
    wishes = Wishes(zero_pad, stride_in, normaliser, class_names, image_size, crop)
    _check(model_or_name, wishes, classes)
    try:
        imported = _weights(path, wishes, classes)
    except OwnCheckpoint:
        imported = _own_checkpoint(path, wishes, classes)
    except WeightsError as error:
        raise type(error)(f"weights: {one_path(path)}: {error}", error.report) from None
    net = imported.checkpoint.net
    if isinstance(model_or_name, str) and (family_of(net), name_of(net)) != (parse_name(model_or_name).family, model_or_name):
        raise CheckpointError(f"weights: {one_path(path)}: it holds {_what(net)}, expected a {model_or_name}")
    if isinstance(model_or_name, ResNet):
        if _identity(model_or_name) != _identity(net):
            raise CheckpointError(f"weights: {one_path(path)}: it holds {_what(net)}, but the net to be filled is "
                                  f"{_what(model_or_name)}{_hint(model_or_name, imported)}")
        _fill(model_or_name, net)
        imported.checkpoint.net = model_or_name
    return imported


def _check(model_or_name: ResNet | str | None, wishes: Wishes, classes: int | None) -> None:
    if isinstance(model_or_name, str):
        parse_name(model_or_name)
    elif model_or_name is not None and not isinstance(model_or_name, ResNet):
        raise InputError(f"load_weights: got a {type(model_or_name).__name__}, expected a ResNet, a name such as resnet20, or None")
    if wishes.image_size is not None and not (type(wishes.image_size) is int and 1 <= wishes.image_size <= LARGEST_IMAGE):
        raise InputError(f"image_size: got {wishes.image_size!r}, expected a whole number of pixels from 1 to {LARGEST_IMAGE:,}")
    if wishes.crop is not None and not (type(wishes.crop) in (int, float) and 0.1 <= wishes.crop <= 1):
        raise InputError(f"crop: got {wishes.crop!r}, expected a number from 0.1 to 1")
    if not isinstance(wishes.normaliser, str | Normaliser | None):
        raise InputError(f"normaliser: got a {type(wishes.normaliser).__name__}, expected a name or a Normaliser")
    if wishes.class_names is not None and (isinstance(wishes.class_names, str) or not isinstance(wishes.class_names, Sequence)):
        raise InputError(f"class names: got a {type(wishes.class_names).__name__}, expected a list of texts")
    if classes is not None and not (type(classes) is int and 2 <= classes <= MOST_CLASSES):
        raise InputError(f"classes: got {classes!r}, expected a whole number from 2 to {MOST_CLASSES:,}")


def _own_checkpoint(path: Path, wishes: Wishes, classes: int | None) -> Imported:
    _refuse(wishes, classes, CHECKPOINT)
    checkpoint = load_checkpoint(path)
    count = len(net_arrays(checkpoint.net))
    return Imported(checkpoint, Report(path.name, "npz", CHECKPOINT, _what(checkpoint.net), count))


def _refuse(wishes: Wishes, classes: int | None, what: str) -> None:
    if given := [*wishes.given(), *(["classes"] if classes is not None else [])]:
        raise InputError(f"{', '.join(given)}: the file is {what}, which says that itself; leave it out")


def _weights(path: Path, wishes: Wishes, classes: int | None) -> Imported:
    container, arrays = containers.read(path)
    try:
        own = header.find(path, container, arrays)
    except (ValueError, RecursionError, AttributeError) as error:
        raise WeightsError(f"what it says about its net is damaged ({one_line(error)}); get it again") from error
    if own is None:
        return _foreign(path, container, arrays, wishes, classes)
    _refuse(wishes, classes, EXPORT)
    return _own_export(path, container, arrays, own)


def _own_export(path: Path, container: str, arrays: dict[str, np.ndarray], own: dict[str, Any]) -> Imported:
    tensors = {name: array for name, array in arrays.items() if not HARMLESS.fullmatch(name)}
    named = {("buffer/" if ".running_" in name else "parameter/") + name: array for name, array in tensors.items()}
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
            named |= {f"normaliser/{name}": np.array(own["normaliser"][name], np.float32) for name in ("mean", "std")}
        checkpoint = rebuild(own, named)
    except ResNetNpError as error:
        raise WeightsError(one_line(error)) from error
    except Exception as error:  # values of any type may stand in it
        raise WeightsError(f"what it says about its net is damaged ({one_line(error)}); get it again") from error
    _check_values(tensors)
    left_over = tuple(name for name in arrays if name not in tensors)
    return Imported(checkpoint, Report(path.name, container, EXPORT, _what(checkpoint.net), len(tensors), left_over))


def _foreign(path: Path, container: str, arrays: dict[str, np.ndarray], wishes: Wishes, classes: int | None) -> Imported:
    try:
        dialect = detect(arrays)
        architecture = deduce(dialect, arrays, classes or 2)
    except CheckpointError as error:
        raise WeightsError(str(error)) from None
    build, parameter_count = FAMILIES[architecture["family"]]
    try:  # before anything is made of what the file announces, which may be a net of a million layers or classes
        parameter_count(**_arguments(architecture))
    except InputError as error:
        raise WeightsError(f"its tensors ({dialect.name} names) make up no net that can be built: {one_line(error)}") from None
    head = any(dialect.file_name(f"fc.{name}") in arrays for name in ("weight", "bias"))
    report, found = _compare(path.name, container, dialect, architecture, arrays, head)
    if not head and classes is None:
        raise HeadlessError(f"it has no head ({dialect.file_name('fc.weight')}), only the layers before it; finetune, and "
                            "load_weights(..., classes=10), give it a fresh one", report)
    if head and classes is not None:
        raise InputError(f"classes: {path.name} has a head of {architecture['classes']} outputs already; leave it out")
    settled = settle(dialect.name, architecture, wishes)
    net = build(**_arguments(settled.architecture))
    load_arrays(net, net_arrays(net) | found)
    report = replace(report, net=_what(net), assumed=settled.assumed)
    return Imported(_checkpoint(path, net, settled, report), report)


def _arguments(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Of the function that builds the family."""
    return {name: value for name, value in architecture.items() if name != "family"}


def _compare(
    file: str, container: str, dialect: Dialect, architecture: Mapping[str, Any], arrays: Mapping[str, np.ndarray], head: bool
) -> tuple[Report, dict[str, np.ndarray]]:
    """The file's tensors held against those of the net -> a report, and the tensors under our names.

    Raises WeightsError if one is missing, mis-shaped, not finite, or one too many.
    """
    expected = shapes(architecture)
    theirs = {name: dialect.file_name(name) for name in expected}
    missing = [name for name in expected if theirs[name] not in arrays]
    fresh = [] if head else [name for name in missing if name.startswith("fc.")]
    found = {name: arrays[theirs[name]] for name in expected if theirs[name] in arrays}
    mis_shaped = {name: (array.shape, expected[name]) for name, array in found.items() if array.shape != expected[name]}
    known = set(theirs.values())
    others = [name for name in arrays if name not in known]
    # Counters are single whole numbers, such as SWA's n_averaged; a single float may scale a branch or the logits.
    harmless = {name: bool(HARMLESS.fullmatch(name)) or (not arrays[name].ndim and arrays[name].dtype.kind in "iub")
                for name in others}
    left_over, unknown = ([name for name in others if harmless[name] is wanted] for wanted in (True, False))
    net = f"resnet{architecture['depth']}"
    report = Report(
        file, container, dialect.name, net, len(found) - len(mis_shaped), tuple(left_over), tuple(unknown),
        tuple(theirs[name] for name in missing), tuple((theirs[name], *pair) for name, pair in mis_shaped.items()))
    absent = [name for name in missing if name not in fresh]
    if unknown or absent or mis_shaped:
        kind = variant(unknown, absent, mis_shaped)
        objection = replace(report, missing=tuple(theirs[name] for name in absent)).objection()
        raise WeightsError(f"it looks like a {net} ({dialect.name} names, width {architecture['width']}), but {objection}; "
                           + (f"it has {kind}, which the nets here have not" if kind else f"{NETS} can be loaded"), report)
    _check_values({theirs[name]: array for name, array in found.items()}, report)
    return report, found


def _check_values(arrays: Mapping[str, np.ndarray], report: Report | None = None) -> None:
    """Raises WeightsError naming the tensor whose numbers cannot be those of a net."""
    for name, array in arrays.items():
        if array.dtype not in (np.float16, np.float32):
            raise WeightsError(f"{one_line(name, 80)} holds {array.dtype} numbers, expected floats; a quantised net must be saved "
                               "before it is quantised", report)
        if not np.isfinite(array).all():
            bad = np.size(array) - np.count_nonzero(np.isfinite(array))
            raise WeightsError(f"{bad:,} of the {array.size:,} numbers of {one_line(name, 80)} are infinite or not a number; the "
                               "training that wrote it had failed", report)
        if name.endswith("running_var") and (array < 0).any():
            raise WeightsError(f"{one_line(name, 80)} holds {array.min()}, expected variances of at least 0; the file is damaged",
                               report)


def _checkpoint(path: Path, net: ResNet, settled: Settled, report: Report) -> Checkpoint:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    imported = {"file": path.name, "sha256": digest, "container": report.container, "dialect": report.dialect,
                "assumed": settled.assumed}
    return Checkpoint(net, settled.normaliser, settled.class_names, {"imported": imported}, image_size=settled.image_size,
                      crop=settled.crop)


def _identity(net: ResNet) -> dict[str, Any]:
    """The architecture without what makes no difference to such a net."""
    without = {"fused", "dropout", *(name for name in CHOICES if not leaves_open(name, net.architecture))}
    return {name: value for name, value in net.architecture.items() if name not in without}


def _hint(net: ResNet, imported: Imported) -> str:
    """What to do where the file may be of that net, but what it does not say was assumed to be otherwise."""
    wanted, found = net.architecture, imported.checkpoint.net.architecture
    names = [name for name in CHOICES if name in imported.report.assumed and wanted.get(name) not in (None, found[name])]
    return "".join(f"; the file does not say {name}: if it is that of the net, pass {name}={wanted[name]!r}" for name in names)


def _what(net: ResNet) -> str:
    return f"{describe(net)}, {net.architecture['classes']:,} classes"


def _fill(target: ResNet, source: ResNet) -> None:
    """Copy parameters, buffers and what batch norm is set to. Nets of the same architecture: it cannot fail halfway."""
    load_arrays(target, net_arrays(source))
    copy_settings(target, source)
