"""Checks of notebook 4, The residual connection."""

from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.layers import BasicBlock
from resnet_np.tutor.checking import call, exercise, filled, same, wrong


def _block(rng: np.random.Generator) -> BasicBlock:
    block = BasicBlock(2, 2, stride=1, shortcut="A", zero_pad="both", rng=rng)
    block.astype(np.float64)
    return block


@exercise("4.1")
def forward(answer: Any) -> str:
    rng = np.random.default_rng(41)
    block, x = _block(rng), rng.standard_normal((2, 2, 4, 4))

    def main(value: np.ndarray) -> np.ndarray:
        return block.main.forward(value, training=False)

    out = call(answer, x, main)
    given = f"x {x.shape} and the branch of a BasicBlock"
    expected = block.forward(x, training=False)
    if np.shape(out) == x.shape:
        for value, message in ((np.maximum(main(x) - x, 0), "your block subtracts x: the shortcut is added"),
                               (np.maximum(x - main(x), 0), "your block subtracts main(x): the branch is added"),
                               (np.maximum(main(x), 0) + x, "the ReLU comes after the addition, not before it"),
                               (np.maximum(main(x), 0), "your block forgets x itself")):
            if np.allclose(out, value):
                wrong(f"for {given} {message}")
    same(out, expected, given=given, what="out", tolerance=1e-9, hint="add x to what the branch returns, then take the ReLU")
    return "your block computes what BasicBlock computes"


@exercise("4.2")
def backward(answer: Any) -> str:
    rng = np.random.default_rng(42)
    block, x = _block(rng), rng.standard_normal((2, 2, 4, 4))
    out = block.forward(x, training=True)
    dout = rng.standard_normal(out.shape)
    expected = block.backward(dout)

    def main_backward(gradient: np.ndarray) -> np.ndarray:
        block.forward(x, training=True)  # a cache is used up by every backward pass
        return block.main.backward(gradient)

    dx = call(answer, dout, out, main_backward)
    given = f"dout {dout.shape}"
    dsum = np.where(out > 0, dout, 0)
    if np.shape(dx) == x.shape:
        for value, message in ((main_backward(dsum), "your dx is the branch's alone: the gradient of the shortcut is missing"),
                               (dsum, "your dx is the shortcut's alone: the gradient of the branch is missing"),
                               (main_backward(dout) + dout, "the ReLU after the addition lets dout through only where out > 0")):
            if np.allclose(dx, value):
                wrong(f"for {given} {message}")
    same(dx, expected, given=given, what="dx", tolerance=1e-9,
         hint="first the ReLU, then both branches, and at x their gradients add up")
    return "your dx is that of BasicBlock.backward"


@exercise("4.3")
def option_a(answer: Any) -> str:
    rng = np.random.default_rng(43)
    for shape, channels in (((2, 2, 4, 4), 4), ((1, 4, 5, 5), 8)):
        x = rng.standard_normal(shape)
        expected, _ = F.shortcut_forward(x, channels=channels, stride=2, zero_pad="both")
        same(call(answer, x, channels), expected, given=f"x {shape}, channels={channels}",
             hint="every second row and column, and half of the new channels of zeros before x's, half after")
    return "your shortcut is option A, without a single parameter"


@exercise("4.4")
def gains(answer: Any) -> str:
    for a, blocks in ((0.5, 3), (-0.1, 9), (0.1, 27)):
        given = f"a={a:g}, blocks={blocks}"
        result = call(answer, a, blocks)
        if not isinstance(result, tuple | list) or len(result) != 2:
            wrong(f"for {given} expected two numbers, (plain, residual)")
        for name, got, value in zip(("plain", "residual"), filled(result), _chains(a, blocks), strict=True):
            same(got, value, given=given, what=name, tolerance=1e-6,
                 hint="the chain rule multiplies the derivatives of the blocks; that of x + f(x) is 1 + a")
    return "a plain chain multiplies by a, a residual one by 1 + a"


def _chains(a: float, blocks: int) -> tuple[float, float]:
    """By centred differences of the two chains themselves, which are straight lines: exact with any step."""

    def chain(x: float, shortcut: int) -> float:
        for _ in range(blocks):
            x = a * x + shortcut * x
        return x

    return (chain(1, 0) - chain(-1, 0)) / 2, (chain(1, 1) - chain(-1, 1)) / 2
