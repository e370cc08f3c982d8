"""What a net says about photos, beside what it was shown."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from resnet_np.errors import InputError
from resnet_np.fonts import for_names
from resnet_np.viz.style import BLUE, GREY, ORANGE, as_image, frame, save

MAX_PHOTOS, MAX_CLASSES = 20, 10  # a row each, a bar each; more would make the figure too large for most viewers
FILE, CLASS = 22, 30  # letters of a name that are shown; a Chinese one counts as two
_BAR = 0.27  # inches


@dataclass(frozen=True, eq=False)
class Shown:
    """One row of the figure."""

    name: str
    photo: np.ndarray  # uint8 (height, width, 3), upright
    pixels: np.ndarray  # uint8 (3, S, S): what the net saw
    top: Sequence[tuple[str, float]]  # classes and probabilities, the likeliest first
    unlike: bool | None  # None: nobody knows


def prediction(photos: Sequence[Shown]) -> Figure:
    """Draw a row a photo: the photo, the pixels that the net saw, and the likeliest classes with their probabilities.

    Of many photos the first 20 are drawn, of many classes the first ten. Raises InputError if there is no photo.
    """
    if not photos:
        raise InputError("prediction: there is no photo to draw")
    rows = photos[:MAX_PHOTOS]
    bars = max(min(len(row.top), MAX_CLASSES) for row in rows)
    height = max(1.6, 0.55 + _BAR * bars)
    more = f"the first {len(rows)} of {len(photos):,} photos" if len(photos) > len(rows) else ""
    figure = Figure(figsize=(9.2, len(rows) * height + 0.3 * bool(more)),
                    layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06))
    if more:
        figure.suptitle(more, fontsize=9, color=GREY)
    fonts = for_names()
    for row, (left, middle, right) in zip(
            rows, figure.subplots(len(rows), 3, squeeze=False, gridspec_kw={"width_ratios": (1, 1, 2.3)}), strict=True):
        S = row.pixels.shape[-1]
        seen = as_image(row.pixels)
        for axes, picture, title in ((left, row.photo, shortened(row.name, FILE)), (middle, seen, f"seen as {S} x {S}")):
            axes.imshow(picture, interpolation="nearest" if axes is middle else None)
            axes.set_title(title, fontsize=9, loc="left", **fonts)
            axes.set_anchor("NW")
            frame(axes)
        _bars(right, row, bars, fonts)
    return figure


def write(photos: Sequence[Shown], path: Path | BinaryIO) -> str | None:
    """Draw and write a PNG -> what `save` has to tell the user."""
    return save(prediction(photos), path)


def shortened(name: str, width: int) -> str:
    """At most `width` columns wide, the middle left out; what cannot be printed is a blank."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    widths = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name]
    if sum(widths) <= width:
        return name
    head, tail = (width - 1) * 2 // 3, (width - 1) // 3
    start = int(np.searchsorted(np.cumsum(widths), head, "right"))
    end = int(np.searchsorted(np.cumsum(widths[::-1]), tail, "right"))
    return f"{name[:start]}…{name[len(name) - end:]}"


def _bars(axes: Axes, row: Shown, room: int, fonts: dict[str, Any]) -> None:
    top = row.top[:MAX_CLASSES]
    percent = [100 * probability for _, probability in top]
    places = range(len(top))
    axes.barh(places, percent, height=0.7, color=ORANGE if row.unlike else BLUE)
    for place, value in zip(places, percent, strict=True):
        axes.text(value + 1.5, place, f"{value:.1f} %", va="center", fontsize=9)
    axes.set_yticks(places, [shortened(name, CLASS) for name, _ in top], fontsize=9, **fonts)
    axes.set_ylim(room - 0.4, -0.6)  # the likeliest on top; bars are as thick in every row
    axes.set_xlim(0, 118)  # room for "100.0 %"
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_bounds(len(top) - 0.5, -0.5)
    if row.unlike:
        axes.set_title("caution: unlike the training pictures", fontsize=9, color=ORANGE, loc="left")
