"""What a net is made of, counted by running it: shapes, parameters, multiply-adds, memory."""

from dataclasses import dataclass

import numpy as np

from resnet_np.backend import like, on_device
from resnet_np.layers import Conv2d, Layer, Linear
from resnet_np.layers.watch import leaves, watched

PAPER_DEPTHS = {"resnet": (20, 32, 44, 56, 110, 1202), "plain": (20, 32, 44, 56)}  # Table 6, figure 6


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

    def count(name: str, layer: Layer, x: np.ndarray, out: np.ndarray) -> None:
        parameters = sum(parameter.data.size for parameter in layer.parameters.values())
        rows.append(Row(name, type(layer).__name__, out.shape[1:], parameters, _macs(layer, out)))
        for array in layer._cache if isinstance(layer._cache, tuple) else ():
            if getattr(array, "ndim", 0) == 4 and array.shape[0] == 1:
                kept[array.data.ptr if on_device(array) else array.ctypes.data] = array.nbytes

    with watched(net, count):
        blank = like(np.zeros(x_shape, np.float32), next(iter(net.named_parameters().values())).data)
        net.forward(blank, training=False, keep_cache=True)
    for layer in leaves(net).values():
        layer._cache = None
    return Summary(tuple(rows), sum(kept.values()))


def _macs(layer: Layer, out: np.ndarray) -> int:
    """Multiply-adds of one image. The paper's count: convolutions and linear layers."""
    if isinstance(layer, Conv2d):
        return out[0].size * layer.weight.data[0].size
    return layer.weight.data.size if isinstance(layer, Linear) else 0
