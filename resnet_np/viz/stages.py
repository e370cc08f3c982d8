"""Where the numbers of a net lie: its parameters and its work, part by part."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, ORANGE, tidy


def stages(parameters: Mapping[str, float], macs: Mapping[str, float]) -> Figure:
    """Draw, side by side, what each part of a net holds and what it costs; each bar has its share of the whole.

    parameters, macs   {"stem": number, "layer1": number, ...}, the same names, from the picture to the logits; macs of one picture
    Raises InputError if the names differ or a sum is not above 0.
    """
    if list(parameters) != list(macs) or sum(parameters.values()) <= 0 or sum(macs.values()) <= 0:
        raise InputError(f"stages: expected numbers for the same parts, got {list(parameters)} and {list(macs)}")
    figure = Figure(figsize=(7.5, 0.9 + 0.42 * len(parameters)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panels = ((left, parameters, 1e3, "parameters (thousands)", BLUE),
              (right, macs, 1e6, "multiply-adds a picture (millions)", ORANGE))
    for axes, named, unit, label, colour in panels:
        whole = sum(named.values())
        axes.barh(range(len(named)), [value / unit for value in named.values()], color=colour, height=0.65)
        for place, value in enumerate(named.values()):
            axes.annotate(f"{value / whole:.1%}", (value / unit, place), (4, 0), textcoords="offset points", va="center",
                          fontsize=8)
        axes.set(xlabel=label, xlim=(0, 1.2 * max(named.values()) / unit))
        tidy(axes)
        axes.grid(False, axis="y")
    left.set_yticks(range(len(parameters)), list(parameters))
    left.invert_yaxis()
    return figure
