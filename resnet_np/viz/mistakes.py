"""The pictures that a net got wrong. N picture, K class."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.fonts import for_names
from resnet_np.viz.prediction import shortened
from resnet_np.viz.style import ORANGE, as_image, frame

COLUMNS = 6
WIDTH = 16  # of a name, in columns of text


def mistakes(
    pictures: np.ndarray, labels: np.ndarray, answers: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], *,
    title: str = "Most confident mistakes"
) -> Figure:
    """Draw pictures with their true class and, in orange, what they were taken for and with which probability.

    pictures (N, 3, H, W) uint8; labels and answers (N,), numbers of `classes`; probabilities (N,) of the answers.
    Raises InputError if there is no picture or these do not fit together.
    """
    N = len(pictures)
    if not (N and pictures.ndim == 4 and labels.shape == answers.shape == probabilities.shape == (N,)):
        raise InputError(f"mistakes: expected pictures (N, 3, H, W) and labels, answers and probabilities (N,), got "
                         f"{pictures.shape}, {labels.shape}, {answers.shape} and {probabilities.shape}")
    columns = min(COLUMNS, N)
    rows = -(-N // columns)
    figure = Figure(figsize=(0.4 + 1.25 * max(columns, 3), 0.45 + 1.68 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    fonts = for_names()
    for axes in grid[N:]:
        axes.set_axis_off()
    for axes, picture, label, answer, probability in zip(grid, pictures, labels, answers, probabilities, strict=False):
        axes.imshow(as_image(picture), interpolation="nearest")
        frame(axes)
        axes.set_title(shortened(classes[label], WIDTH), fontsize=8, pad=3, **fonts)
        below = f"{shortened(classes[answer], WIDTH)}\n{_percent(probability)}"
        axes.set_xlabel(below, fontsize=8, color=ORANGE, labelpad=3, **fonts)
    between = ": " if columns == COLUMNS else "\n"  # a few pictures are narrower than the line
    figure.suptitle(f"{title}{between}the true class above, the answer and its probability below", fontsize=9)
    return figure


def _percent(probability: float) -> str:
    """Never 100 %: no softmax is sure."""
    return f"{100 * probability:.1f} %" if probability < 0.9995 else "above 99.9 %"
