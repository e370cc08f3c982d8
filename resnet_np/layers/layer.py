"""Layer: one pair of functions, and the state that it owns.

A layer holds its Parameters, its buffers (arrays that are saved but not learned), its children, and between `forward` and
`backward` the cache of the pair. Names follow PyTorch's, so that weight files keep theirs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from resnet_np.backend import to_device, to_host
from resnet_np.errors import InputError
from resnet_np.functional.parameter import Parameter


class Layer:
    """Base of all layers and nets.

    forward(x, *, training, keep_cache=None)
        training     batch statistics are used and buffers updated (unless the layer is frozen)
        keep_cache   whether `backward` will be possible; None: as `training`
    backward(dout)
        -> dx. Adds to the `grad` of every Parameter. Uses the cache up: a second call raises InputError.

    frozen: the layer behaves as in evaluation even in training; see `freeze`.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}
        self.buffers: dict[str, np.ndarray] = {}
        self.children: dict[str, Layer] = {}
        self.frozen = False
        self._cache: Any = None

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    def backward(self, dout: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} has no backward pass")

    def named_parameters(self) -> dict[str, Parameter]:
        """Every Parameter of this layer and of those below it, in registration order: {"layer1.0.conv1.weight": ...}."""
        found = dict(self.parameters)
        for name, child in self.children.items():
            found.update({f"{name}.{key}": parameter for key, parameter in child.named_parameters().items()})
        return found

    def named_buffers(self) -> dict[str, np.ndarray]:
        """Every buffer of this layer and of those below it, the arrays themselves: {"bn1.running_mean": ...}."""
        found = dict(self.buffers)
        for name, child in self.children.items():
            found.update({f"{name}.{key}": buffer for key, buffer in child.named_buffers().items()})
        return found

    def freeze(self, frozen: bool = True) -> None:
        """Freeze this layer and those below: no update of parameters, and batch norm keeps its running statistics."""
        self.frozen = frozen
        for parameter in self.parameters.values():
            parameter.frozen = frozen
        for child in self.children.values():
            child.freeze(frozen)

    def astype(self, dtype: type[np.floating]) -> "Layer":
        """Convert every parameter and buffer to float32 or float64, in place; returns the layer itself."""
        return self._convert(lambda array: array.astype(dtype))

    def to_device(self) -> "Layer":
        """Move every parameter and buffer to where the backend in use computes, in place; returns the layer itself."""
        return self._convert(to_device)

    def to_host(self) -> "Layer":
        """Move every parameter and buffer to the computer's memory, in place; returns the layer itself."""
        return self._convert(to_host)

    def _convert(self, convert: Callable[[np.ndarray], np.ndarray]) -> "Layer":
        for parameter in self.parameters.values():
            parameter.convert(convert)
        for name, buffer in self.buffers.items():
            self.buffers[name] = convert(buffer)
        for child in self.children.values():
            child._convert(convert)
        return self

    def _keep(self, cache: Any, training: bool, keep_cache: bool | None) -> None:
        self._cache = cache if (training if keep_cache is None else keep_cache) else None

    def _take(self) -> Any:
        if self._cache is None:
            raise InputError(
                f"{type(self).__name__}.backward: there is no forward pass to go back through; call forward(..., training=True) "
                "or forward(..., keep_cache=True) first, once for every backward"
            )
        cache, self._cache = self._cache, None
        return cache
