"""Where time goes, and how much work gets done in it."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, GREY, ORANGE, tidy


def ladder(gflops: Mapping[str, float], *, roof: float, roof_name: str = "NumPy's matrix product") -> Figure:
    """Draw what each rung reaches, slowest first, on a logarithmic axis, beside the `roof`: a bar and its number each.

    gflops {name of the rung: GFLOP/s}. Raises InputError for none, and for speeds that are not above 0.
    """
    if not gflops or not min([roof, *gflops.values()]) > 0:
        raise InputError("ladder: expected speeds above 0, in GFLOP/s")
    figure = Figure(figsize=(7.5, 1.1 + 0.42 * len(gflops)), layout="constrained")
    axes = figure.add_subplot()
    low = 10 ** np.floor(np.log10(min(gflops.values())) - 0.2)
    for place, (name, value) in enumerate(gflops.items()):
        axes.barh(place, value - low, left=low, color=BLUE, height=0.6)
        text = f"{value:.0f}" if value >= 10 else f"{value:.2g}"
        axes.annotate(text, (value, place), (4, 0), textcoords="offset points", va="center", fontsize=9,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
        _name_row(axes, name, place)
    axes.axvline(roof, color=ORANGE, linewidth=1.5, zorder=0)
    axes.annotate(f"{roof_name}: {roof:.0f}", (roof, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
                  ha="right", color=ORANGE, fontsize=9, annotation_clip=False)
    axes.set(xscale="log", xlim=(low, 4 * max(roof, *gflops.values())),
             xlabel="GFLOP/s, of the definition's multiplications and additions (logarithmic)")
    axes.set_yticks([])
    axes.invert_yaxis()
    tidy(axes)
    return figure


def shares(seconds: Mapping[str, float], *, title: str = "") -> Figure:
    """Draw what each part of a step takes, the longest first: a bar, its milliseconds, and its share of the whole.

    seconds {part: seconds}. Raises InputError if they do not add up to a time.
    """
    whole = sum(seconds.values())
    if not whole > 0:
        raise InputError("shares: expected parts that take some time")
    names = sorted(seconds, key=lambda name: -seconds[name])
    figure = Figure(figsize=(7.5, 0.9 + 0.33 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        axes.barh(place, 1000 * seconds[name], color=GREY if name == "outside" else BLUE, height=0.65)
        axes.annotate(f"{1000 * seconds[name]:.2g} ms, {seconds[name] / whole:.0%}", (1000 * seconds[name], place), (4, 0),
                      textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds of one training step", title=title, xlim=(0, 1300 * max(seconds.values())))
    tidy(axes)
    return figure


def turns(seconds: Mapping[str, Sequence[float]], *, title: str = "") -> Figure:
    """Draw ways to do the same work that were timed in turns: a dot a round, a line at the median.

    seconds {way: one number a round}; every way has the same number of rounds. Raises InputError otherwise.
    """
    if not seconds or len({len(values) for values in seconds.values()}) != 1 or not len(next(iter(seconds.values()))):
        raise InputError("turns: expected the same number of rounds for every way")
    figure = Figure(figsize=(7.5, 1.0 + 0.5 * len(seconds)), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, values) in enumerate(seconds.items()):
        times = 1000 * np.asarray(values)
        middle = float(np.median(times))
        axes.plot([middle, middle], [place - 0.3, place + 0.3], color=ORANGE, linewidth=2)
        axes.plot(times, np.full(len(times), place), "o", color=BLUE, alpha=0.75, markersize=6, markeredgewidth=0)
        axes.annotate(f"{middle:.3g}", (1.01, place), xycoords=("axes fraction", "data"), va="center", color=ORANGE, fontsize=9)
        _name_row(axes, name, place)
    axes.set(xlabel="milliseconds of one training step (dot: one round; line and number: median)", title=title)
    axes.set_xlim(left=0)
    axes.set_ylim(len(seconds) - 0.5, -0.5)
    axes.set_yticks([])
    tidy(axes)
    return figure


def _name_row(axes: Axes, name: str, place: int) -> None:
    """Left of the axes: unlike a tick's label, it may have several lines."""
    axes.annotate(name, (0, place), (-6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
                  va="center")
