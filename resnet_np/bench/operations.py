"""Every operation of a training step, timed where it happens: inside the step, with the caches as the step leaves them.

The functions of `resnet_np.kernels`, and the optimiser, are watched while the net trains; calls of equal shapes are one operation.
"""

import functools
import inspect
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from resnet_np.bench.ours import Ours

# Floating-point operations a value, where an operation is no product of matrices. Nominal: memory bounds all of these.
OPERATIONS_A_VALUE = {"batchnorm statistics": 3, "batchnorm normalise": 2, "batchnorm backward": 8, "fused normalise": 4,
                      "fused normalise_relu_backward": 10, "SGD step": 6}


@dataclass
class Operation:
    """calls of one kernel with arguments of the same shapes."""

    name: str  # "conv weight_grad"
    layer: str  # the shapes, without the batch
    flops: int  # a call
    bytes: int  # a call: every argument read once, every result written once
    times: list[float] = field(default_factory=list)  # seconds a call

    def to_json(self, steps: int) -> dict[str, Any]:
        found = asdict(self)
        times = found.pop("times")
        return found | {"count": round(len(times) / steps), "seconds": statistics.median(times)}


def measure(side: Ours, seconds: float) -> dict[str, Any]:
    """Train for that long -> {"step": seconds of a step, "outside": those outside all operations, "operations": [...]}; medians."""
    operations: dict[tuple, Operation] = {}
    steps: list[float] = []
    outside: list[float] = []
    end = time.perf_counter() + seconds
    with _watched(side, operations):
        while len(steps) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            side.step()
            steps.append(time.perf_counter() - start)
            outside.append(sum(steps) - sum(sum(operation.times) for operation in operations.values()) - sum(outside))
    return {
        "step": statistics.median(steps),
        "outside": statistics.median(outside),
        "operations": [operation.to_json(len(steps)) for operation in operations.values()],
    }


@contextmanager
def _watched(side: Ours, operations: dict[tuple, Operation]) -> Iterator[None]:
    """Replace every public function of the kernel packages, and the optimiser's step, by one that notes what it took."""
    inside = False  # a kernel may call another: the outer one is the operation

    def watch(function: Callable, package: str) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def noted(*arguments: Any, **keywords: Any) -> Any:
            nonlocal inside
            if inside:
                return function(*arguments, **keywords)
            inside = True
            try:
                start = time.perf_counter()
                result = function(*arguments, **keywords)
                took = time.perf_counter() - start
            finally:
                inside = False
            given = signature.bind(*arguments, **keywords).arguments
            key = (package, function.__name__, *(_signature(value) for value in given.values()))
            if key not in operations:
                operations[key] = describe(f"{package} {function.__name__}", given, result)
            operations[key].times.append(took)
            return result

        return noted

    def optimise(lr: float) -> None:
        start = time.perf_counter()
        step(lr)
        operations[("SGD",)].times.append(time.perf_counter() - start)

    step = side.optimiser.step
    operations[("SGD",)] = _sgd(side)
    replaced = [(module, name, function) for module in _packages() for name, function in _functions(module)]
    for module, name, function in replaced:
        setattr(module, name, watch(function, module.__name__.rpartition(".")[2]))
    side.optimiser.step = optimise  # type: ignore[method-assign]
    try:
        yield
    finally:
        del side.optimiser.step
        for module, name, function in replaced:
            setattr(module, name, function)


def _packages() -> list[ModuleType]:
    """The folders of resnet_np.kernels but the optimiser's; the step that was done before has imported them."""
    return [module for name, module in sorted(sys.modules.items())
            if name.startswith("resnet_np.kernels.") and hasattr(module, "__path__") and name != "resnet_np.kernels.sgd"]


def _functions(module: ModuleType) -> list[tuple[str, FunctionType]]:
    return [(name, value) for name, value in vars(module).items()
            if isinstance(value, FunctionType) and value.__module__ == module.__name__ and not name.startswith("_")]


def _signature(value: Any) -> Any:
    return value.shape if isinstance(value, np.ndarray) else repr(value)


def describe(name: str, given: dict[str, Any], result: Any) -> Operation:
    """What a call with these arguments, by name, and this result has to compute and to move."""
    results = [array for array in (result if isinstance(result, tuple) else (result,)) if isinstance(array, np.ndarray)]
    arrays = [value for value in given.values() if isinstance(value, np.ndarray)]
    largest = max([*arrays, *results], key=lambda array: array.size)
    moved = sum(array.nbytes for array in [*arrays, *results])
    w = given.get("w")
    w_shape = given.get("w_shape", w.shape if isinstance(w, np.ndarray) else None)
    if w_shape is None:
        layer = " x ".join(map(str, largest.shape[1:])) or str(largest.size)
        return Operation(name, layer, OPERATIONS_A_VALUE.get(name, 1) * largest.size, moved)
    # (N, F, OH, OW) or (N, O): as many dot products of w's rows, whichever gradient it is
    out = given.get("dout", given.get("dy", results[0]))
    flops = 2 * out.size * math.prod(w_shape[1:])
    if len(w_shape) == 2:  # both gradients at once
        return Operation(name, f"{w_shape[1]} -> {w_shape[0]}", flops * (2 if "dout" in given else 1), moved)
    maps = "x".join(map(str, out.shape[2:]))
    stride = f"/{given['stride']}" if given.get("stride", 1) != 1 else ""
    return Operation(name, f"{w_shape[1]} -> {w_shape[0]} x {maps}, {w_shape[2]}x{w_shape[3]}{stride}", flops, moved)


def _sgd(side: Ours) -> Operation:
    values = [parameter.data for parameter in side.net.named_parameters().values()]
    count = sum(array.size for array in values)
    traffic = 5 * sum(array.nbytes for array in values)  # weight, gradient, velocity in; weight, velocity out
    return Operation("SGD step", f"{count:,} parameters", OPERATIONS_A_VALUE["SGD step"] * count, traffic)
