"""See every layer of a net at work, without a line in the layers for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from resnet_np.layers.fused import separately
from resnet_np.layers.layer import Layer

Seen = Callable[[str, Layer, np.ndarray, np.ndarray], None]


def leaves(net: Layer, name: str = "") -> dict[str, Layer]:
    """Every layer below `net` that is made of no others, by its name ("layer1.0.conv1"); {"": net} if it is one itself."""
    if not net.children:
        return {name: net}
    found: dict[str, Layer] = {}
    for key, child in net.children.items():
        found |= leaves(child, f"{name}.{key}" if name else key)
    return found


@contextmanager
def watched(net: Layer, seen: Seen) -> Iterator[None]:
    """Inside the `with` block every forward pass of a leaf ends with a call of seen(name, layer, x, out), in order of computation.

    So that there is something to see, fused layers compute one after the other meanwhile.

    `seen` may look at layer._cache, which is what the layer has kept, and must not write into anything.
    """
    layers = leaves(net)

    def watch(name: str, layer: Layer) -> None:
        forward = layer.forward

        def reported(x: np.ndarray, **mode: Any) -> np.ndarray:
            out = forward(x, **mode)
            seen(name, layer, x, out)
            return out

        layer.forward = reported  # type: ignore[method-assign]

    before = [(layer, vars(layer).get("forward")) for layer in layers.values()]  # somebody else may watch too
    for name, layer in layers.items():
        watch(name, layer)
    try:
        with separately():
            yield
    finally:
        for layer, forward in before:
            vars(layer).pop("forward", None)
            if forward is not None:
                layer.forward = forward  # type: ignore[method-assign]
