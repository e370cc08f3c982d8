"""Checks of notebook 5, Build ResNet-20."""

import functools
import math
from typing import Any

import numpy as np

from resnet_np import backend
from resnet_np import functional as F
from resnet_np.errors import InputError
from resnet_np.layers import BasicBlock
from resnet_np.models import resnet_cifar
from resnet_np.models.resnet_cifar import DEEPEST, parameter_count
from resnet_np.tutor.checking import call, exercise, same, wrong


@exercise("5.1")
def block_parameters(answer: Any) -> str:
    for C, filters in ((16, 16), (16, 32), (4, 8), (32, 64)):
        stride = 1 if C == filters else 2
        block = BasicBlock(C, filters, stride=stride, shortcut="A", zero_pad="both", rng=np.random.default_rng(0))
        expected = sum(parameter.data.size for parameter in block.named_parameters().values())
        same(call(answer, C, filters), expected, given=f"C={C}, F={filters}", tolerance=1e-9,
             hint="the first convolution goes from C to F channels, the second from F to F; each batch norm has gamma and beta")
    return "blocks of four sizes have as many"


@exercise("5.2")
def price_of_b(answer: Any) -> str:
    for width in (16, 8, 5, 64):
        expected = parameter_count(20, "B", width=width) - parameter_count(20, "A", width=width)
        same(call(answer, width), expected, given=f"width={width}", tolerance=1e-9,
             hint="a 1x1 convolution from width to 2 width, one from 2 width to 4 width, and behind each a batch norm")
    return "for four widths it is the difference of the library's nets, 2,752 for 16 filters"


@exercise("5.3")
def start_at_ln_10(answer: Any) -> str:
    rng = np.random.default_rng(53)
    for seed in range(2):
        net = resnet_cifar(8, width=4, seed=seed)
        before = {name: parameter.data.copy() for name, parameter in net.named_parameters().items()}
        if call(answer, net) is not net:
            wrong("expected the net itself back", hint="change the arrays in place, weight.data[...] = ..., and return the net")
        for name, parameter in net.named_parameters().items():
            if not name.startswith("fc.") and not np.array_equal(parameter.data, before[name]):
                wrong(f"{name} has changed; only the last layer may")
        x, labels = rng.standard_normal((6, 3, 8, 8)).astype(np.float32), np.arange(6)
        try:
            with backend.using("numpy"):
                loss, _ = F.softmax_cross_entropy_forward(net.forward(x, training=True, keep_cache=False), labels)
        except InputError as error:
            wrong(f"the net does not work any more: {error}", hint="keep the shapes and dtypes: write zeros into the arrays")
        same(loss, math.log(10), given=f"seed {seed}", what="the loss", tolerance=1e-6,
             hint="all logits must be equal: both the weight and the bias of the last layer matter")
    return "the loss is ln 10 for any picture, and the rest of the net is as it was"


@functools.cache
def _counts() -> dict[int, int]:
    """The parameters of every CIFAR net."""
    return {depth: parameter_count(depth) for depth in range(8, DEEPEST + 1, 6)}


@exercise("5.4")
def deepest(answer: Any) -> str:
    for budget in (269_722, 269_721, 78_042, 20_000_000):
        expected = max(depth for depth, count in _counts().items() if count <= budget)
        same(call(answer, budget), expected, given=f"budget={budget:,}", tolerance=1e-9,
             hint="go through the depths in steps of 6 and keep the last that fits; a net of exactly `budget` fits too")
    return "it holds for budgets from 78,042 to 20,000,000, and for one that is off by a single parameter"
