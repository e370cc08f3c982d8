"""Bars: numbers that have names."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.fonts import for_names
from resnet_np.viz.style import BLUE, GREY, ORANGE, tidy


def scores(logits: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], *, label: int | None = None) -> Figure:
    """Draw the logits of one picture, and beside them the probabilities that softmax makes of them.

    logits (K,), probabilities (K,), classes K names; label: the true class, in orange. Raises InputError if these do not fit.
    """
    K = len(classes)
    if logits.shape != (K,) or probabilities.shape != (K,) or not K:
        raise InputError(f"scores: {K} classes need {K} logits and probabilities, got {logits.shape} and {probabilities.shape}")
    figure = Figure(figsize=(7.5, 0.9 + 0.24 * K), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    colours = [ORANGE if k == label else BLUE for k in range(K)]
    left.barh(range(K), logits, color=colours)
    right.barh(range(K), 100 * probabilities, color=colours)
    for k, share in enumerate(probabilities):
        right.text(100 * share, k, f" {100 * share:.1f} %", va="center", fontsize=8, color=GREY)
    left.axvline(0, color=GREY, linewidth=0.8)
    left.set(xlabel="logit", title="What the net returns")
    right.set(xlabel="probability (%)", title="softmax of it")
    right.set_xlim(0, max(1.0, 118 * float(probabilities.max())))
    left.set_yticks(range(K), classes, **for_names())
    left.invert_yaxis()
    for axes in (left, right):
        axes.title.set_fontsize(10)
        tidy(axes)
        axes.grid(False, axis="y")
    return figure


def rates(named: Mapping[str, float], *, unit: str, ceiling: tuple[str, float] | None = None) -> Figure:
    """Draw rates that differ by orders of magnitude: horizontal bars on a logarithmic axis, the number behind each.

    named {"loops": 0.004, ...}, first on top; ceiling: a name and a rate, drawn as a line. Raises InputError if a rate is not
    above 0.
    """
    if not named or not all(rate > 0 for rate in named.values()):
        raise InputError(f"rates: expected numbers above 0, got {dict(named)}")
    figure = Figure(figsize=(7.5, 1.1 + 0.36 * len(named)), layout="constrained")
    axes = figure.add_subplot()
    low, high = min(named.values()) / 3, max([*named.values(), *([ceiling[1]] if ceiling else [])]) * 6
    axes.barh(range(len(named)), [rate - low for rate in named.values()], left=low, color=BLUE, height=0.65)
    for place, rate in enumerate(named.values()):
        axes.text(rate * 1.1, place, f"{rate:.3g}", va="center", fontsize=9, bbox={"color": "white", "pad": 1, "alpha": 0.8})
    if ceiling:
        axes.axvline(ceiling[1], color=ORANGE, linestyle="--", label=f"{ceiling[0]}: {ceiling[1]:.3g}")
        figure.legend(loc="outside upper right", frameon=False, fontsize=9)
    axes.set(xscale="log", xlim=(low, high), xlabel=f"{unit}, logarithmic")
    axes.set_yticks(range(len(named)), list(named))
    axes.invert_yaxis()
    tidy(axes)
    axes.grid(False, axis="y")
    return figure
