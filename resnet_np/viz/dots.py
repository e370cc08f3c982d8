"""Several ways of doing something, several runs each: a dot a run, so that the spread is seen."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, ORANGE, tidy


def dots(runs: Mapping[str, Sequence[float]], *, quantity: str, title: str = "", chance: float | None = None) -> Figure:
    """Draw a row a way, from top to bottom: a blue dot a run, an orange line at their mean, and the mean as a number.

    runs: {what was done: its numbers}. quantity: what the numbers are, with the unit. chance: a dashed line at what guessing gives.
    Raises InputError if there are no numbers.
    """
    if not runs or not all(len(values) for values in runs.values()):
        raise InputError("dots: expected at least one number for every row")
    figure = Figure(figsize=(7.5, 0.9 + 0.46 * len(runs)), layout="constrained")
    axes = figure.add_subplot()
    for place, values in enumerate(runs.values()):
        mean = float(np.mean(values))
        axes.plot([mean, mean], [place - 0.3, place + 0.3], color=ORANGE, linewidth=2)
        axes.plot(values, np.full(len(values), place), "o", color=BLUE, markersize=6, alpha=0.75, markeredgewidth=0)
        axes.annotate(f"{mean:z.1f}", (1.01, place), xycoords=("axes fraction", "data"), va="center", color=ORANGE, fontsize=9)
    axes.set_yticks(range(len(runs)), list(runs))
    axes.set_ylim(len(runs) - 0.5, -0.5)
    if chance is not None:
        axes.axvline(chance, color="black", linewidth=0.8, linestyle="--")
        axes.annotate("guessing", (chance, 0.0), (4, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
                      va="bottom", fontsize=8)
    axes.set(xlabel=f"{quantity} (dot: one run; line and number: mean)", title=title)
    tidy(axes)
    axes.tick_params(axis="y", length=0)
    return figure
