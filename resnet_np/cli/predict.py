"""resnet-np predict"""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_np import backend
from resnet_np.cli import columns, weights
from resnet_np.cli import options as shared
from resnet_np.errors import DataError, InputError

if TYPE_CHECKING:
    import numpy as np

    from resnet_np.models import Checkpoint
    from resnet_np.training.predict import Prediction

HELP = "what is on a photo: class names with their probabilities"
FEW = 16  # photos for which Numba is not worth its start
NAME, BAR = 44, 24  # columns, of a class name and of a bar
CAUTION = "caution: unlike the training pictures; these classes may mean nothing"
NO_CAUTION = ("note       no caution can be given: these weights come without statistics of their training pictures\n"
              "           (the best.npz of a run has them, if it was trained on 200 or more)")


@dataclass
class Asked:
    """A photo that the user named; pixels and answer are missing where it could not be read."""

    name: str
    pixels: "np.ndarray | None" = None  # uint8 (3, S, S)
    shown: "np.ndarray | None" = None  # uint8 (height, width, 3), for the figure
    size: tuple[int, int] = (0, 0)  # width, height
    fault: str | None = None
    answer: "Prediction | None" = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, metavar="RUN_OR_WEIGHTS", help=weights.HELP)
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="pictures of any size: JPEG, PNG, WebP, GIF, BMP, TIFF, PPM")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="classes to name for each photo (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--show", type=Path, metavar="PNG", help="draw each photo, what the net saw of it, and the classes")
    shared.add_views(parser)
    shared.add_precision(parser)
    shared.add_machine(parser)


def run(options: argparse.Namespace) -> int:
    """Returns the exit code: 2 if a photo could not be read, which does not keep the others from their answers."""
    shared.apply_machine(options)
    shared.check_drawing("--show", options.show, [options.weights, *map(Path, options.photos)])
    if options.top < 1:
        raise InputError(f"--top: got {options.top}, expected a whole number of at least 1")
    notes = sys.stderr if options.json else sys.stdout
    path, checkpoint = weights.load(options.weights, "predict", lambda line: print(line, file=notes))
    from resnet_np.training import arithmetic, report

    asked = _read(options, checkpoint)
    read = [photo for photo in asked if photo.fault is None]
    # Array code answers a few photos at once. Numba takes a second to load its kernels, and half a minute to compile them where it
    # never did.
    free = not options.backend and not options.threads and backend.VARIABLE not in os.environ
    with backend.using("numpy" if free and len(read) <= FEW else backend.current()):
        shared.apply_precision(options, checkpoint, lambda line: print(line, file=notes))
        checkpoint.net.to_device()
        with report.compiling_announced(lambda line: print(line, file=notes, flush=True)):
            _answer(read, checkpoint, options.top, options.views)
        remark = arithmetic.remark(checkpoint.net.precision)
    if options.json:
        answers = {"photos": [_as_json(photo) for photo in asked], "precision": checkpoint.net.precision}
        print(json.dumps(answers, ensure_ascii=not columns.can_show("飞机")))
    elif read:
        _print(f"{path}{remark}", checkpoint, read)
    if options.show and read:
        boxes = _draw(read, options.show)
        print(f"picture    {options.show}{', of one view' * (options.views > 1)}", file=notes)
        if boxes:
            print(f"note       {boxes}", file=notes)
    return 0 if len(read) == len(asked) else 2


def _read(options: argparse.Namespace, checkpoint: "Checkpoint") -> list[Asked]:
    """Every photo; what is wrong with one is printed at once."""
    from data_tools import photos

    photos.check(checkpoint.image_size, checkpoint.crop)
    asked = []
    for name in options.photos:
        try:
            photo = photos.read(name, image_size=checkpoint.image_size, crop=checkpoint.crop)
            asked.append(Asked(photos.named(Path(name)), photo.pixels, photo.shown if options.show else None, photo.size))
        except DataError as error:
            asked.append(Asked(photos.named(Path(name)), fault=str(error)))
            print(f"resnet-np: {error}", file=sys.stderr)
    return asked


def _answer(photos: list[Asked], checkpoint: "Checkpoint", top: int, views: int) -> None:
    import numpy as np

    from resnet_np.training.predict import predict

    if photos:
        pixels = np.stack([photo.pixels for photo in photos if photo.pixels is not None])
        for photo, answer in zip(photos, predict(checkpoint, pixels, top=top, views=views), strict=True):
            photo.answer = answer


def _as_json(photo: Asked) -> dict[str, Any]:
    def listed(top: tuple[tuple[str, float], ...]) -> list[dict[str, Any]]:
        return [{"class": name, "probability": probability} for name, probability in top]

    answer = photo.answer
    views = {"top_views": listed(answer.top_views)} if answer and answer.top_views is not None else {}
    return {"file": photo.name, "top": listed(answer.top if answer else ()), **views,
            "unlike": answer.unlike if answer else None, "error": photo.fault}


def _print(weights: str, checkpoint: "Checkpoint", photos: list[Asked]) -> None:
    size = checkpoint.image_size
    print(f"weights    {weights}: {len(checkpoint.class_names):,} classes, pictures of {size} x {size} pixels")
    if not checkpoint.typical:
        print(NO_CAUTION)
    block, dot = ("█", "▏") if columns.can_show("█▏") else ("#", "")
    for photo in photos:
        assert photo.answer
        print(f"\n{photo.name}  ({photo.size[0]:,} x {photo.size[1]:,})")
        for title, top in (("", photo.answer.top), ("averaged over six views", photo.answer.top_views or ())):
            if title and top:
                print(f"  {title}:")
            names = [columns.shortened(name, NAME) for name, _ in top]
            width = max(map(columns.columns, names), default=0)
            for name, (_, probability) in zip(names, top, strict=True):
                print(f"  {columns.padded(name, width)} {probability:7.1%}  {block * round(BAR * probability) or dot}".rstrip())
        if photo.answer.unlike:
            print(f"  {CAUTION}")


def _draw(photos: list[Asked], path: Path) -> str | None:
    """Returns what there is to say about letters that no font has."""
    from resnet_np.viz.prediction import Shown, write

    rows = [Shown(Path(photo.name).name, photo.shown, photo.pixels, photo.answer.top, photo.answer.unlike)
            for photo in photos if photo.answer and photo.shown is not None and photo.pixels is not None]
    try:
        return write(rows, path)
    except OSError as error:
        raise InputError(f"--show: {path} cannot be written: {error.strerror or error}; choose another place") from error
