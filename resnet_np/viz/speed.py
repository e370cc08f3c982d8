"""Where the time of a training step goes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, GREY, ORANGE, tidy


def shares(seconds: Mapping[str, float], *, title: str = "", least: float = 0.01) -> Figure:
    """Draw what each part of a step takes, the longest first: a bar, its milliseconds, and its share of the whole.

    seconds {part: seconds}; parts below the share `least` are drawn together, as the last bar. Raises InputError if they do not
    add up to a time.
    """
    whole = sum(seconds.values())
    if not whole > 0:
        raise InputError("shares: expected parts that take some time")
    small = [name for name, value in seconds.items() if value < least * whole]
    if len(small) > 1:
        others = sum(seconds[name] for name in small)
        seconds = {name: value for name, value in seconds.items() if name not in small} | {f"{len(small)} others": others}
    names = sorted(seconds, key=lambda name: (name == f"{len(small)} others", -seconds[name]))
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
    """Draw ways to do the same work that were timed in turns: a dot a round, a line at the fastest.

    Others at work on the machine can only make a round slower: the fastest one says most.
    seconds {way: one number a round}; every way has the same number of rounds. Raises InputError otherwise.
    """
    if not seconds or len({len(values) for values in seconds.values()}) != 1 or not len(next(iter(seconds.values()))):
        raise InputError("turns: expected the same number of rounds for every way")
    figure = Figure(figsize=(7.5, 1.0 + 0.5 * len(seconds)), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, values) in enumerate(seconds.items()):
        times = 1000 * np.asarray(values)
        best = float(times.min())
        axes.plot([best, best], [place - 0.3, place + 0.3], color=ORANGE, linewidth=2)
        axes.plot(times, np.full(len(times), place), "o", color=BLUE, alpha=0.75, markersize=6, markeredgewidth=0)
        axes.annotate(f"{best:.3g}", (1.01, place), xycoords=("axes fraction", "data"), va="center", color=ORANGE, fontsize=9)
        _name_row(axes, name, place)
    axes.set(xlabel="milliseconds of one training step (dot: one round; line and number: the fastest)", title=title)
    axes.set_xlim(left=0)
    axes.set_ylim(len(seconds) - 0.5, -0.5)
    axes.set_yticks([])
    tidy(axes)
    return figure


def _name_row(axes: Axes, name: str, place: int) -> None:
    """Left of the axes: unlike a tick's label, it may have several lines."""
    axes.annotate(name, (0, place), (-6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
                  va="center")
