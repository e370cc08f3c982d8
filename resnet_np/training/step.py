"""One training step: forward, loss, backward, update."""

import math
from typing import NamedTuple, cast

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import namespace, on_device, to_host
from resnet_np.errors import TrainingError
from resnet_np.layers import Dropout, Layer
from resnet_np.layers.watch import leaves
from resnet_np.optim import SGD, Muon
from resnet_np.training import diagnosis
from resnet_np.workspace import Workspace


class StepResult(NamedTuple):
    """Both before the update; numbers, or on the device arrays of one number, which nobody need wait for yet."""

    loss: float  # mean cross-entropy of the batch
    correct: int  # pictures of the batch whose label, or largest share of a mixed one, was recognised


def read(results: list[StepResult]) -> list[StepResult]:
    """The same as numbers; what is on the device is waited for, and comes in two copies.

    Raises TrainingError if a loss is not finite, which `training_step` has not looked at there.
    """
    if not results or not on_device(results[0].loss):
        return results
    stack = namespace(results[0].loss).stack
    losses, correct = (to_host(stack(column)).tolist() for column in zip(*results, strict=True))
    if bad := [loss for loss in losses if not math.isfinite(loss)]:
        raise TrainingError(f"the loss of one of the last {len(results)} steps is {bad[0]}; the same run on the backend numba "
                            "would say which layer is at fault")
    return [StepResult(*pair) for pair in zip(losses, correct, strict=True)]


def training_step(
    net: Layer, optimiser: SGD | Muon, x: np.ndarray, labels: np.ndarray, *, lr: float, workspace: Workspace,
    smoothing: float = 0.0, rng: np.random.Generator | None = None,
) -> StepResult:
    """Learn from one batch: x (N, 3, H, W) float32, labels (N,) int64 or distributions (N, K) float32.

    The step's arrays live in `workspace`. smoothing: of the labels; rng: where dropout, if the net has any, draws from.
    Raises TrainingError, before anything is learned, if the loss is not finite; it names the first layer at fault. On the device
    that would mean to wait for it in every step: there `read` looks.
    """
    for parameter in net.named_parameters().values():
        parameter.zero_grad()
    for layer in leaves(net).values():
        if isinstance(layer, Dropout) and rng is not None:
            layer.rng = rng
    with workspace, np.errstate(over="ignore", invalid="ignore"):  # NumPy would warn, line by line, of what is raised below
        logits = net.forward(x, training=True)
        loss, cache = F.softmax_cross_entropy_forward(logits, labels, smoothing=smoothing)
        if not on_device(loss) and not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss}: {diagnosis.why(net, x)}")
        net.backward(F.softmax_cross_entropy_backward(cache))
        optimiser.step(lr)
    correct = (logits.argmax(axis=1) == cache.targets.argmax(axis=1)).sum()
    return StepResult(cast(float, loss), correct) if on_device(logits) else StepResult(float(loss), int(correct))
