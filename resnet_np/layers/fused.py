"""The layers of block.py, computed in fewer sweeps over memory.

Every class here is a class of block.py with another `forward` and `backward`: convolution, batch norm, addition and ReLU go through
`functional/fused_conv.py` together. Children, names, parameters and what the layers keep in between are the same; sums are taken in
another order, so that the last bits differ. Read block.py to see what is computed.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast

import numpy as np

from resnet_np import functional as F
from resnet_np.layers.basic import BatchNorm2d, Conv2d, ReLU
from resnet_np.layers.block import BasicBlock, Bottleneck, ResidualBlock, Sequential, Stem
from resnet_np.layers.layer import Layer

_fused: ContextVar[bool] = ContextVar("fused", default=True)


@contextmanager
def separately() -> Iterator[None]:
    """Inside the `with` block fused layers compute as those of block.py do, layer by layer, each by its own `forward`."""
    token = _fused.set(False)
    try:
        yield
    finally:
        _fused.reset(token)


def computes_fused() -> bool:
    """Whether fused layers compute as such: outside of `separately`."""
    return _fused.get()


class FusedSequential(Sequential):
    """Layers one behind the other; a convolution, the batch norm behind it and the ReLU behind that, where they follow, are one."""

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        if not computes_fused():
            return super().forward(x, training=training, keep_cache=keep_cache)
        for unit in _units(self.children.values()):
            if len(unit) == 1:
                x = unit[0].forward(x, training=training, keep_cache=keep_cache)
            else:
                x = _forward(unit, x, None, training=training, keep_cache=keep_cache)
        return x

    def backward(self, dout: np.ndarray) -> np.ndarray:
        for unit in reversed(_units(self.children.values())):
            dout = unit[0].backward(dout) if len(unit) == 1 else cast(np.ndarray, _backward(unit, dout).dx)
        return dout


class FusedStem(Stem):
    """Convolution, batch norm and ReLU as one."""

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        if not computes_fused():
            return super().forward(x, training=training, keep_cache=keep_cache)
        return _forward(tuple(self.children.values()), x, None, training=training, keep_cache=keep_cache)

    def backward(self, dout: np.ndarray, *, need_dx: bool = True) -> np.ndarray | None:  # type: ignore[override]
        return _backward(tuple(self.children.values()), dout, need_dx=need_dx).dx


class FusedResidualBlock(ResidualBlock):
    """Each convolution of the main branch, its batch norm and ReLU are one; the last, with the addition before the ReLU."""

    sequential = FusedSequential

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        if not computes_fused():
            return super().forward(x, training=training, keep_cache=keep_cache)
        *first, last = self._units()
        hidden = x
        for unit in first:
            hidden = _forward(unit, hidden, None, training=training, keep_cache=keep_cache)
        same = self.shortcut.forward(x, training=training, keep_cache=keep_cache)
        return _forward(last, hidden, same, training=training, keep_cache=keep_cache)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        *others, last = self._units()
        grads = _backward(last, dout, adds=True)
        d_shortcut = self.shortcut.backward(cast(np.ndarray, grads.dsame))
        # Where the branches part, at x, the two gradients add up.
        if not others:
            return F.add_forward(cast(np.ndarray, grads.dx), d_shortcut)
        for unit in reversed(others[1:]):
            grads = _backward(unit, cast(np.ndarray, grads.dx))
        return cast(np.ndarray, _backward(others[0], cast(np.ndarray, grads.dx), plus=d_shortcut).dx)

    def _units(self) -> list[tuple[Layer, ...]]:
        return _units([*self.main.children.values(), self.relu])


class FusedBasicBlock(FusedResidualBlock, BasicBlock):
    """BasicBlock in fewer sweeps."""


class FusedBottleneck(FusedResidualBlock, Bottleneck):
    """Bottleneck in fewer sweeps."""


def _units(layers: Iterable[Layer]) -> list[tuple[Layer, ...]]:
    """The layers, joined where they follow: (conv, norm, relu), (conv, norm), or one layer alone."""
    units, rest = [], list(layers)
    while rest:
        kinds = tuple(type(layer) for layer in rest[:3])
        length = 3 if kinds == (Conv2d, BatchNorm2d, ReLU) else 2 if kinds[:2] == (Conv2d, BatchNorm2d) else 1
        units.append(tuple(rest[:length]))
        del rest[:length]
    return units


def _forward(
    unit: tuple[Layer, ...], x: np.ndarray, same: np.ndarray | None, *, training: bool, keep_cache: bool | None
) -> np.ndarray:
    """What unit's layers do one after the other, with the addition of `same` before the ReLU. They keep what they would keep."""
    conv, norm, *relu = cast(tuple[Conv2d, BatchNorm2d, ReLU], unit)
    arguments = x, conv.weight.data, norm.weight.data, norm.bias.data
    keep = training if keep_cache is None else keep_cache
    cache: F.ConvNormCache | None
    if training and not norm.frozen:
        out, cache = F.conv_batchnorm_forward(*arguments, same, relu=bool(relu), stride=conv.stride, pad=conv.pad, eps=norm.eps)
        norm.follow(cast(F.BatchNormCache, cache.batchnorm))
    else:
        statistics = norm.buffers["running_mean"], norm.buffers["running_var"]
        out, cache = F.conv_batchnorm_frozen_forward(
            *arguments, *statistics, same, relu=bool(relu), stride=conv.stride, pad=conv.pad, eps=norm.eps, keep_cache=keep)
    for layer, part in zip(unit, cache or (None, None, None), strict=False):
        layer._keep(part, training, keep)
    return out


def _backward(
    unit: tuple[Layer, ...], dout: np.ndarray, *, need_dx: bool = True, adds: bool = False, plus: np.ndarray | None = None
) -> F.ConvNormGrads:
    """Adds to the gradients of unit's parameters, uses its caches up. adds: there was a `same`; plus: what else arrives at x."""
    caches = [layer._take() for layer in unit]
    cache = F.ConvNormCache(caches[0], caches[1], caches[2] if len(caches) > 2 else None, adds)
    grads = F.conv_batchnorm_backward(dout, cache, need_dx=need_dx, plus=plus)
    conv, norm = cast(tuple[Conv2d, BatchNorm2d], unit[:2])
    conv.weight.accumulate(grads.dw)
    norm.weight.accumulate(grads.dgamma)
    norm.bias.accumulate(grads.dbeta)
    return grads
