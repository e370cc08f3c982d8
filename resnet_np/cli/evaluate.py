"""resnet-np evaluate"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_np.cli import options as shared
from resnet_np.cli import pictures as data_sets
from resnet_np.cli import weights
from resnet_np.cli.columns import columns, cut, flush_right
from resnet_np.errors import InputError
from resnet_np.words import one_path

if TYPE_CHECKING:
    from resnet_np.training import Evaluation

HELP = "how good a trained net is: loss, accuracy, confusion matrix"
SPLITS = ("test", "validation", "train")
LONGEST_CLASS = 40  # columns of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN_OR_WEIGHTS", help=weights.HELP)
    parser.add_argument("--split", choices=SPLITS, default="test", help="pictures to evaluate on (default: test)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument(
        "--out", type=Path, metavar="PNG",
        help="where to draw the confusion matrix (default: in the run's folder; of a loose weight file nowhere)"
    )
    shared.add_data(parser)
    shared.add_views(parser)
    shared.add_precision(parser)
    shared.add_machine(parser)


def run(options: argparse.Namespace) -> None:
    shared.apply_machine(options)
    shared.check_drawing("--out", options.out, [options.run])
    notes = sys.stderr if options.json else sys.stdout
    path, checkpoint = weights.load(options.run, "evaluate", lambda line: print(line, file=notes))
    from resnet_np.data import evaluation_batches, train_validation_split
    from resnet_np.training import RunFolder, arithmetic, evaluate, provenance, report
    from resnet_np.training.parts import evaluation_batch
    from resnet_np.viz.confusion import confusion
    from resnet_np.viz.style import save

    of_a_run = options.run.is_dir() or RunFolder(path.parent).holds_run()  # nothing is laid beside a loose file unasked
    plot = options.out or (path.with_name(f"confusion-{options.split}.png") if of_a_run else None)
    shared.check_place(plot)
    shared.apply_precision(options, checkpoint, lambda line: print(line, file=notes))
    trained_on = checkpoint.metadata.get("dataset", {})
    pictures = data_sets.of(checkpoint, options.data, "evaluate", lambda line: print(line, file=notes))
    origin = one_path(trained_on.get("origin", "memory"))
    if trained_on and trained_on["digest"] != provenance.fingerprint(pictures)["digest"]:
        if options.split != "test":
            raise InputError(
                f"--split {options.split}: the net was trained on other pictures ({origin}) than {pictures.origin}, "
                "whose split is another; give its own with --data"
            )
        print(f"note       the net was trained on other pictures: {origin}", file=notes)
    images, labels = pictures.test_images, pictures.test_labels
    if options.split != "test":
        split_seed = checkpoint.metadata.get("config", {}).get("split_seed", 0)
        train, validation = train_validation_split(len(pictures.train_images), split_seed=split_seed)
        chosen = validation if options.split == "validation" else train
        images, labels = pictures.train_images[chosen], pictures.train_labels[chosen]
    size = checkpoint.image_size
    batches = evaluation_batches(images, labels, checkpoint.normaliser, batch_size=evaluation_batch(size), image_size=size)
    checkpoint.net.to_device()
    with report.compiling_announced(lambda line: print(line, file=notes, flush=True)):
        result = evaluate(checkpoint.net, batches, classes=len(pictures.classes), views=options.views)
    if options.json:
        how = {"split": options.split, "dataset": provenance.fingerprint(pictures), "precision": checkpoint.net.precision}
        print(json.dumps(result.to_json(pictures.classes) | how))
    else:
        print(f"data       {provenance.name(pictures)}, {result.count:,} {options.split} pictures")
        print(f"net        {path}{arithmetic.remark(checkpoint.net.precision)}")
        print(f"loss       {result.loss:.4f}")
        print(f"accuracy   {result.top1:.2%}, top-5 {result.top5:.2%}")
        if result.top1_views is not None:
            print(f"six views  {result.top1_views:.2%}, of the answers averaged over them")
        print(_table(result, pictures.classes, "see the picture" if plot else "--out PNG draws it"))
    if plot is None:
        return
    drawn = str(plot)
    try:
        if boxes := save(confusion(result.confusion, pictures.classes), plot):
            print(f"note       {boxes}", file=notes)
    except OSError as error:
        drawn = f"{plot} cannot be written: {error.strerror or error}; choose another place with --out"
        if options.out:
            raise InputError(f"--out: {drawn}") from error
    print(f"plot       {drawn}", file=notes)


def _table(result: "Evaluation", classes: tuple[str, ...], instead: str) -> str:
    """The confusion matrix as text: a row for every true class, a column for every answer. instead: what many classes are told."""
    if len(classes) > 20:
        return f"confusion  too many classes for a table: {instead}"
    classes = tuple(cut(name, LONGEST_CLASS) for name in classes)
    width = max(map(columns, classes))
    cell = max(6, len(str(result.confusion.max())) + 1)
    lines = ["", " " * width + "  right" + "".join(flush_right(cut(name, cell - 1), cell) for name in classes)]
    for name, row, share in zip(classes, result.confusion, result.per_class, strict=True):
        right = "      -" if share is None else f"{share:7.1%}"
        lines.append(flush_right(name, width) + right + "".join(str(count or ".").rjust(cell) for count in row))
    return "\n".join([*lines, f"{'':{width}}  rows: true class, columns: predicted class", ""])
