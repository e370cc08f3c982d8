"""One look for every figure."""

from pathlib import Path
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart by every common kind of colour vision
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#595959"
DPI = 150


def tidy(axes: Axes) -> None:
    """A light grid, and no box around the data."""
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path | BinaryIO) -> None:
    """Write the figure as a PNG. Figures here are made without pyplot: nothing stays open, no display is needed."""
    figure.savefig(path, dpi=DPI, format="png")
