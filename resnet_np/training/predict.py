"""What a net says about pictures: classes with their probabilities, and whether it has seen anything like them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import namespace, to_device, to_host
from resnet_np.errors import CheckpointError, InputError
from resnet_np.models import Checkpoint
from resnet_np.training.novelty import Novelty
from resnet_np.training.views import average, wanted
from resnet_np.workspace import Workspace

_PIXELS = 100 * 32**2  # of a batch: few enough for the largest nets


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    top      (class name, probability) of the likeliest classes, the likeliest first; of equal ones the first of the checkpoint's
    unlike   whether the picture is unlike the training pictures, so that the answer means little; None: the checkpoint cannot tell
    top_views  as top, of the logits averaged over six views (`views.py`); None: not asked
    """

    top: tuple[tuple[str, float], ...]
    unlike: bool | None
    top_views: tuple[tuple[str, float], ...] | None = None


def predict(checkpoint: Checkpoint, pictures: np.ndarray, *, top: int, views: int = 1) -> list[Prediction]:
    """pictures uint8 (N, 3, S, S), S the checkpoint's image_size -> N answers with `top` classes each, or as many as there are.

    views: 6 for the answers' top_views, too, which takes six times as long.

    The softmax is taken in float64, over all classes: their probabilities add up to 1. Raises InputError for pictures of another
    shape or dtype and a top below 1, CheckpointError for a net whose logits are not finite or whose `typical` is damaged.
    """
    S = checkpoint.image_size
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != (3, S, S):
        raise InputError(f"predict: expected pictures as uint8 (N, 3, {S}, {S}), got {pictures.dtype} {pictures.shape}")
    if top < 1:
        raise InputError(f"predict: top: got {top}, expected at least 1 class")
    net, average_too = checkpoint.net, wanted(views)
    novelty = Novelty(checkpoint.net, checkpoint.normaliser, checkpoint.typical) if checkpoint.typical else None
    batch_size = max(1, _PIXELS // S**2)
    found: list[Prediction] = []
    for start in range(0, len(pictures), batch_size):
        batch = pictures[start:start + batch_size]
        with Workspace():
            x = checkpoint.normaliser(to_device(batch))
            logits = net.forward(x, training=False).astype(np.float64)
            mean = average(lambda view: net.forward(view, training=False), x, to_host(logits)) if average_too else None
        if not namespace(logits).isfinite(logits).all():
            raise CheckpointError("predict: the net's answer is not finite; its weights are damaged")
        unlike = novelty.is_unlike(batch).tolist() if novelty else [None] * len(batch)
        singles = [_likeliest(row, checkpoint.class_names, top) for row in to_host(F.softmax(logits))]
        averages = [None] * len(batch) if mean is None else [
            _likeliest(row, checkpoint.class_names, top) for row in to_host(F.softmax(to_device(mean)))]
        found += map(Prediction, singles, unlike, averages)
    return found


def _likeliest(probabilities: np.ndarray, names: Sequence[str], top: int) -> tuple[tuple[str, float], ...]:
    return tuple((names[k], float(probabilities[k])) for k in np.argsort(-probabilities, kind="stable")[:top])
