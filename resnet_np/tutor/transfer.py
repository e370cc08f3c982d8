"""Ways to learn a small set of pictures, from weights that were learned elsewhere and from nothing: notebook 8 and its records."""

from pathlib import Path
from typing import Any

from resnet_np.models import Checkpoint
from resnet_np.training import RunFolder, preset
from resnet_np.training.finetune import FinetuneRun
from resnet_np.training.finetune_config import finetune_preset
from resnet_np.training.provenance import Pictures
from resnet_np.training.run import Run
from resnet_np.workspace import Workspace

COMMON: dict[str, Any] = {"batch_size": 32, "augment": False}  # letters are no letters in the mirror
FROM_SCRATCH: dict[str, Any] = {"model": "resnet14", "width": 8, "lr": 0.1}  # the net that the weights are of
# Options of `resnet-np finetune`. The new head learns ten times as fast as --lr.
WAYS: dict[str, dict[str, Any]] = {
    "head only": {"freeze": "trunk", "lr": 0.03},
    "everything": {"lr": 0.03},
    "rates per stage": {"lr": 0.03, "stage_lr_mult": 0.5},
    "gradual": {"lr": 0.03, "freeze": "trunk", "unfreeze_at": 2},
}


def from_scratch(pictures: Pictures, *, epochs: int, seed: int) -> Run:
    """A run of the same net from random weights."""
    return Run(preset("quick", epochs=epochs, seed=seed, **COMMON, **FROM_SCRATCH), pictures, RunFolder(Path("unused")))


def fine_tuned(way: str, source: Checkpoint, pictures: Pictures, *, epochs: int, seed: int) -> FinetuneRun:
    """A run that begins with the weights of `source`; way: a name in WAYS."""
    config = finetune_preset("whole", weights="a checkpoint", epochs=epochs, seed=seed, **COMMON | WAYS[way])
    return FinetuneRun(config, pictures, RunFolder(Path("unused")), source)


def learn(run: Run) -> float:
    """All steps of the run, without its folder -> the accuracy on the test pictures."""
    workspace, epoch = Workspace(), 0
    run.prepare(lambda line: None)  # a trunk that stays frozen is computed here, once
    for t in range(1, run.total + 1):
        if (t - 1) % run.loader.steps_per_epoch == 0:
            epoch += 1
            run.begin_epoch(epoch)  # thaws a stage, where that is the way
        run.step(t, workspace)
    return run.test(run.net).top1
