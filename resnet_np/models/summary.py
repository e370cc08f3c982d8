"""What a net is made of, counted by running it: shapes, parameters, multiply-adds, memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet_np.layers import BasicBlock, Conv2d, Layer, Linear, Sequential
from resnet_np.models.resnet_cifar import ResNetCifar

PAPER_DEPTHS = (20, 32, 44, 56, 110, 1202)


@dataclass(frozen=True)
class Row:
    """One layer: its output (C, H, W) or (C,) for one image, its parameters, and its multiply-adds for one image."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Summary:
    rows: tuple[Row, ...]
    activation_bytes: int  # for one image in float32: what a training step keeps until the backward pass

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)


def summarise(net: Layer, x_shape: tuple[int, int, int, int]) -> Summary:
    """Send one blank picture of x_shape (1, 3, H, W) through the net and write down what every layer did."""
    rows: list[Row] = []
    kept: dict[int, int] = {}
    watched: list[Layer] = []

    def watch(layer: Layer, name: str) -> None:
        for key, child in layer.children.items():
            watch(child, f"{name}.{key}" if name else key)
        if isinstance(layer, Sequential | BasicBlock | ResNetCifar):
            return
        forward = layer.forward

        def counted(x: np.ndarray, **mode: Any) -> np.ndarray:
            out = forward(x, **mode)
            parameters = sum(parameter.data.size for parameter in layer.parameters.values())
            rows.append(Row(name, type(layer).__name__, out.shape[1:], parameters, _macs(layer, out)))
            return out

        layer.forward = counted  # type: ignore[method-assign]
        watched.append(layer)

    watch(net, "")
    try:
        net.forward(np.zeros(x_shape, np.float32), training=False, keep_cache=True)
        for layer in watched:
            for array in layer._cache if isinstance(layer._cache, tuple) else ():
                if isinstance(array, np.ndarray) and array.ndim == 4 and array.shape[0] == 1:
                    kept[array.ctypes.data] = array.nbytes
    finally:
        for layer in watched:
            del layer.forward
            layer._cache = None
    return Summary(tuple(rows), sum(kept.values()))


def _macs(layer: Layer, out: np.ndarray) -> int:
    """Multiply-adds of one image. The paper's count: convolutions and linear layers."""
    if isinstance(layer, Conv2d):
        return out[0].size * layer.weight.data[0].size
    return layer.weight.data.size if isinstance(layer, Linear) else 0
