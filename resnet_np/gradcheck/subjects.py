"""Pairs, layers and nets, made into functions that finite differences can be taken of.

    rng = np.random.default_rng(0)
    require(check_layer(BasicBlock(...).astype(np.float64), rng.standard_normal((2, 16, 8, 8)), rng=rng))
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import on_device, to_device, to_host
from resnet_np.errors import InputError
from resnet_np.gradcheck.differences import Arrays, Evaluation, Suspects, TensorReport, check_directions, check_entries
from resnet_np.layers import Dropout, Layer
from resnet_np.layers.watch import leaves

Finish = Callable[[np.ndarray], tuple[np.ndarray | float, np.ndarray]]
SuspectsOf = Callable[[Any, np.ndarray, Mapping[str, np.ndarray]], Suspects]


def check_pair(
    forward: Callable[..., tuple[Any, Any]], backward: Callable[[Any, Any], Mapping[str, np.ndarray]], arrays: Arrays, *,
    rng: np.random.Generator, directions: int | None = None,
    suspects: Callable[[Any, np.ndarray], Suspects] | None = None,
) -> list[TensorReport]:
    """Check a pair of functions, every entry of every gradient; or, with `directions`, along that many random directions.

    forward   called as forward(**arrays) -> (out, cache)
    backward  called as backward(dout, cache) -> gradients by name
    suspects  called as suspects(cache, dout) -> causes to try where a gradient is wrong; not on the device

    With the backend cupy both are given arrays on the device, and the comparison is made in the computer's memory.
    Raises AssertionError if backward writes into dout or an argument: somebody else may still need it.
    """
    arrays = {name: np.array(array) for name, array in arrays.items()}
    there = {name: to_device(array) for name, array in arrays.items()}
    before = {name: array.copy() for name, array in arrays.items()}
    out, cache = forward(**there)
    out = to_host(out)
    dout = rng.standard_normal(np.shape(out)) if np.ndim(out) else float(rng.uniform(0.5, 1.5))
    kept = np.array(dout)
    given = to_device(dout) if np.ndim(out) else dout
    gradients = {name: np.array(to_host(gradient)) for name, gradient in backward(given, cache).items()}
    if gradients.keys() != arrays.keys():
        raise InputError(f"gradcheck: backward returned gradients of {', '.join(gradients) or 'nothing'}, "
                         f"expected one of each argument: {', '.join(arrays)}")
    _assert_unwritten("dout", np.asarray(to_host(given)), kept)
    for name, array in there.items():
        _assert_unwritten(name, to_host(array), before[name])

    def f(**values: np.ndarray) -> Evaluation:
        out, cache = forward(**{name: to_device(value) for name, value in values.items()})
        return Evaluation(to_host(out), masks_of(cache))

    found = suspects(cache, kept) if suspects and not any(map(on_device, there.values())) else None
    if directions is None:
        return check_entries(f, arrays, gradients, upstream=dout, suspects=found)
    return check_directions(f, arrays, gradients, upstream=dout, rng=rng, directions=directions, suspects=found)


def check_layer(
    layer: Layer, x: np.ndarray, *, rng: np.random.Generator, training: bool = True, directions: int | None = None,
    entries: int | None = None, labels: np.ndarray | None = None, suspects: SuspectsOf | None = None,
) -> list[TensorReport]:
    """Check the gradients of a layer or net, float64, with respect to its input x and to every parameter that is not fixed.

    labels (N,) make it the check of a net: from the mean cross-entropy of its logits. Otherwise the upstream gradient is random.
    directions: along that many random directions instead of entry by entry; entries: that many entries of each array, not all.
    suspects: called as suspects(layer, dout, arrays) -> causes to try where a gradient is wrong; not on the device.

    With the backend cupy the layer computes on the device, and stays there.
    Running statistics, the state of dropout's random numbers and the parameters are put back after every evaluation; the gradients
    of the parameters are 0 afterwards.
    Raises AssertionError if backward writes into its argument.
    """
    if directions is not None and entries is not None:
        raise InputError("gradcheck: directions and entries, expected one of them: call it twice")
    finish: Finish | None = None
    if labels is not None:
        def finish(logits: np.ndarray) -> tuple[np.ndarray | float, np.ndarray]:
            loss, cache = F.softmax_cross_entropy_forward(logits, labels)
            return float(loss), F.softmax_cross_entropy_backward(cache)

    parameters = {name: parameter for name, parameter in layer.to_device().named_parameters().items() if not parameter.fixed}
    arrays = {"x": np.array(x)} | {name: to_host(parameter.data) for name, parameter in parameters.items()}
    if "x" in parameters:
        raise InputError("gradcheck: a parameter is called x, like the input; rename it")

    generators = {name: copy.deepcopy(leaf.rng) for name, leaf in leaves(layer).items() if isinstance(leaf, Dropout) and leaf.rng}

    def f(x: np.ndarray, **values: np.ndarray) -> Evaluation:
        with _restored(layer, generators):
            for name, value in values.items():
                parameters[name].data = to_device(value)
            out, masks = _forward(layer, to_device(x), training)
            return Evaluation(to_host(out) if finish is None else finish(out)[0], masks)

    upstream: np.ndarray | float
    with _restored(layer, generators):
        for parameter in parameters.values():
            parameter.zero_grad()
        out, _ = _forward(layer, to_device(arrays["x"]), training)
        # A net's upstream gradient is that of a number, and not 1, so that a factor forgotten on the way shows
        upstream = rng.standard_normal(out.shape) if finish is None else float(rng.uniform(0.5, 1.5))
        dout = to_device(np.array(upstream)) if finish is None else upstream * finish(out)[1]
        kept = dout.copy()
        dx = layer.backward(dout, **_need_dx(layer))
        _assert_unwritten("dout", to_host(dout), to_host(kept))
        gradients = {"x": np.array(to_host(dx))} | {name: to_host(parameter.grad.copy()) for name, parameter in parameters.items()}
        found = suspects(layer, kept, arrays) if suspects and not on_device(kept) else None
        for parameter in parameters.values():
            parameter.zero_grad()
    if directions is not None:
        return check_directions(f, arrays, gradients, upstream=upstream, rng=rng, directions=directions, suspects=found)
    return check_entries(f, arrays, gradients, upstream=upstream, entries=entries, rng=rng, suspects=found)


def masks_of(cache: Any) -> tuple[np.ndarray, ...]:
    """The choices that a pair made, from its cache: the signs of a ReLU, the winners of a max pool."""
    if isinstance(cache, F.ConvNormCache | F.BiasCache):
        return masks_of(cache.relu)
    if isinstance(cache, F.ReLUCache):
        return (to_host(cache.out > 0),)
    return (to_host(cache.winners),) if isinstance(cache, F.MaxPoolCache) else ()


def _forward(layer: Layer, x: np.ndarray, training: bool) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    out = layer.forward(x, training=training, keep_cache=True)
    return out, tuple(mask for leaf in leaves(layer).values() for mask in masks_of(leaf._cache))


def _need_dx(layer: Layer) -> dict[str, Any]:
    """A net does not compute the gradient of its pictures unless it is asked to."""
    return {"need_dx": True} if "need_dx" in (layer.backward.__kwdefaults__ or {}) else {}


@contextmanager
def _restored(layer: Layer, generators: Mapping[str, np.random.Generator]) -> Iterator[None]:
    """Put back, after the block, what a forward pass moves: parameters, running statistics, dropout's random numbers.

    Inside it dropout draws from copies of `generators`, so that every evaluation has the same masks, whoever else draws from them.
    """
    layers, parameters = leaves(layer), {name: parameter.data for name, parameter in layer.named_parameters().items()}
    buffers = {name: buffer.copy() for name, buffer in layer.named_buffers().items()}
    before = {name: _dropout(layers[name]).rng for name in generators}
    for name, generator in generators.items():
        _dropout(layers[name]).rng = copy.deepcopy(generator)
    try:
        yield
    finally:
        for name, parameter in layer.named_parameters().items():
            parameter.data = parameters[name]
        for name, buffer in layer.named_buffers().items():
            buffer[...] = buffers[name]
        for name in generators:
            _dropout(layers[name]).rng = before[name]


def _dropout(layer: Layer) -> Dropout:
    assert isinstance(layer, Dropout)
    return layer


def _assert_unwritten(name: str, array: np.ndarray, before: np.ndarray) -> None:
    if not np.array_equal(array, before):
        raise AssertionError(f"gradcheck: backward wrote into {name}; others still need it: the other branch of a block, say")
