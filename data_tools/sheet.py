"""A contact sheet: a row a class, ten pictures each."""

from pathlib import Path

import numpy as np

from data_tools.image_set import ImageSet
from resnet_np.errors import DataError
from resnet_np.fonts import for_names, save_png

COLUMNS = 10
DPI = 64  # a power of two: matplotlib wants inches, and so gives back exactly the pixels that were meant
TEXT = 17  # points
SIDE = 96  # pixels; smaller pictures are drawn about that large, each pixel a square: blurred ones would hide what the net sees
MAX_SIDE = 224  # pixels; larger pictures are reduced
MAX_CLASSES = 50  # rows; a sheet of more is too large for most viewers
GAP = 8  # pixels between pictures, and on the right and below
HEAD = 44  # pixels at the top
LETTER, WIDE_LETTER = 13, 17  # pixels, of a w and of a Chinese letter at the size of the names


def write(image_set: ImageSet, path: Path) -> str | None:
    """Write the first ten training pictures of each class to `path`, a PNG -> what to say about letters without a font, or None."""
    from matplotlib.figure import Figure

    canvas, middles = _canvas(image_set)
    fonts = for_names()
    (height, width), classes = canvas.shape[:2], len(middles)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(canvas)  # pixel by pixel: axes would resample it
    few = "" if classes == len(image_set.classes) else f", the first {classes} of {len(image_set.classes):,} classes"
    texts = [(HEAD / 2, f"{image_set.name}: training pictures{few}")]
    texts += [(middle, f"{label}  {image_set.classes[label]}") for label, middle in enumerate(middles)]
    for down, text in texts:
        figure.text(GAP / width, 1 - down / height, text, size=TEXT, va="center", **fonts)
    try:
        return save_png(figure, path, dpi=DPI)
    except OSError as error:
        raise DataError(f"--sheet: {path}: cannot be written ({error.strerror}); choose another file") from None


def _canvas(image_set: ImageSet) -> tuple[np.ndarray, list[float]]:
    """White paper with the pictures on it, uint8 (height, width, 3), and the height of each row's middle from the top."""
    side = _drawn(image_set.train_images[0]).shape[0]
    step = side + GAP
    names = image_set.classes[:MAX_CLASSES]
    margin = max(sum(WIDE_LETTER if letter > "\u2e80" else LETTER for letter in f"{label}  {name} ")
                 for label, name in enumerate(names))
    canvas = np.full((HEAD + len(names) * step, margin + COLUMNS * step, 3), 255, np.uint8)
    for label in range(len(names)):
        top = HEAD + label * step
        for column, place in enumerate(np.flatnonzero(image_set.train_labels == label)[:COLUMNS]):
            left = margin + column * step
            canvas[top:top + side, left:left + side] = _drawn(image_set.train_images[place])
    return canvas, [HEAD + label * step + side / 2 for label in range(len(names))]


def _drawn(image: np.ndarray) -> np.ndarray:
    """uint8 (3, S, S) -> the square that stands on the sheet, (side, side, 3)."""
    from PIL import Image

    picture, size = image.transpose(1, 2, 0), image.shape[-1]
    if size > MAX_SIDE:
        return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((MAX_SIDE, MAX_SIDE)))
    zoom = max(1, SIDE // size)
    return picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
