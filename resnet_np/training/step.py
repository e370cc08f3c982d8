"""One training step: forward, loss, backward, update."""

import math
from typing import NamedTuple

import numpy as np

from resnet_np import functional as F
from resnet_np.errors import TrainingError
from resnet_np.layers import Dropout, Layer
from resnet_np.layers.watch import leaves
from resnet_np.optim import SGD
from resnet_np.training import diagnosis
from resnet_np.workspace import Workspace


class StepResult(NamedTuple):
    loss: float  # mean cross-entropy of the batch, before the update
    correct: int  # pictures of the batch whose label, or largest share of a mixed one, was recognised, before the update


def training_step(
    net: Layer, optimiser: SGD, x: np.ndarray, labels: np.ndarray, *, lr: float, workspace: Workspace, smoothing: float = 0.0,
    rng: np.random.Generator | None = None,
) -> StepResult:
    """Learn from one batch: x (N, 3, H, W) float32, labels (N,) int64 or distributions (N, K) float32.

    The step's arrays live in `workspace`. smoothing: of the labels; rng: where dropout, if the net has any, draws from.
    Raises TrainingError, before anything is learned, if the loss is not finite; it names the first layer at fault.
    """
    for parameter in net.named_parameters().values():
        parameter.zero_grad()
    for layer in leaves(net).values():
        if isinstance(layer, Dropout) and rng is not None:
            layer.rng = rng
    with workspace, np.errstate(over="ignore", invalid="ignore"):  # NumPy would warn, line by line, of what is raised below
        logits = net.forward(x, training=True)
        loss, cache = F.softmax_cross_entropy_forward(logits, labels, smoothing=smoothing)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss}: {diagnosis.why(net, x)}")
        net.backward(F.softmax_cross_entropy_backward(cache))
        optimiser.step(lr)
    likeliest = labels if labels.ndim == 1 else labels.argmax(axis=1)
    return StepResult(float(loss), int((logits.argmax(axis=1) == likeliest).sum()))
