"""A residual block as a picture: what flows forward through it, and what flows back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, GREY, ORANGE

# Where the numbers of an arrow stand: x, y of their middle.
_PLACES = {"x": (0.62, 1.0), "main": (5.15, 1.0), "shortcut": (3.1, 3.0), "sum": (7.15, 1.0), "out": (9.75, 1.0)}


def fork(forward: Mapping[str, np.ndarray], backward: Mapping[str, np.ndarray] | None = None) -> Figure:
    """Draw out = relu(main(x) + shortcut(x)), every arrow with the numbers that pass along it.

    forward   "x", "main", "shortcut", "sum" and "out": maps (H, W) of one picture and channel, at most 3x3; drawn above the arrows
    backward  the gradients with respect to the same five, drawn below; None: the forward pass alone
    Raises InputError if one is missing or larger.
    """
    for arrays in (forward, backward or {}):
        if arrays and (set(arrays) != set(_PLACES) or any(np.ndim(a) != 2 or max(np.shape(a)) > 3 for a in arrays.values())):
            shapes = {name: np.shape(array) for name, array in arrays.items()}
            raise InputError(f"fork: expected {', '.join(_PLACES)}, each (H, W) of at most 3x3, got {shapes}")
    figure = Figure(figsize=(8.6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.2, 10.6), ylim=(0, 4.25))
    axes.axis("off")
    _box(axes, 3.1, 1.0, 1.9, "main(x)\nconv, bn, relu,\nconv, bn")
    _box(axes, 6.2, 1.0, 0.6, "+")
    _box(axes, 8.35, 1.0, 0.9, "relu")
    for start, end in ((-0.1, 2.1), (4.1, 5.85), (6.55, 7.85), (8.85, 10.5)):
        _arrow(axes, (start, 1.0), (end, 1.0))
    axes.plot([1.5, 1.5, 6.2], [1.0, 3.0, 3.0], color=GREY, linewidth=1.4, solid_capstyle="butt")
    axes.plot(1.5, 1.0, "o", color=GREY, markersize=5)
    _arrow(axes, (6.2, 3.0), (6.2, 1.35))
    for name, (x, y) in _PLACES.items():
        look: dict[str, Any] = {"family": "monospace", "ha": "center", "fontsize": 8}
        axes.text(x, y + 0.16, f"{name}\n{_numbers(forward[name])}", color=BLUE, va="bottom", **look)
        if backward:
            axes.text(x, y - 0.16, f"{_numbers(backward[name])}\nd{name}", color=ORANGE, va="top", **look)
    axes.text(10.5, 4.0, "forward: values, left to right", color=BLUE, fontsize=9, va="top", ha="right")
    if backward:
        axes.text(10.5, 3.65, "backward: gradients, right to left", color=ORANGE, fontsize=9, va="top", ha="right")
    return figure


def _box(axes: Axes, x: float, y: float, width: float, text: str) -> None:
    height = 1.0 if "\n" in text else 0.6
    axes.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.05", facecolor="#eeeeee",
                                  edgecolor=GREY))
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=GREY, linewidth=1.4, shrinkA=0,
                                   shrinkB=0))


def _numbers(array: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:5.2f}" for value in row) for row in np.asarray(array))
