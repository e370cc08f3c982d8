"""The filters that see the picture itself. F filter, KH KW pixels."""

import numpy as np
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import GREY, frame

_MOST = 64  # filters; smaller squares show nothing


def as_pictures(weight: np.ndarray) -> np.ndarray:
    """weight (F, 3, KH, KW) -> colours (F, KH, KW, 3) from 0 to 1. A weight of 0 is mid-grey, a filter's largest is 0 or 1."""
    largest = np.abs(weight).max((1, 2, 3), keepdims=True)
    return (0.5 + 0.5 * weight / np.where(largest > 0, largest, 1)).transpose(0, 2, 3, 1)


def filters(weight: np.ndarray, *, name: str = "conv1") -> Figure:
    """Draw the filters of a first layer as colour pictures; under each the weight that is drawn at full strength.

    weight (F, 3, KH, KW); of more than 64 filters the first 64. Raises InputError for other shapes: further in, channels are no
    colours.
    """
    weight = np.asarray(weight)
    if weight.ndim != 4 or weight.shape[1] != 3 or 0 in weight.shape:
        raise InputError(f"filters: expected the weights of a first layer, (F, 3, KH, KW), got {weight.shape}")
    F, _, KH, KW = weight.shape
    shown = min(F, _MOST)
    columns = min(shown, 8)
    rows = -(-shown // columns)
    figure = Figure(figsize=(7.2, 0.35 + 1.12 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for f, (axes, picture) in enumerate(zip(grid, as_pictures(weight)[:shown], strict=False)):
        axes.set_axis_on()
        axes.imshow(picture, interpolation="nearest")
        frame(axes)
        axes.set_title(f"{f}", fontsize=8, pad=2)
        axes.set_xlabel(f"±{np.abs(weight[f]).max():.2g}", fontsize=7, color=GREY, labelpad=2)
    more = f", the first {shown}" if shown < F else ""
    figure.suptitle(f"{name}: {F} filters of {KH}x{KW} pixels{more}. Grey is 0; full colour is the number below", fontsize=9)
    return figure
