"""Where the columns of im2col come from. H W pixels, KH KW kernel, OH OW windows."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resnet_np.errors import InputError
from resnet_np.kernels.conv.array import im2col
from resnet_np.viz.style import GREY, frame

MOST = 16  # windows; of more the numbers are too small to read
# Okabe and Ito's colours and a violet, made light: black numbers stand on them
_HUES = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999", "#7B5EA7")
_PADDING = (0.9, 0.9, 0.9)


def windows(x: np.ndarray, kernel: int, *, stride: int = 1, pad: int = 0) -> Figure:
    """Draw every window of a small picture, and beside them the matrix in which each window is a column of the same colour.

    x (H, W) of one channel; kernel: KH = KW. Zeros of the padding are grey. Raises InputError for more than 16 windows, or none.
    """
    H, W = x.shape if x.ndim == 2 else (0, 0)
    OH, OW = (max(0, (side + 2 * pad - kernel) // stride + 1) for side in (H, W))
    if not 1 <= OH * OW <= MOST:
        raise InputError(f"windows: expected a picture (H, W) with 1 to {MOST} windows, got {x.shape}, which has {OH} x {OW}")
    columns = im2col(x[None, None], kernel, kernel, stride=stride, pad=pad)[0]
    padded = np.pad(x, pad)
    inside = np.pad(np.ones(x.shape, bool), pad)
    seen = im2col(inside[None, None].astype(np.float64), kernel, kernel, stride=stride, pad=0)[0] > 0

    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.05, 1))[0]
    grid = left.subplots(OH, OW, squeeze=False)
    for p, axes in enumerate(grid.ravel()):
        oh, ow = divmod(p, OW)
        colours = _paper(inside)
        place = np.s_[oh * stride:oh * stride + kernel, ow * stride:ow * stride + kernel]
        colours[place] = _tint(p) * np.where(inside[place], 1, 0.88)[..., None]
        _table(axes, padded, colours, 6.5 if len(padded) <= 5 else 5.5)
        corner = (ow * stride - 0.5, oh * stride - 0.5)
        axes.add_patch(Rectangle(corner, kernel, kernel, fill=False, edgecolor="black", linewidth=1.2))
        axes.set_title(f"window {p}", fontsize=8, pad=3)
    left.suptitle(f"Windows of {kernel} x {kernel}, stride {stride}, padding {pad}", fontsize=9)

    axes = right.subplots()
    colours = np.stack([np.broadcast_to(_tint(p), (len(columns), 3)) for p in range(OH * OW)], axis=1)
    colours = colours * np.where(seen, 1, 0.88)[..., None]
    _table(axes, columns, colours, 8)
    axes.set_xticks(range(OH * OW), range(OH * OW))
    axes.set_yticks(range(len(columns)), [f"({i}, {j})" for i in range(kernel) for j in range(kernel)])
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel("column p: window p", fontsize=8)
    axes.set_ylabel("row: place (i, j) in the window", fontsize=8)
    right.suptitle(f"columns ({len(columns)}, {OH * OW}) = im2col of the picture", fontsize=9)
    return figure


def _tint(p: int) -> np.ndarray:
    return 0.45 + 0.55 * np.array(to_rgb(_HUES[p % len(_HUES)]))


def _paper(inside: np.ndarray) -> np.ndarray:
    return np.where(inside[..., None], 1.0, np.array(_PADDING))


def _table(axes: Axes, values: np.ndarray, colours: np.ndarray, size: float) -> None:
    """Cells with numbers on colours (rows, columns, 3)."""
    axes.imshow(colours, interpolation="nearest", aspect="equal")
    frame(axes)
    rows, columns = values.shape
    axes.hlines(np.arange(1, rows) - 0.5, -0.5, columns - 0.5, color=GREY, linewidth=0.3)
    axes.vlines(np.arange(1, columns) - 0.5, -0.5, rows - 0.5, color=GREY, linewidth=0.3)
    for (h, w), value in np.ndenumerate(values):
        axes.text(w, h, f"{value:g}", ha="center", va="center", fontsize=size)
