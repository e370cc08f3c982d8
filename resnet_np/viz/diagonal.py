"""What was measured over what was expected: points on the diagonal agree."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, GREEN, GREY, ORANGE, tidy

_LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"))


def diagonal(points: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, xlabel: str, ylabel: str) -> Figure:
    """Draw points (expected, measured), a name and a look for each set, and the line on which both are equal.

    points  {"fresh nets": (expected (P,), measured (P,)), ...}, at most three sets
    Raises InputError for no point, more sets, or lengths that differ.
    """
    fits = all(len(x) == len(y) and len(x) for x, y in points.values())
    if not 1 <= len(points) <= len(_LOOKS) or not fits:
        raise InputError(f"diagonal: expected one to {len(_LOOKS)} sets of points with as many x as y, got {len(points)} sets of "
                         f"{[(len(x), len(y)) for x, y in points.values()]}")
    figure = Figure(figsize=(5.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    every = np.concatenate([np.asarray(values, float) for pair in points.values() for values in pair])
    margin = 0.08 * (float(np.ptp(every)) or 1.0)
    low, high = float(every.min()) - margin, float(every.max()) + margin
    axes.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle="--", label="equal")
    for (name, (x, y)), (colour, marker) in zip(points.items(), _LOOKS, strict=False):
        axes.plot(x, y, marker, color=colour, markersize=7, alpha=0.8, markeredgewidth=0, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.legend(frameon=False, loc="upper left")
    tidy(axes)
    return figure
