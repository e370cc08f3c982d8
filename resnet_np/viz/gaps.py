"""What nets know of the pictures that they learned from, and of others: the gap between them is overfitting."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, GREY, ORANGE, tidy

Runs = tuple[Sequence[float], Sequence[float]]


def gaps(recipes: Mapping[str, Runs], *, chance: float | None = None, title: str = "") -> Figure:
    """Draw a row a recipe: blue circles, the accuracy on the training pictures; orange squares, that on the test pictures.

    recipes  {"nothing": (training (R,), test (R,)), ...}: fractions, one a run; a grey bar joins the two means, and the mean of the
             test accuracies stands at its end
    chance   a dashed line at the accuracy that guessing has
    Raises InputError if there is no run, or not a test for every training accuracy.
    """
    if not recipes or not all(len(train) == len(test) and len(test) for train, test in recipes.values()):
        raise InputError("gaps: expected, for every recipe, one training and one test accuracy a run")
    figure = Figure(figsize=(7.5, 1.35 + 0.42 * len(recipes)), layout="constrained")
    axes = figure.add_subplot()
    for place, (train, test) in enumerate(recipes.values()):
        low, high = 100 * float(np.mean(test)), 100 * float(np.mean(train))
        axes.plot([low, high], [place, place], color="#cccccc", linewidth=6, solid_capstyle="butt", zorder=1)
        for values, colour, marker in ((train, BLUE, "o"), (test, ORANGE, "s")):
            axes.plot(100 * np.asarray(values), np.full(len(values), place), marker, color=colour, markersize=6, alpha=0.75,
                      markeredgewidth=0)
        axes.annotate(f"{low:.1f}", (1.01, place), xycoords=("axes fraction", "data"), va="center", color=ORANGE, fontsize=9)
    if chance is not None:
        axes.axvline(100 * chance, color=GREY, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(recipes)), list(recipes))
    axes.set_ylim(len(recipes) - 0.5, -0.5)
    axes.set(xlim=(0, 103), xlabel="accuracy (%); a mark is a run, the number the mean test accuracy", title=title)
    marks = [Line2D([], [], color=colour, marker=marker, linestyle="") for colour, marker in ((ORANGE, "s"), (BLUE, "o"))]
    names = ["test pictures", "training pictures"]
    if chance is not None:
        marks.append(Line2D([], [], color=GREY, linewidth=1, linestyle="--"))
        names.append("guessing")
    figure.legend(marks, names, loc="outside lower center", ncols=3, frameon=False)
    axes.tick_params(axis="y", length=0)
    tidy(axes)
    axes.grid(False, axis="y")
    return figure
