"""What depth and width cost, and what they bring."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, ORANGE, tidy


class Net(NamedTuple):
    """A point of the figure."""

    label: str  # "20 layers"
    cost: float
    accuracies: Sequence[float]  # fractions, one a seed


def cost_and_accuracy(deeper: Sequence[Net], wider: Sequence[Net], *, cost: str, title: str = "") -> Figure:
    """Draw accuracy over cost (logarithmic): one line through nets of growing depth, one through nets of growing width.

    A dot a seed, the lines through the means. cost: what is on the axis, with the unit. Raises InputError for a net without
    accuracies or without a cost above 0.
    """
    if not (deeper or wider) or not all(net.cost > 0 and len(net.accuracies) for net in (*deeper, *wider)):
        raise InputError("cost_and_accuracy: expected nets with a cost above 0 and at least one accuracy each")
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for nets, name, colour, marker, side in ((deeper, "deeper", BLUE, "o", -1), (wider, "wider", ORANGE, "s", 1)):
        if not nets:
            continue
        means = [100 * float(np.mean(net.accuracies)) for net in nets]
        axes.plot([net.cost for net in nets], means, "-" + marker, color=colour, markersize=6, label=name)
        for net in nets:
            percent = 100 * np.asarray(net.accuracies)
            axes.plot([net.cost] * len(percent), percent, marker, color=colour, markersize=4, alpha=0.5, markeredgewidth=0)
            # wider to the upper left, deeper to the lower right: away from lines that rise
            axes.annotate(net.label, (net.cost, percent.max() if side > 0 else percent.min()), (-6 * side, 4 * side),
                          textcoords="offset points", ha="right" if side > 0 else "left", va="bottom" if side > 0 else "top",
                          fontsize=8, color=colour, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.7})
    axes.set(xscale="log", xlabel=cost, ylabel="test accuracy (%)", title=title)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(0.16, 0.15)
    axes.legend(frameon=False, loc="lower right")
    tidy(axes)
    return figure


def growth(depths: Sequence[int], series: Sequence[tuple[str, Sequence[float]]]) -> Figure:
    """Draw quantities over the depth, a panel each, from 0. series: (name with unit, one number a depth).

    Raises InputError if their lengths differ.
    """
    if not series or any(len(values) != len(depths) for _, values in series):
        raise InputError("growth: expected one number for every depth")
    figure = Figure(figsize=(2.8 * len(series), 2.6), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, len(series), squeeze=False)[0], series, strict=True):
        axes.plot(depths, values, "-o", color=BLUE, markersize=4)
        axes.set(xlabel="layers", title=name, xticks=list(depths))
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.title.set_fontsize(9)
        axes.tick_params(labelsize=8)
        tidy(axes)
    return figure
