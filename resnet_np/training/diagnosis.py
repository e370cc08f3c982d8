"""Why a loss is not a finite number: the first array at fault, by the name of its layer."""

import numpy as np

from resnet_np.backend import namespace
from resnet_np.errors import TrainingError
from resnet_np.layers import Layer
from resnet_np.layers.watch import watched
from resnet_np.models.checkpoint import net_arrays


def why(net: Layer, x: np.ndarray) -> str:
    """What makes the loss of the batch x (N, 3, H, W) not finite, in half a sentence.

    The batch goes through the net once more, in training; parameters and buffers are afterwards what they were.
    """
    if not _finite(x):
        return f"the pictures of the batch hold {'NaN' if namespace(x).isnan(x).any() else 'infinite values'}"
    found: list[str] = []

    def seen(name: str, layer: Layer, x: np.ndarray, out: np.ndarray) -> None:
        if not found and not (_finite(x) and _finite(out)):
            found.append(_fault(name, layer, x))

    buffers = {name: buffer.copy() for name, buffer in net.named_buffers().items()}
    try:
        with watched(net, seen):
            logits = net.forward(x, training=True, keep_cache=False)
    finally:
        for name, buffer in net.named_buffers().items():
            buffer[...] = buffers[name]
    return found[0] if found else f"the output of every layer is finite, but the logits reach {_largest(logits)}"


def check_state(net: Layer) -> None:
    """Raises TrainingError if a parameter or a buffer is no longer finite, and names the first: such a net is not worth keeping."""
    for name, array in net_arrays(net).items():
        if not _finite(array):
            raise TrainingError(f"{name} is no longer finite")


def _fault(name: str, layer: Layer, x: np.ndarray) -> str:
    who = f"{name} ({type(layer).__name__})"
    for key, parameter in layer.parameters.items():
        if not _finite(parameter.data):
            return f"the {key} of {who} is no longer finite"
    if not _finite(x):
        return f"{who} is the first layer whose input is not finite: the two branches that are added before it are too large"
    sizes = "".join(f", its {key} up to {_largest(parameter.data)}" for key, parameter in layer.parameters.items())
    return f"{who} is the first layer whose output is not finite; its input is finite, up to {_largest(x)}{sizes}"


def _finite(array: np.ndarray) -> bool:
    return bool(namespace(array).isfinite(array).all())


def _largest(array: np.ndarray) -> str:
    return f"{float(abs(array).max()):.1e}"
