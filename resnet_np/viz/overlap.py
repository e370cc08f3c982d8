"""Why col2im adds: how many windows of a convolution see each pixel. H W pixels, k the side of the window."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, GREY, ORANGE, frame

_WIDEST = 5  # grids in a row


def overlaps(grids: Mapping[str, np.ndarray], windows: Mapping[str, tuple[tuple[int, int, int], ...]] | None = None) -> Figure:
    """Draw grids of numbers side by side, each number in its pixel, darker where it is larger.

    grids    {"title": (H, W)}: the number of windows over each pixel, or any other small array
    windows  {"title": ((row, column, k), ...)}: windows to outline, in pixels; one that begins at row -1 reaches into padding
    Raises InputError for no grid, more than five, or arrays of other shapes.
    """
    found = {title: np.asarray(grid, float) for title, grid in grids.items()}
    if not 1 <= len(found) <= _WIDEST or any(grid.ndim != 2 or not grid.size for grid in found.values()):
        raise InputError(f"overlaps: expected one to {_WIDEST} arrays (H, W), got {[grid.shape for grid in found.values()]}")
    figure = Figure(figsize=(max(4.0, 2.6 * len(found)), 3.0), layout="constrained")
    row = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (title, grid) in zip(row, found.items(), strict=True):
        H, W = grid.shape
        axes.imshow(np.abs(grid), cmap="Blues", vmin=0, vmax=1.4 * max(1.0, float(np.abs(grid).max())), interpolation="nearest")
        for (i, j), value in np.ndenumerate(grid):
            axes.text(j, i, f"{value + 0.0:g}", ha="center", va="center", fontsize=9 if max(H, W) <= 7 else 7, color="black")
        outlined = (windows or {}).get(title, ())
        for n, (top, left, k) in enumerate(outlined):
            inset = 0.10 + 0.08 * n  # so that edges that coincide are seen apart
            axes.add_patch(Rectangle((left - 0.5 + inset, top - 0.5 + inset), k - 2 * inset, k - 2 * inset, fill=False,
                                     edgecolor=(ORANGE, BLUE, GREY)[n % 3], linewidth=1.8, linestyle=("-", "--", ":")[n % 3]))
        outside = max([0, *(-min(top, left) for top, left, _ in outlined)])
        axes.set(xlim=(-0.6 - outside, W - 0.4 + outside), ylim=(H - 0.4 + outside, -0.6 - outside))
        frame(axes)
        axes.set_title(title, fontsize=9)
    return figure
