"""resnet-np show"""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet_np.cli import options as shared
from resnet_np.cli import pictures as data_sets
from resnet_np.cli import weights
from resnet_np.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from resnet_np.models import Checkpoint
    from resnet_np.training.answers import Answers

HELP = "pictures of what a trained net does: its filters, its maps, what an answer hangs on, its mistakes"
WHAT = {
    "curves": "loss, accuracy and learning rate over the epochs",
    "filters": "the filters of the first layer, in colour",
    "features": "what becomes of one picture, block by block",
    "gradcam": "where in a picture a class is seen, by Grad-CAM, behind every stage",
    "confusion": "which class of the test pictures is taken for which",
    "mistakes": "the test pictures that are wrong with the highest probability",
}
ONE_PICTURE, WHOLE_SET = ("features", "gradcam"), ("confusion", "mistakes")
SHOWN = 18  # mistakes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN_OR_WEIGHTS", help=weights.HELP)
    parser.add_argument("what", choices=WHAT, metavar="WHAT", help="; ".join(f"{name}: {text}" for name, text in WHAT.items()))
    parser.add_argument("--picture", metavar="FILE_OR_NUMBER", help="features, gradcam: a photo, or a test picture, counted from 0 "
                        "(default: 0)")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="gradcam: the class (default: the net's answer)")
    parser.add_argument("--out", type=Path, metavar="PNG", help="where to draw it (default: beside the weights)")
    shared.add_data(parser)
    shared.add_machine(parser)


def run(options: argparse.Namespace) -> None:
    what = options.what
    for flag, given, those in (("--picture", options.picture, ONE_PICTURE), ("--class", options.class_name, ("gradcam",)),
                               ("--data", options.data, ONE_PICTURE + WHOLE_SET)):
        if given is not None and what not in those:
            raise InputError(f"{flag}: {what} needs none; it is for {', '.join(those)}")
    shared.check_drawing("--out", options.out, [options.run, *([Path(options.picture)] if options.picture else [])])
    if options.backend == "cupy" and what not in WHOLE_SET:
        raise InputError(f"--backend cupy: {what} is drawn from arrays in the computer's memory; leave it out")
    plot = options.out or _beside(options.run, what, options.picture)
    shared.check_place(plot)
    shared.apply_machine(options)
    if what == "curves" and os.path.isdir(options.run):  # a run that has no best weights yet can be drawn too
        path, figure, text = options.run / "metrics.jsonl", *_curves(_metrics(options.run))
    else:
        path, checkpoint = weights.load(options.run, "show", print, headless=what in ("filters", "features"))
        if what in WHOLE_SET:
            shared.apply_precision(options, checkpoint, _say)
        figure, text = _draw(what, checkpoint, options)
    from resnet_np.viz.style import save

    try:
        boxes = save(figure, plot)
    except OSError as error:
        raise InputError(f"--out: {plot} cannot be written: {error.strerror or error}; choose another place with --out") from error
    print(f"read       {path}")
    print(f"shown      {text}")
    print(f"plot       {plot}")
    if boxes:
        print(f"note       {boxes}")


def _say(line: str) -> None:
    print(line, flush=True)


def _beside(run: Path, what: str, picture: str | None) -> Path:
    """RUN/gradcam-7.png; beside a file net.npz, net-gradcam-7.png."""
    name = f"{what}-{Path(picture).stem}.png" if picture else f"{what}.png"
    return run / name if os.path.isdir(run) else run.with_name(f"{run.stem}-{name}")


def _draw(what: str, checkpoint: "Checkpoint", options: argparse.Namespace) -> "tuple[Figure, str]":
    """The figure, and in part of a line what it shows."""
    if what == "curves":
        progress = checkpoint.metadata.get("progress")
        return _curves(progress.get("records") if isinstance(progress, dict) else None)
    if what == "filters":
        from resnet_np.viz.filters import filters

        weight = checkpoint.net.stem.conv1.weight.data
        return filters(weight), f"{len(weight)} filters of conv1"
    if what in ONE_PICTURE:
        from resnet_np import backend
        from resnet_np.training import report

        with backend.using(options.backend or "numpy"), report.compiling_announced(_say):  # numpy: for one picture no kernels
            picture, name, label = _picture(checkpoint, options)
            return (_features if what == "features" else _gradcam)(checkpoint, picture, name, label, options)
    return _confusion(checkpoint, options) if what == "confusion" else _mistakes(checkpoint, options)


def _metrics(folder: Path) -> list[dict]:
    from resnet_np.training import RunFolder

    path = RunFolder(folder).metrics
    try:
        return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise CheckpointError(f"show: the folder {folder} holds no metrics.jsonl; name one that train or finetune wrote") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"show: {path} cannot be read ({error}); it is damaged or was not written by resnet_np") from error


def _curves(records: Any) -> "tuple[Figure, str]":
    from resnet_np.viz.curves import curves

    if not (records and isinstance(records, list)):
        raise InputError("show: there is no epoch to draw: the run has not finished its first, or the weights are of no run")
    try:
        return curves(records), f"{len(records)} epoch{'s' * (len(records) > 1)}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"show: the run's records are damaged: {type(error).__name__} {error}") from error


def _picture(checkpoint: "Checkpoint", options: argparse.Namespace) -> tuple[np.ndarray, str, int | None]:
    """uint8 (3, S, S), what to call it, and its class, where that is known."""
    from data_tools import photos
    from resnet_np.data import resize

    given, size = options.picture or "0", checkpoint.image_size
    if not given.isdecimal():
        if options.data is not None:
            raise InputError(f"--data: {given} is a file, and needs no data set")
        return photos.read(given, image_size=size, crop=checkpoint.crop).pixels, Path(given).name, None
    pictures = data_sets.of(checkpoint, options.data, "show", print)
    number, count = int(given[:18]), len(pictures.test_images)
    if number >= count:
        raise InputError(f"--picture: got {given[:18]}, expected a test picture from 0 to {count - 1:,}, or a file")
    label = int(pictures.test_labels[number])
    return resize(pictures.test_images[number:number + 1], size)[0], f"test picture {number}", label


def _features(
    checkpoint: "Checkpoint", picture: np.ndarray, name: str, label: int | None, options: argparse.Namespace
) -> "tuple[Figure, str]":
    from resnet_np.models.inspect import feature_maps
    from resnet_np.viz.features import features

    maps = feature_maps(checkpoint.net, checkpoint.normaliser(picture[None]))
    true = f", {checkpoint.class_names[label]}" if label is not None else ""
    return features({place: array[0] for place, array in maps.items()}, picture), f"{name}{true}: maps of {len(maps)} places"


def _gradcam(
    checkpoint: "Checkpoint", picture: np.ndarray, name: str, label: int | None, options: argparse.Namespace
) -> "tuple[Figure, str]":
    from resnet_np import functional as F
    from resnet_np.models.inspect import grad_cam
    from resnet_np.viz.heat import heat_maps

    net, names, x = checkpoint.net, checkpoint.class_names, checkpoint.normaliser(picture[None])
    wanted = options.class_name
    if wanted is not None and wanted not in names:
        known = f"{', '.join(names[:10])}{', ...' * (len(names) > 10)}"
        raise InputError(f"--class: the net does not know {wanted!r}; it knows {known}")
    probabilities = F.softmax(net.forward(x, training=False))[0]
    if not np.isfinite(probabilities).all():
        raise CheckpointError("show: the net's answer is not finite; its weights are damaged")
    k = names.index(wanted) if wanted is not None else int(probabilities.argmax())
    stages = [stage for stages in net.stages[1:] for stage in stages][::-1]
    heats = np.stack([grad_cam(net, x, np.array([k]), at=stage)[0] for stage in stages])
    true = f"\n{names[label]}" if label is not None else ""
    figure = heat_maps(picture[None], heats[None], [name + true],
                       [[f"{names[k]}, {probabilities[k]:.1%}\nbehind {stage}{'' if heat.any() else ': nothing'}"]
                        for stage, heat in zip(stages, heats, strict=True)])
    return figure, f"{name}{true.replace(chr(10), ', ')}: what speaks for {names[k]} ({probabilities[k]:.1%})"


def _answers(checkpoint: "Checkpoint", options: argparse.Namespace) -> "tuple[Answers, np.ndarray]":
    """Of the test pictures; and these, uint8 (N, 3, S, S)."""
    from resnet_np.data import evaluation_batches
    from resnet_np.training import report
    from resnet_np.training.answers import answers
    from resnet_np.training.parts import evaluation_batch

    pictures, size = data_sets.of(checkpoint, options.data, "show", print), checkpoint.image_size
    batches = evaluation_batches(pictures.test_images, pictures.test_labels, checkpoint.normaliser,
                                 batch_size=evaluation_batch(size), image_size=size)
    checkpoint.net.to_device()
    with report.compiling_announced(_say):
        found = answers(checkpoint.net, batches)
    if not np.isfinite(found.probabilities).all():
        raise CheckpointError("show: the net's answers are not finite; its weights are damaged")
    return found, pictures.test_images


def _confusion(checkpoint: "Checkpoint", options: argparse.Namespace) -> "tuple[Figure, str]":
    from resnet_np.viz.confusion import confusion

    found, _ = _answers(checkpoint, options)
    return confusion(found.confusion, checkpoint.class_names), f"answers to {len(found.labels):,} test pictures"


def _mistakes(checkpoint: "Checkpoint", options: argparse.Namespace) -> "tuple[Figure, str]":
    from resnet_np.viz.mistakes import mistakes

    found, images = _answers(checkpoint, options)
    wrong = found.mistakes()
    if not len(wrong):
        raise InputError(f"show: there is no mistake to draw: all {len(found.labels):,} test pictures are right")
    first = wrong[:SHOWN]
    figure = mistakes(images[first], found.labels[first], found.chosen[first], found.confidence[first], checkpoint.class_names)
    return figure, f"{len(first)} of {len(wrong):,} mistakes among {len(found.labels):,} test pictures"
