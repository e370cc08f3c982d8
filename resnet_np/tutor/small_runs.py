"""Runs that are small enough for a notebook: the same recipe, net and step as `resnet-np train`, without a folder."""

from pathlib import Path
from typing import Any

import numpy as np

from resnet_np.data import evaluation_batches
from resnet_np.models.checkpoint import net_arrays
from resnet_np.optim.selection import kept_epoch
from resnet_np.training import Config, Evaluation, RunFolder, evaluate
from resnet_np.training.parts import evaluation_batch
from resnet_np.training.provenance import Pictures
from resnet_np.training.run import Run
from resnet_np.workspace import Workspace


def small_run(config: Config, pictures: Pictures) -> tuple[Run, list[dict[str, Any]]]:
    """Train; nothing is written -> the run, and a record an epoch.

    run.net holds the last weights; with early stopping those that validation kept. A record has epoch, lr, train_loss,
    train_accuracy, validation_loss, validation_accuracy and validation_count, all of the net as it evaluates, on pictures as they
    are. So the training accuracy is another than that of a run folder, which is measured while learning, on augmented pictures and
    with dropout.
    """
    run = Run(config, pictures, RunFolder(Path("unused")))  # a RunFolder that is not opened makes no folder
    workspace, records = Workspace(), []
    best: dict[str, np.ndarray] = {}
    steps = run.loader.steps_per_epoch
    for t in range(1, run.total + 1):
        run.step(t, workspace)
        if t % steps and t < run.total:
            continue
        train, validation = on_training_pictures(run), run.validate()
        records.append({
            "epoch": -(-t // steps), "lr": run.rate(t), "train_loss": train.loss, "train_accuracy": train.top1,
            "validation_loss": validation.loss, "validation_accuracy": validation.top1, "validation_count": validation.count})
        if not config.early_stopping:
            continue
        if kept_epoch([record["validation_accuracy"] for record in records], validation.count) == len(records):
            run.progress.best_epoch, run.progress.best_accuracy = len(records), validation.top1
            best = {name: array.copy() for name, array in net_arrays(run.net).items()}
        elif len(records) - run.progress.best_epoch >= config.early_stopping:
            break
    for name, array in net_arrays(run.net).items() if best else ():
        array[...] = best[name]
    return run, records


def on_training_pictures(run: Run) -> Evaluation:
    """How good the net is on the pictures that it learned from, as they are."""
    batches = evaluation_batches(run.pictures.train_images[run.train], run.pictures.train_labels[run.train], run.normaliser,
                                 batch_size=evaluation_batch(run.image_size), image_size=run.image_size)
    return evaluate(run.net, batches, classes=len(run.pictures.classes))
