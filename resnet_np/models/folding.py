"""A net's layers as the steps of one that only answers: batch norm disappears in the convolution before it.

Evaluating, batch norm is a line per channel, and a convolution in front of it is linear, too:

    gamma (w * x - mean) / sqrt(var + eps) + beta  =  (k w) * x + (beta - k mean)        k = gamma / sqrt(var + eps)

so that filters and biases are multiplied once, in float64, and nothing is left to be done for a picture. A line that rises does
not change which of four pixels is the largest: a max pool between the two may come last. A constant factor of the pooled features
goes into the linear layer; a shortcut that pads (option A) is a projection whose filters are zeros and ones; dropout does nothing.
An infinity times one of these zeros is no number: it spreads further than in the net.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from resnet_np.backend import like, to_host
from resnet_np.errors import InputError
from resnet_np.kernels.answer import Convolution, GlobalPool, MaxPool, Step, Steps
from resnet_np.layers import (
    BatchNorm2d,
    Bias,
    Conv2d,
    Dropout,
    GlobalAveragePool,
    GlobalMaxPool,
    IdentityShortcut,
    Layer,
    Linear,
    MaxPool2d,
    PaddedShortcut,
    ReLU,
    ResidualBlock,
    Scale,
    Sequential,
)

INSTEAD = "answer with the net itself: net.forward(x, training=False)"


def fold(layers: Iterable[Layer]) -> Steps:
    """The steps of the layers of a net, one after the other, in float32, where the layers are.

    Raises InputError for layers, or an order of them, that no net of this package has: it names them.
    """
    folding = _Folding()
    folding.through(layers, 0)
    if not folding.steps or not isinstance(folding.steps[-1], Convolution) or folding.scale != 1:
        raise InputError(f"prepare: the net does not end with a linear layer; {INSTEAD}")
    return Steps(folding.steps)


class _Folding:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.scale = 1.0  # of the features, until the linear layer
        self._pooled = False  # whether maps have become features

    def through(self, layers: Iterable[Layer], source: int, same: int | None = None) -> int:
        """The number of the map behind the layers. same: the map that is added to the last convolution's, before its ReLU."""
        rest = list(_flat(layers))
        last = max((k for k, layer in enumerate(rest) if isinstance(layer, Conv2d)), default=None)
        k = 0
        while k < len(rest):
            layer, behind = rest[k], _behind(rest[k + 1:])
            if self._pooled != isinstance(layer, Scale | Dropout | Linear):  # these come behind the global pool, the others do not
                raise _Unknown(layer)
            if isinstance(layer, Conv2d):
                source = self._convolution(layer, behind, source, same if k == last else None)
                k += len(behind)
            elif isinstance(layer, ResidualBlock):
                source = self.through([layer.main, layer.relu], source, self._shortcut(layer.shortcut, source))
            elif isinstance(layer, MaxPool2d) and source:
                source = self._pool(layer, source, relu=False)
            elif isinstance(layer, GlobalAveragePool | GlobalMaxPool) and source:
                source = self._add(GlobalPool(source, largest=isinstance(layer, GlobalMaxPool)))
                self._pooled = True
            elif isinstance(layer, Scale):
                self.scale *= layer.factor
            elif isinstance(layer, Linear):
                scale, self.scale = self.scale, 1.0
                weight, bias = layer.weight.data, layer.bias.data
                source = self._add(_step(source, scale * _precise(weight)[:, :, None, None], _precise(bias), weight))
            elif not isinstance(layer, Dropout):
                raise _Unknown(layer)
            k += 1
        return source

    def _convolution(self, conv: Conv2d, behind: Sequence[Layer], source: int, same: int | None) -> int:
        """The convolution and what follows it."""
        weight = _precise(conv.weight.data)
        bias = np.zeros(len(weight))
        pool, relu = None, False
        for layer in behind:
            if isinstance(layer, Bias):
                bias = bias + _precise(layer.bias.data)
            elif isinstance(layer, BatchNorm2d):
                factor = _precise(layer.weight.data) / np.sqrt(_precise(layer.buffers["running_var"]) + layer.eps)
                if pool and (factor <= 0).any():
                    raise InputError(f"prepare: gamma of the batch norm behind a max pool is 0 or less for {(factor <= 0).sum()} "
                                     f"of {len(factor)} channels, so that it cannot be folded; {INSTEAD}")
                weight = weight * factor[:, None, None, None]
                bias = factor * (bias - _precise(layer.buffers["running_mean"])) + _precise(layer.bias.data)
            elif isinstance(layer, MaxPool2d):
                pool = layer
            else:
                relu = True
        # Only the pictures have as much padding around them as their first reader wants; around other maps is one pixel.
        if same == 0 or (pool and same is not None) or (self.steps and (not source or conv.pad > 1)):
            raise _Unknown(conv)
        source = self._add(_step(source, weight, bias, conv.weight.data, conv.stride, conv.pad, same, relu and not pool))
        return self._pool(pool, source, relu=relu) if pool else source

    def _pool(self, layer: MaxPool2d, source: int, *, relu: bool) -> int:
        before = self.steps[source - 1]
        if layer.pad > 1 or (layer.pad and not getattr(before, "relu", False)):
            raise _Unknown(layer)
        return self._add(MaxPool(source, layer.k, layer.stride, layer.pad, relu))

    def _shortcut(self, layer: Layer, source: int) -> int:
        if isinstance(layer, IdentityShortcut):
            return source
        if isinstance(layer, PaddedShortcut):  # filter `before + c` hands on channel c
            channels, like_this = self._channels(source)
            before = (layer.channels - channels) // 2 if layer.zero_pad == "both" else 0
            weight = np.zeros((layer.channels, channels, 1, 1))
            weight[range(before, before + channels), range(channels)] = 1
            return self._add(_step(source, weight, np.zeros(layer.channels), like_this, layer.stride))
        return self.through([layer], source)

    def _channels(self, number: int) -> tuple[int, np.ndarray]:
        """Of map `number`, and an array that lies where all of the net's do."""
        step = self.steps[number - 1]
        return (len(step.weight), step.weight) if isinstance(step, Convolution) else self._channels(step.source)

    def _add(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps)


class _Unknown(InputError):
    def __init__(self, layer: Layer) -> None:
        super().__init__(f"prepare: a {type(layer).__name__} where it stands in this net cannot be folded; {INSTEAD}")


def _precise(array: np.ndarray) -> np.ndarray:
    return to_host(array).astype(np.float64)


def _step(
    source: int, weight: np.ndarray, bias: np.ndarray, where: np.ndarray, stride: int = 1, pad: int = 0, same: int | None = None,
    relu: bool = False,
) -> Convolution:
    """In float32, on the device if `where` is."""
    weight, bias = (like(array.astype(np.float32), where) for array in (weight, bias))
    return Convolution(source, weight, bias, stride, pad, same, relu)


def _flat(layers: Iterable[Layer]) -> Iterator[Layer]:
    for layer in layers:
        if isinstance(layer, Sequential):
            yield from _flat(layer.children.values())
        else:
            yield layer


def _behind(layers: Sequence[Layer]) -> list[Layer]:
    """Those of the layers behind a convolution that become part of it: a bias, a pool, a batch norm, ReLU; each at most once, and
    in this order."""
    found: list[Layer] = []
    for kind in (Bias, MaxPool2d, BatchNorm2d, ReLU):
        if len(found) < len(layers) and isinstance(layers[len(found)], kind):
            found.append(layers[len(found)])
    return found
