"""One look for every figure."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from resnet_np import fonts

# Okabe and Ito 2008: told apart by every common kind of colour vision
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"
DPI = 150
MAKER = "resnet_np"  # what a PNG of ours names as its software


def tidy(axes: Axes) -> None:
    """A light grid, and no box around the data."""
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path | BinaryIO) -> str | None:
    """Write the figure as a PNG -> what to tell the user about letters that became empty boxes, or None.

    Figures here are made without pyplot: nothing stays open, no display is needed.
    """
    return fonts.save_png(figure, path, dpi=DPI, metadata={"Software": MAKER})


def is_drawn_here(path: Path) -> bool:
    """Whether the file is a figure that `save` wrote, and not somebody's picture."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            return picture.info.get("Software") == MAKER
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for no PNG, and for a damaged one
        return False


def frame(axes: Axes) -> None:
    """For a picture: no ticks, and a thin grey line around it."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=GREY, linewidth=0.5)


def as_image(picture: np.ndarray) -> np.ndarray:
    """uint8 (3, H, W), as data sets hold it -> (H, W, 3) from 0 to 1, as matplotlib draws it."""
    return picture.transpose(1, 2, 0) / 255
