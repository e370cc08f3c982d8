"""Which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.fonts import for_names
from resnet_np.viz.style import GREY

_NUMBERS = 20  # classes up to which every cell has room for its number


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix, one row a true class, coloured by the share of that class.

    matrix (K, K) of counts: matrix[i, j] pictures of class i were taken for class j. Up to 20 classes every cell shows
    its count. Raises InputError if the matrix is not K x K.
    """
    K = len(classes)
    matrix = np.asarray(matrix)
    if matrix.shape != (K, K) or K == 0:
        raise InputError(f"confusion: {K} classes need a matrix of shape ({K}, {K}), got {matrix.shape}")
    counts = matrix.sum(1, keepdims=True)
    percent = 100 * matrix / np.maximum(counts, 1)  # a class without pictures is a row of zeros

    side = 6.2 if K <= _NUMBERS else 7.5
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    shade = PowerNorm(0.5, vmin=0, vmax=100)  # a linear scale would leave the mistakes, which are the point, white
    image = axes.imshow(percent, cmap="Blues", norm=shade)
    figure.colorbar(image, ax=axes, label="share of the true class (%)", shrink=0.8,
                    ticks=[0, 1, 5, 10, 20, 40, 60, 80, 100])
    total = matrix.sum()
    axes.set(xlabel="predicted class", ylabel="true class",
             title=f"{np.trace(matrix):,} of {total:,} right ({100 * np.trace(matrix) / max(total, 1):.1f} %)")
    if K <= _NUMBERS:
        size = 9 if K <= 10 else 6
        axes.set_xticks(range(K), classes, rotation=45, ha="right", rotation_mode="anchor", **for_names())
        axes.set_yticks(range(K), classes, **for_names())
        for i, j in np.ndindex(K, K):
            colour = "white" if shade(percent[i, j]) > 0.6 else "black" if matrix[i, j] else GREY
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", fontsize=size, color=colour)
    else:
        ticks = range(0, K, -(-K // 10))  # names would overlap: class numbers
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
    return figure
