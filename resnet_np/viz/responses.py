"""How large the responses of the layers are: He et al. 2015, figure 7."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resnet_np.errors import InputError
from resnet_np.viz.style import BLUE, GREEN, GREY, ORANGE, tidy

_LOOKS = ((ORANGE, "--", "s"), (BLUE, "-", "o"), (GREEN, ":", "^"), (GREY, "-.", "d"))


def responses(nets: Mapping[str, np.ndarray]) -> Figure:
    """Draw the standard deviations of layer responses of several nets, in the order of the layers and, below, sorted.

    nets  {"plain20": (L,) or (S, L), ...}: L layers; of S seeds the mean is drawn, and what lies between lowest and highest shaded
    Raises InputError for no net, more than four, or arrays of other shapes.
    """
    found = {name: np.atleast_2d(np.asarray(values, float)) for name, values in nets.items()}
    if not 1 <= len(found) <= len(_LOOKS) or any(values.ndim != 2 or not values.size for values in found.values()):
        shapes = {name: values.shape for name, values in found.items()}
        raise InputError(f"responses: expected one to {len(_LOOKS)} nets with (L,) or (S, L) numbers each, got {shapes}")
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    ordered, ranked = figure.subplots(2, 1)
    for (name, values), (colour, line, marker) in zip(found.items(), _LOOKS, strict=False):
        seeds = f" (mean of {len(values)} seeds, lowest to highest shaded)" if len(values) > 1 else ""
        for axes, shown in ((ordered, values), (ranked, -np.sort(-values, axis=1))):
            layer = np.arange(1, shown.shape[1] + 1)
            axes.plot(layer, shown.mean(0), line, color=colour, marker=marker, markersize=3.5, label=name + seeds)
            axes.fill_between(layer, shown.min(0), shown.max(0), color=colour, alpha=0.15, linewidth=0)
    ordered.set(xlabel="layer, from the picture to the head", title="In the order of the layers")
    ranked.set(xlabel="rank: 1 is the layer with the largest response", title="Sorted by size")
    for axes in (ordered, ranked):
        axes.set_ylabel("response (std. deviation)")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.tick_params(colors=GREY)
        tidy(axes)
    ordered.legend(frameon=False, fontsize=8)
    return figure
