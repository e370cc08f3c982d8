"""How a run went: loss, accuracy and learning rate, an epoch at a time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resnet_np.errors import InputError
from resnet_np.optim.selection import kept_epoch, standard_error
from resnet_np.viz.style import BLUE, GREEN, GREY, ORANGE, tidy


def curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the run's loss, accuracy and learning rate over the epochs.

    records     one an epoch, with epoch, train_loss, train_accuracy, validation_loss, validation_accuracy (fractions)
                and lr; a value may be missing, None or not finite, and leaves a gap. With validation_count, too, a band of one
                standard error lies around the validation accuracy, and the epoch that is kept is marked; else the highest one.
                Epochs with a smaller image_size than the last one's are shaded: they are validated with pictures of full size
    Raises InputError if there is no record.
    """
    if not records:
        raise InputError("curves: there is no epoch to draw yet")
    epochs = [int(record["epoch"]) for record in records]
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(2.5, 1))
    loss, accuracy, rate = (figure.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))

    _lines(loss, epochs, _column(records, "train_loss"), _column(records, "validation_loss"))
    loss.set(xlabel="epoch", ylabel="cross-entropy loss", title="Loss")
    loss.set_ylim(bottom=0)

    validation = [100 * value for value in _column(records, "validation_accuracy")]
    _lines(accuracy, epochs, [100 * value for value in _column(records, "train_accuracy")], validation)
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)", title="Accuracy")
    seen = [i for i, value in enumerate(validation) if math.isfinite(value)]
    if seen:
        marked, name = max(seen, key=lambda i: validation[i]), "best"
        counts = {record.get("validation_count") for record in records}  # a run that 0.1.0 began has none in its first records
        count = counts.pop() if len(counts) == 1 else None
        if count and len(seen) == len(records):
            fractions = _column(records, "validation_accuracy")
            marked, name = kept_epoch(fractions, count) - 1, "kept"
            error = [100 * standard_error(value, count) for value in fractions]
            accuracy.fill_between(epochs, [a - e for a, e in zip(validation, error, strict=True)],
                                  [a + e for a, e in zip(validation, error, strict=True)], color=ORANGE, alpha=0.15, linewidth=0)
        mark = accuracy.plot(epochs[marked], validation[marked], "o", color=ORANGE, markersize=8, markerfacecolor="none",
                             clip_on=False, label=f"{name}: {validation[marked]:.1f} % in epoch {epochs[marked]}")
        accuracy.legend(handles=mark, frameon=False)  # the lines are named beside the loss
    sizes = [record.get("image_size") for record in records]
    small = sum(size != sizes[-1] for size in sizes)
    if small and None not in sizes:  # an older run did not say so in its first records
        for axes in (loss, accuracy):
            axes.axvspan(epochs[0] - 1, epochs[small - 1] + 0.5, color=GREY, alpha=0.12, linewidth=0,
                         label=f"trained with {sizes[0]} pixels a side" if axes is loss else None)
    if loss.get_legend_handles_labels()[0]:
        loss.legend(frameon=False)

    rate.plot(epochs, _column(records, "lr"), color=GREEN, marker=_marker(epochs), markersize=4)
    rate.set(xlabel="epoch", ylabel="learning rate")
    rate.set_ylim(bottom=0)
    for axes in (loss, accuracy, rate):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        margin = max(0.5, 0.02 * (epochs[-1] - epochs[0]))
        axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
        axes.tick_params(colors=GREY)
        tidy(axes)
    return figure


def _lines(axes: Axes, epochs: list[int], train: list[float], validation: list[float]) -> None:
    marker = _marker(epochs)
    for values, name, colour, line in ((train, "training", BLUE, "--"), (validation, "validation", ORANGE, "-")):
        if any(math.isfinite(value) for value in values):
            axes.plot(epochs, values, line, color=colour, marker=marker, markersize=4, label=name)


def _marker(epochs: list[int]) -> str:
    return "o" if len(epochs) <= 20 else ""  # one epoch has no line: its point must show


def _column(records: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    values = [record.get(key) for record in records]
    return [float(value) if value is not None and math.isfinite(value) else math.nan for value in values]
