"""A contact sheet: a row a class, ten pictures each."""

import warnings
from pathlib import Path

import numpy as np

from data_tools.image_set import ImageSet
from resnet_np.errors import DataError

COLUMNS = 10
DPI = 64  # a power of two: matplotlib wants inches, and so gives back exactly the pixels that were meant
TEXT = 17  # points
ZOOM = 3  # every pixel becomes a square of that many: blurred pictures would hide what the net sees
GAP = 8  # pixels between pictures, and on the right and below
HEAD = 44  # pixels at the top
LETTER, WIDE_LETTER = 13, 17  # pixels, of a w and of a Chinese letter at the size of the names
# The first of these that the machine has draws the letters that matplotlib's own font lacks.
CHINESE_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB",
                 "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "SimHei", "Arial Unicode MS")


def write(image_set: ImageSet, path: Path) -> None:
    """Write the first ten training pictures of each class to `path`, a PNG."""
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    canvas, middles = _canvas(image_set)
    height, width = canvas.shape[:2]
    present = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in CHINESE_FONTS if name in present)]
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(canvas)  # pixel by pixel: axes would resample it
    texts = [(HEAD / 2, f"{image_set.name}: training pictures")]
    texts += [(middle, f"{label}  {name}") for label, (name, middle) in enumerate(zip(image_set.classes, middles, strict=True))]
    for down, text in texts:  # parse_math: a dollar in a name is a dollar
        figure.text(GAP / width, 1 - down / height, text, size=TEXT, family=fonts, va="center", parse_math=False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # a box beside the number says as much
            figure.savefig(path, dpi=DPI, format="png")
    except OSError as error:
        raise DataError(f"--sheet: {path}: cannot be written ({error.strerror}); choose another file") from None


def _canvas(image_set: ImageSet) -> tuple[np.ndarray, list[float]]:
    """White paper with the pictures on it, uint8 (height, width, 3), and the height of each row's middle from the top."""
    side = 32 * ZOOM
    step = side + GAP
    classes = len(image_set.classes)
    margin = max(sum(WIDE_LETTER if letter > "\u2e80" else LETTER for letter in f"0  {name} ") for name in image_set.classes)
    canvas = np.full((HEAD + classes * step, margin + COLUMNS * step, 3), 255, np.uint8)
    for label in range(classes):
        top = HEAD + label * step
        for column, place in enumerate(np.flatnonzero(image_set.train_labels == label)[:COLUMNS]):
            left = margin + column * step
            picture = image_set.train_images[place].transpose(1, 2, 0)
            canvas[top:top + side, left:left + side] = picture.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    return canvas, [HEAD + label * step + side / 2 for label in range(classes)]
