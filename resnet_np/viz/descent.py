"""The way that an optimiser takes down a valley."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, ORANGE, tidy


def descent(curvature: tuple[float, float], paths: Mapping[str, np.ndarray]) -> Figure:
    """Draw ways down the loss (a u^2 + b v^2) / 2, a panel each, from the square to the last point; contours are levels of it.

    curvature  (a, b), both above 0
    paths      {"momentum 0": (T, 2), ...}: the places (u, v), the start first
    Raises InputError if there is no path, or an array is no path.
    """
    if not paths or any(path.ndim != 2 or path.shape[1] != 2 or not len(path) for path in paths.values()) or min(curvature) <= 0:
        raise InputError(f"descent: expected curvatures above 0 and paths (T, 2), got {curvature} and "
                         f"{[path.shape for path in paths.values()]}")
    figure = Figure(figsize=(7.8, 0.6 + 1.75 * len(paths)), layout="constrained")
    panels = figure.subplots(len(paths), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    reach = 1.15 * np.max([np.abs(path).max(0) for path in paths.values()], axis=0)
    u, v = np.meshgrid(np.linspace(-reach[0], reach[0], 120), np.linspace(-reach[1], reach[1], 120))
    loss = (curvature[0] * u**2 + curvature[1] * v**2) / 2
    for axes, (name, path) in zip(panels, paths.items(), strict=True):
        axes.contour(u, v, loss, levels=loss.max() * np.geomspace(1e-3, 0.9, 8), colors="#bbbbbb", linewidths=0.8)
        axes.plot(*path.T, "-o", color=BLUE, markersize=3, linewidth=1)
        axes.plot(*path[0], "s", color=ORANGE, markersize=7)
        axes.plot(0, 0, "+", color="black", markersize=10)
        axes.set(ylabel="v")
        axes.set_title(name, fontsize=10)
        tidy(axes)
        axes.grid(False)
    panels[-1].set_xlabel("u   (square: start; cross: the lowest point; a dot a step)")
    return figure
