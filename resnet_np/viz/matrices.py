"""Small matrices whose numbers have two signs, side by side on one scale: covariances, for example."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import GREY

_WIDEST = 4  # matrices in a row


def matrices(panels: Mapping[str, np.ndarray], *, quantity: str, rows: Mapping[str, Sequence[str]] | None = None) -> Figure:
    """Draw matrices as squares of colour: 0 is white, what is above it red, what is below it blue.

    panels    {"title": (H, W)}, one to four
    quantity  what the numbers are, at the scale of colours
    rows      {"title": H names of the rows}; without, rows are counted from 0
    Raises InputError for no matrix, more than four, arrays of other shapes or not finite, or names that do not fit.
    """
    found = {title: np.asarray(matrix, float) for title, matrix in panels.items()}
    if not 1 <= len(found) <= _WIDEST or any(m.ndim != 2 or not m.size or not np.isfinite(m).all() for m in found.values()):
        raise InputError(f"matrices: expected one to {_WIDEST} finite arrays (H, W), got {[m.shape for m in found.values()]}")
    names = {title: list((rows or {}).get(title, map(str, range(len(matrix))))) for title, matrix in found.items()}
    if any(len(names[title]) != len(matrix) for title, matrix in found.items()):
        raise InputError(f"matrices: expected a name for each row, got {[len(named) for named in names.values()]} names")
    largest = max(float(np.abs(matrix).max()) for matrix in found.values()) or 1.0
    figure = Figure(figsize=(0.9 + 3.3 * len(found), 3.3), layout="constrained")
    grid = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (title, matrix) in zip(grid, found.items(), strict=True):
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks(range(len(matrix)), names[title])
        axes.tick_params(colors=GREY, labelsize=7, length=0)
    bar = figure.colorbar(image, ax=grid, fraction=0.05, pad=0.02, shrink=0.85)
    bar.set_label(quantity, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure
