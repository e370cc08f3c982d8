"""Heat maps over pictures. N picture, M heat maps each, H W pixels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from resnet_np.errors import InputError
from resnet_np.fonts import for_names
from resnet_np.viz.style import as_image, frame

_MAP = "magma"
_SHARE = 0.65  # of a pixel that is heat; the rest is the picture in grey


def heat_maps(pictures: np.ndarray, heats: np.ndarray, titles: Sequence[str], captions: Sequence[Sequence[str]]) -> Figure:
    """Draw pictures in columns, and below each picture its heat maps, laid over the picture in grey; one picture alone, in a row.

    pictures  (N, 3, H, W), uint8
    heats     (N, M, H, W), not negative; each map is scaled by its own largest value, so that maps show where, not how much
    titles    N texts, above the pictures
    captions  M rows of N texts, above the maps
    Raises InputError if these do not fit together.
    """
    N, M = heats.shape[:2] if heats.ndim == 4 else (0, 0)
    fits = (pictures.shape == (N, 3, *heats.shape[2:]) and len(titles) == N and [len(row) for row in captions] == [N] * M
            and heats.size > 0)
    if not fits:
        raise InputError(f"heat_maps: expected pictures (N, 3, H, W), heats (N, M, H, W), N titles and M rows of N captions, got "
                         f"{pictures.shape}, {heats.shape}, {len(titles)} and {[len(row) for row in captions]}")
    rows, columns = (1, M + 1) if N == 1 else (M + 1, N)
    figure = Figure(figsize=(0.7 + 1.5 * columns, 0.1 + 1.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).reshape(M + 1, N)
    fonts = for_names()
    for n in range(N):
        image = as_image(pictures[n])
        grid[0, n].imshow(image, interpolation="nearest")
        grid[0, n].set_title(titles[n], fontsize=8, pad=3, **fonts)
        for m in range(M):
            grid[m + 1, n].imshow(overlaid(image, heats[n, m]), interpolation="nearest")
            grid[m + 1, n].set_title(captions[m][n], fontsize=8, pad=3, **fonts)
    for axes in grid.ravel():
        frame(axes)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 100), _MAP), ax=grid[1:, :], fraction=0.05, pad=0.02,
                          aspect=12 * max(1, rows - 1))
    bar.set_label("heat, % of its largest", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def overlaid(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """image (H, W, 3) from 0 to 1, heat (H, W) -> (H, W, 3): heat's colours over the image in grey."""
    import matplotlib

    largest = heat.max()
    colours = matplotlib.colormaps[_MAP](heat / largest if largest > 0 else np.zeros_like(heat))[..., :3]
    grey = image @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    return _SHARE * colours + (1 - _SHARE) * grey[..., None]
