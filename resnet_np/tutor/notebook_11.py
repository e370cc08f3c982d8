"""Checks of notebook 11, Depth and width."""

from typing import Any

import numpy as np

from resnet_np import backend
from resnet_np.models import resnet_cifar
from resnet_np.models.summary import summarise
from resnet_np.tutor.checking import call, describe, exercise, same, wrong


@exercise("11.1")
def blocks_a_stage(answer: Any) -> str:
    for depth in (8, 20, 56, 110):
        expected = len(resnet_cifar(depth, width=1).children["layer2"].children)
        same(call(answer, depth), expected, given=f"depth={depth}",
             hint="two layers stand outside: the first convolution and the linear one; the rest is 3 stages of blocks of two")
    return "these are the blocks that the library builds"


@exercise("11.2")
def growth_of_block_weights(answer: Any) -> str:
    small = _block_weights(4)
    for times in (1, 2, 3):
        same(call(answer, times), _block_weights(4 * times) / small, given=f"times={times}",
             hint="a convolution has F C KH KW weights, and both F and C grow")
    return "counted in nets of the library"


def _block_weights(width: int) -> int:
    parameters = resnet_cifar(14, width=width).named_parameters()
    return sum(p.data.size for name, p in parameters.items() if name.startswith("layer") and ".conv" in name)


@exercise("11.3")
def deepest(answer: Any) -> str:
    for width, budget in ((16, 50.0), (8, 12.0), (32, 100.0)):
        given = f"width={width}, budget={budget:g}"
        depth = call(answer, width, budget)
        if not isinstance(depth, int | np.integer) or isinstance(depth, bool) or depth < 8 or (depth - 2) % 6:
            wrong(f"for {given} expected a depth of the form 6n+2, at least 8, got {describe(depth)}")
        if depth > 200:
            wrong(f"for {given} {depth} layers are far above the budget")
        here, next_one = _macs(int(depth), width), _macs(int(depth) + 6, width)
        if here > budget:
            wrong(f"for {given} {depth} layers take {here:.2f} million multiply-adds, more than the budget")
        if next_one <= budget:
            wrong(f"for {given} {depth} layers are within the budget, but so are {depth + 6}: {next_one:.2f} million")
    return "within the budget, and six layers more would not be"


def _macs(depth: int, width: int) -> float:
    with backend.using("numpy"):
        return summarise(resnet_cifar(depth, width=width), (1, 3, 32, 32)).macs / 1e6


@exercise("11.4")
def worth_a_thought(answer: Any) -> str:
    rng = np.random.default_rng(0)
    cases = [([1.0, 2.0, 3.0], [0.5, 0.4, 0.6]), ([3.0, 1.0], [0.6, 0.7])]
    cases += [(rng.permutation(8.0 + np.arange(8)).tolist(), rng.permutation(np.linspace(0.3, 0.9, 8)).tolist()) for _ in range(3)]
    for costs, accuracies in cases:
        given = f"costs={describe(costs)}, accuracies={describe([round(a, 3) for a in accuracies])}"
        got = call(answer, costs, accuracies)
        try:
            places = [int(place) for place in got]
        except (TypeError, ValueError):
            wrong(f"for {given} expected a list of places, got {describe(got)}")
        if places != sorted(set(places)) or not all(0 <= place < len(costs) for place in places):
            wrong(f"for {given} expected places from 0 to {len(costs) - 1} in rising order, got {describe(got)}")
        for i in range(len(costs)):
            better = [j for j in range(len(costs)) if costs[j] < costs[i] and accuracies[j] > accuracies[i]]
            if (i in places) == bool(better):
                which = f"net {better[0]}" if better else "no net"
                wrong(f"{which} is cheaper and better than net {i}; {given}")
    return "no net on your list is beaten, and every other one is"
