"""Lines with their spread: an experiment that was repeated, drawn as its middle and what lies between the outermost."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, GREEN, GREY, ORANGE, tidy

_LOOKS = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, ":", "^"), (GREY, "-.", "d"))
_FEW = 20  # points that get a marker

Lines = Mapping[str, tuple[Sequence[float] | np.ndarray, np.ndarray]]


def spread(
    panels: Mapping[str, Lines], *, xlabel: str, ylabel: str, logx: bool = False, logy: bool = False,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Draw one panel or several side by side, on one scale.

    panels  {"title": {"name of a line": (x, y)}}: x (P,), y (P,) or (R, P) for R repetitions, of which the median is
            drawn, and what lies between lowest and highest shaded. A line has the same look in every panel.
    logx, logy  logarithmic axes
    levels  horizontal lines of comparison, by what they are
    Raises InputError for no line, more than four names, or arrays that do not fit.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    if not 1 <= len(names) <= len(_LOOKS):
        raise InputError(f"spread: expected one to {len(_LOOKS)} lines, got {len(names)}")
    looks = dict(zip(names, _LOOKS, strict=False))
    figure = Figure(figsize=(max(6.0, 4.3 * len(panels)), 3.7), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, lines) in zip(row, panels.items(), strict=True):
        for name, (x, y) in lines.items():
            where, values = np.asarray(x, float), np.atleast_2d(np.asarray(y, float))
            if where.ndim != 1 or values.ndim != 2 or values.shape[1] != where.size or not values.size:
                raise InputError(f"spread: {name}: expected x (P,) and y (P,) or (R, P), got {where.shape} and {np.shape(y)}")
            colour, line, marker = looks[name]
            axes.plot(where, np.median(values, axis=0), line, color=colour, marker=marker if where.size <= _FEW else "",
                      markersize=4, label=name)
            axes.fill_between(where, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)
        for name, level in (levels or {}).items():
            axes.axhline(level, color=GREY, linewidth=1, linestyle=(0, (1, 2)), label=name)
        axes.set(xlabel=xlabel, title=title)
        if logx:
            axes.set_xscale("log")
            _write_out(axes, [value for x, _ in lines.values() for value in x])
        elif all(float(value).is_integer() for x, _ in lines.values() for value in x):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.tick_params(colors=GREY)
        tidy(axes)
    row[0].set_ylabel(ylabel)
    if logy:
        row[0].set_yscale("log")
    handles = {label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if len(handles) > 1:
        # outside, where no line can run through it
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 4), frameon=False)
    return figure


def _write_out(axes: Axes, x: Sequence[float]) -> None:
    """On a logarithmic axis of less than a decade: 20, 30, 50 in place of a power of ten, of which it may hold none."""
    if x and max(x) < 10 * min(x):
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
