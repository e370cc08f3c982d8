"""How good a net is on pictures that it was not trained on. K class."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import to_host
from resnet_np.errors import InputError, TrainingError
from resnet_np.layers import Layer
from resnet_np.training.views import average, wanted
from resnet_np.workspace import Workspace


@dataclass(frozen=True)
class Evaluation:
    """loss: mean cross-entropy. top1, top5, per_class: fractions. confusion (K, K): row true class, column answer.

    All of the pictures as they are, but for top1_views: that of the answers averaged over six views (`views.py`); None: not asked.
    """

    loss: float
    top1: float
    top5: float
    confusion: np.ndarray
    top1_views: float | None = None

    @property
    def count(self) -> int:
        return int(self.confusion.sum())

    @property
    def per_class(self) -> list[float | None]:
        """The fraction of each class that was recognised; None for a class without pictures."""
        return [float(row[k] / row.sum()) if row.sum() else None for k, row in enumerate(self.confusion)]

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        return {
            "loss": self.loss,
            "top1": self.top1,
            "top5": self.top5,
            "count": self.count,
            "per_class": dict(zip(class_names, self.per_class, strict=True)),
            "confusion": self.confusion.tolist(),
            **({} if self.top1_views is None else {"top1_views": self.top1_views}),
        }


def evaluate(net: Layer, batches: Iterable[tuple[np.ndarray, np.ndarray]], *, classes: int, views: int = 1) -> Evaluation:
    """Run `net` in evaluation mode over batches of (x (N, 3, H, W), labels (N,)). top5 counts the five likeliest classes.

    views: 6 for top1_views, too, which takes six times as long.

    Raises InputError if there is no picture, and for a number of views other than 1 and 6, TrainingError if the loss is not finite.
    """
    loss, top5, of_views, average_too = 0.0, 0, 0, wanted(views)
    confusion = np.zeros((classes, classes), np.int64)
    with Workspace():
        for x, labels in batches:
            answer = net.forward(x, training=False)
            batch_loss, _ = F.softmax_cross_entropy_forward(answer, labels)
            loss += float(batch_loss) * len(labels)
            logits = to_host(answer)
            if average_too:
                mean = average(lambda view: net.forward(view, training=False), x, logits)
                of_views += int((mean.argmax(axis=1) == labels).sum())
            # In the top five if fewer than five classes come before it; of equal logits the first comes first, as in argmax.
            own = np.take_along_axis(logits, labels[:, None], axis=1)
            before = (logits > own) | ((logits == own) & (np.arange(classes) < labels[:, None]))
            top5 += int((before.sum(axis=1) < 5).sum())
            confusion += np.bincount(labels * classes + logits.argmax(axis=1), minlength=classes * classes).reshape(
                classes, classes
            )
    count = int(confusion.sum())
    if count == 0:
        raise InputError("evaluate: there are no pictures to evaluate")
    if not math.isfinite(loss):
        raise TrainingError(f"evaluate: the loss is {loss}: weights or running statistics of this net are no longer finite numbers")
    return Evaluation(loss / count, float(np.trace(confusion) / count), top5 / count, confusion,
                      of_views / count if average_too else None)
