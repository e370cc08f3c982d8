"""Pictures of a data set, and what they are made of. N picture, C channel, H W pixels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resnet_np.errors import InputError
from resnet_np.fonts import for_names
from resnet_np.viz.style import GREY, as_image, frame

_CHANNELS = (("red", "Reds_r"), ("green", "Greens_r"), ("blue", "Blues_r"))


def contact_sheet(images: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, columns: int = 8) -> Figure:
    """Draw the first pictures of every class, a row a class, with the class's number and name.

    images (N, 3, H, W) uint8, labels (N,). Raises InputError if these do not fit together.
    """
    if images.ndim != 4 or images.shape[1] != 3 or labels.shape != (len(images),) or not classes:
        raise InputError(f"contact_sheet: expected images (N, 3, H, W), labels (N,) and names of classes, got {images.shape}, "
                         f"{labels.shape} and {len(classes)} names")
    figure = Figure(figsize=(1.1 + 0.56 * columns, 0.56 * len(classes)), layout="constrained")
    grid = figure.subplots(len(classes), columns, squeeze=False, gridspec_kw={"wspace": 0.03, "hspace": 0.03})
    fonts = for_names()
    for k, row in enumerate(grid):
        places = np.flatnonzero(labels == k)
        for column, axes in enumerate(row):
            frame(axes)
            if column < len(places):
                axes.imshow(as_image(images[places[column]]), interpolation="nearest")
            else:
                axes.set_visible(column == 0)  # the first one carries the name
        row[0].set_ylabel(f"{k}  {classes[k]}", rotation=0, ha="right", va="center", fontsize=9, labelpad=5, **fonts)
    return figure


def channels(picture: np.ndarray, *, top: int, left: int, size: int = 7) -> Figure:
    """Draw a picture, its three channels, and of each channel the numbers of a square of size x size pixels.

    picture (3, H, W) uint8; top, left: row and column of the square's first pixel. Raises InputError if the square does not fit.
    """
    if picture.ndim != 3 or len(picture) != 3 or min(top, left) < 0 or size < 1 or (
            top + size > picture.shape[1] or left + size > picture.shape[2]):
        raise InputError(f"channels: expected a picture (3, H, W) that holds {size} x {size} pixels from ({top}, {left}) on, "
                         f"got {picture.shape}")
    figure = Figure(figsize=(8.4, 4.5), layout="constrained")
    grid = figure.subplots(2, 4)
    grid[0, 0].imshow(as_image(picture), interpolation="nearest")
    crop = picture[:, top:top + size, left:left + size]
    grid[1, 0].imshow(as_image(crop), interpolation="nearest")
    for c, (name, colours) in enumerate(_CHANNELS):
        for axes, values in ((grid[0, c + 1], picture[c]), (grid[1, c + 1], crop[c])):
            axes.imshow(values, cmap=colours, vmin=0, vmax=255, interpolation="nearest")
        numbers(grid[1, c + 1], crop[c], dark_below=140)
        grid[0, c + 1].set_title(f"channel {c}: {name}", fontsize=9)
    grid[0, 0].set_title(f"the picture, {picture.shape[1]} x {picture.shape[2]} pixels", fontsize=9)
    grid[1, 0].set_title("the square", fontsize=9)
    for axes in grid.ravel():
        axes.tick_params(labelsize=7, colors=GREY)
    for axes in grid[0]:
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), size, size, fill=False, edgecolor="white", linewidth=2.4))
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), size, size, fill=False, edgecolor="black", linewidth=1))
    for axes in grid[1]:
        axes.set_xticks(range(size), range(left, left + size))
        axes.set_yticks(range(size), range(top, top + size))
    for axes in grid[:, 0]:
        axes.set_ylabel("row h", fontsize=8)
    for axes in grid[1]:
        axes.set_xlabel("column w", fontsize=8)
    return figure


def signed_maps(maps: np.ndarray, titles: Sequence[str], *, picture: np.ndarray | None = None) -> Figure:
    """Draw maps on one scale around 0, at most five a row: blue is negative, white 0, red positive.

    maps (F, OH, OW), titles F texts; picture (3, H, W) uint8, drawn in front of them. Raises InputError if these do not fit.
    """
    if maps.ndim != 3 or len(maps) != len(titles) or not maps.size:
        raise InputError(f"signed_maps: expected maps (F, OH, OW) and F titles, got {maps.shape} and {len(titles)}")
    shown = len(maps) + (picture is not None)
    columns = min(5, shown)
    rows = -(-shown // columns)
    figure = Figure(figsize=(0.8 + 1.6 * columns, 0.1 + 1.85 * rows), layout="constrained")
    line = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in line[shown:]:
        axes.set_axis_off()
    everywhere = list(line)
    if picture is not None:
        axes = line.pop(0)
        axes.imshow(as_image(picture), interpolation="nearest")
        axes.set_title(f"the picture, {picture.shape[1]} x {picture.shape[2]}", fontsize=9)
        frame(axes)
    largest = float(np.abs(maps).max()) or 1.0
    fonts = for_names()
    for axes, values, title in zip(line, maps, titles, strict=False):
        image = axes.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
        axes.set_title(title, fontsize=9, **fonts)
        frame(axes)
    bar = figure.colorbar(image, ax=everywhere, fraction=0.04, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    return figure


def numbers(axes: Axes, values: np.ndarray, *, size: float = 7, dark_below: float = -np.inf) -> None:
    """Write the numbers of values (H, W) over their pixels, white where they are below `dark_below`."""
    for (h, w), value in np.ndenumerate(values):
        axes.text(w, h, f"{value:g}", ha="center", va="center", fontsize=size, color="white" if value < dark_below else "black")
