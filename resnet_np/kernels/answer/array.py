"""The steps of a net that only answers, one after the other, each by the kernels of the backend in use."""

import numpy as np

from resnet_np.backend import namespace
from resnet_np.kernels import conv, pooling
from resnet_np.kernels.answer import Convolution, MaxPool, Step, Steps


def answer(steps: Steps, x: np.ndarray) -> np.ndarray:
    """x (N, 3, H, W) -> logits (N, K)."""
    steps.sizes(*x.shape[2:])
    last_readers, maps = steps.last_readers(), {0: x}
    for number, step in enumerate(steps.steps, 1):
        maps[number] = _done(step, maps)
        maps = {k: kept for k, kept in maps.items() if last_readers[k] > number or k == number}
    return maps[len(steps.steps)][:, :, 0, 0]


def _done(step: Step, maps: dict[int, np.ndarray]) -> np.ndarray:
    source = maps[step.source]
    if isinstance(step, Convolution):
        y = conv.forward(source, step.weight, stride=step.stride, pad=step.pad) + step.bias[:, None, None]
        y = y if step.same is None else y + maps[step.same]
    elif isinstance(step, MaxPool):
        y, _ = pooling.max_forward(source, k=step.k, stride=step.stride, pad=step.pad)
    else:
        y = pooling.global_max_forward(source)[0] if step.largest else pooling.global_average_forward(source)
        return y[:, :, None, None]
    return namespace(y).maximum(y, 0) if step.relu else y
