"""What a net has made of one picture, place by place. C channel, OH OW pixels of a map."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import GREY, as_image, frame

ROWS, CHANNELS = 10, 8  # that a figure shows: more of them are too small to see


def features(maps: Mapping[str, np.ndarray], picture: np.ndarray | None = None, *, rows: int = ROWS, channels: int = CHANNELS
             ) -> Figure:
    """Draw feature maps: a row a place, with its name and size, a column a channel.

    maps      {"layer1.0": (C, OH, OW), ...}, from the picture to the head; of more than `rows` places, some at equal
              distances, the first and the last among them
    picture   (3, H, W), uint8, drawn above them
    channels  how many of each place: those whose pixels differ most, by standard deviation, in their own order
    A row has one scale, from 0, or its lowest value where that is below, to its highest. Raises InputError if there is no map.
    """
    if not maps or any(array.ndim != 3 for array in maps.values()):
        shapes = {name: array.shape for name, array in maps.items()}
        raise InputError(f"features: expected maps (C, OH, OW) of one picture by the name of their place, got {shapes}")
    names = list(maps)
    chosen = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(rows, len(names))).round().astype(int))]
    columns = min(channels, max(len(maps[name]) for name in chosen))
    top = picture is not None
    figure = Figure(figsize=(1.6 + 0.78 * columns, 0.55 + 0.88 * (len(chosen) + top)), layout="constrained")
    grid = figure.subplots(len(chosen) + top, columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    if picture is not None:
        grid[0, 0].set_axis_on()
        grid[0, 0].imshow(as_image(picture), interpolation="nearest")
        _label(grid[0, 0], f"picture\n{' x '.join(map(str, picture.shape))}")
    for line, name in zip(grid[top:], chosen, strict=True):
        array = maps[name]
        picked = np.sort(np.argsort(-array.std((1, 2)), kind="stable")[:columns])
        low, high = min(0.0, float(array[picked].min())), float(array[picked].max())
        for axes, c in zip(line, picked, strict=False):
            axes.set_axis_on()
            axes.imshow(array[c], cmap="viridis", vmin=low, vmax=high if high > low else low + 1, interpolation="nearest")
            frame(axes)
            axes.set_title(f"{c}", fontsize=7, pad=1.5, color=GREY)
        _label(line[0], f"{name}\n{' x '.join(map(str, array.shape))}\n{low:.2g} to {high:.2g}")
    figure.suptitle("Feature maps: yellow is a row's highest value; above each, its channel", fontsize=9)
    return figure


def _label(axes: Axes, text: str) -> None:
    frame(axes)
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8, labelpad=5)
