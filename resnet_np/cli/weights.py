"""Weights that the user names: a run's folder, a checkpoint, or somebody else's weight file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_np.errors import CheckpointError

if TYPE_CHECKING:
    from resnet_np.models import Checkpoint

HELP = "a run's folder (its best.npz is used), a checkpoint, or a weight file of PyTorch, timm, Hugging Face ...: see convert"


def load(
    given: Path, command: str, say: Callable[[str], None], *, headless: bool = False, **wishes: Any
) -> "tuple[Path, Checkpoint]":
    """The file that was read, and what it holds; `say` is told what a foreign file was taken for.

    headless: a file without a last layer will do; it is given one, of two classes that nobody asked for.
    wishes: what a foreign file leaves open, as for `load_weights`. Raises CheckpointError, in one line.
    """
    from resnet_np.models import load_checkpoint, load_weights
    from resnet_np.models.foreign.weights import HeadlessError

    if os.path.isdir(given):
        path = given / "best.npz"
        if not os.path.isfile(path):
            raise CheckpointError(f"{command}: the folder {given} holds no best.npz; name one that train or finetune wrote")
        if all(wish is None for wish in wishes.values()):
            return path, load_checkpoint(path)
        given = path
    try:
        found = load_weights(None, given, **wishes)
    except HeadlessError:
        if not headless:
            raise
        found = load_weights(None, given, **wishes, classes=2)
        found.checkpoint.class_names = ("no head",) * 2
    if found.report.assumed:
        for line in found.report.lines():
            say(line)
    return given, found.checkpoint
