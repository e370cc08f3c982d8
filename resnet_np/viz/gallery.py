"""Pictures beside each other. N picture, H W pixels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.fonts import for_names
from resnet_np.viz.style import as_image, frame

COLUMNS = 10


def gallery(pictures: np.ndarray, names: Sequence[str], *, title: str = "", columns: int = COLUMNS) -> Figure:
    """Draw pictures, uint8 (N, 3, H, W), with a name under each, `columns` a row.

    Raises InputError if there is no picture, or not a name for each.
    """
    if pictures.ndim != 4 or not len(pictures) or len(names) != len(pictures):
        raise InputError(f"gallery: expected pictures (N, 3, H, W) and a name for each, got {pictures.shape} and "
                         f"{len(names)} names")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(max(3.0, 0.85 * columns), 1.05 * rows + (0.35 if title else 0.1)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(pictures):]:
        axes.set_axis_off()
    fonts = for_names()
    for axes, picture, name in zip(grid, pictures, names, strict=False):
        axes.imshow(as_image(picture), interpolation="nearest")
        frame(axes)
        axes.set_xlabel(name, fontsize=8, labelpad=2, **fonts)
    if title:
        figure.suptitle(title, fontsize=9, **fonts)
    return figure
