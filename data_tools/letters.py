"""Letters-15: the fifteen capital letters that consist of straight strokes, drawn; a small second task for fine-tuning.

Every picture has a letter of one colour on ground of another, turned, shifted and scaled a little, with a blot and noise. Colours
say nothing about the class. Few pictures a class are the point: a net that has learned to see outlines elsewhere needs no more.
"""

import numpy as np

from data_tools.image_set import ImageSet

# Corners of the strokes; a letter is 2 high, x to the right, y up.
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "A": [[(-0.7, -1), (0, 1), (0.7, -1)], [(-0.4, -0.2), (0.4, -0.2)]],
    "E": [[(0.6, 1), (-0.6, 1), (-0.6, -1), (0.6, -1)], [(-0.6, 0), (0.4, 0)]],
    "F": [[(0.6, 1), (-0.6, 1), (-0.6, -1)], [(-0.6, 0), (0.4, 0)]],
    "H": [[(-0.6, 1), (-0.6, -1)], [(0.6, 1), (0.6, -1)], [(-0.6, 0), (0.6, 0)]],
    "I": [[(0, 1), (0, -1)]],
    "K": [[(-0.6, 1), (-0.6, -1)], [(0.6, 1), (-0.6, -0.1)], [(-0.2, 0.25), (0.6, -1)]],
    "L": [[(-0.6, 1), (-0.6, -1), (0.6, -1)]],
    "M": [[(-0.8, -1), (-0.8, 1), (0, -0.2), (0.8, 1), (0.8, -1)]],
    "N": [[(-0.6, -1), (-0.6, 1), (0.6, -1), (0.6, 1)]],
    "T": [[(-0.7, 1), (0.7, 1)], [(0, 1), (0, -1)]],
    "V": [[(-0.7, 1), (0, -1), (0.7, 1)]],
    "W": [[(-0.9, 1), (-0.5, -1), (0, 0.4), (0.5, -1), (0.9, 1)]],
    "X": [[(-0.7, 1), (0.7, -1)], [(0.7, 1), (-0.7, -1)]],
    "Y": [[(-0.7, 1), (0, 0), (0.7, 1)], [(0, 0), (0, -1)]],
    "Z": [[(-0.6, 1), (0.6, 1), (-0.6, -1), (0.6, -1)]],
}
CLASSES = tuple(STROKES)
SIZE = 32
# Lengths in pixels, colours from 0 to 1.
HALF_HEIGHT, HALF_STROKE, SHIFT = (8.0, 11.0), (1.0, 1.8), 3.0
TURN = 0.3  # radians either way, 17 degrees
CONTRAST = 0.8  # smallest difference of letter and ground, summed over the three channels
BLOT = (2.0, 4.0)  # radius
NOISE = 0.06


def make(seed: int = 0, train: int = 16, test: int = 40) -> ImageSet:
    """Draw the data set: `train` and `test` pictures a class, from different streams of random numbers."""
    train_images, train_labels = draw(train, np.random.default_rng((seed, 0)))
    test_images, test_labels = draw(test, np.random.default_rng((seed, 1)))
    return ImageSet("letters15", CLASSES, train_images, train_labels, test_images, test_labels,
                    f"drawn here, seed {seed}", official=False)


def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` pictures a class -> images uint8 (15 count, 3, 32, 32), labels int64, mixed."""
    labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), count))
    images = [_picture(CLASSES[label], rng) for label in labels]
    return np.array(images, np.uint8).reshape(-1, 3, SIZE, SIZE), labels


def _picture(letter: str, rng: np.random.Generator) -> np.ndarray:
    """uint8 (3, 32, 32)."""
    ink, ground = _contrasting(rng)
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    dx, dy = rng.uniform(-SHIFT, SHIFT, 2)
    x, y = np.meshgrid(axis - dx, dy - axis)
    angle, half_height = rng.uniform(-TURN, TURN), rng.uniform(*HALF_HEIGHT)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    lines = [half_height * np.array(line) for line in STROKES[letter]]
    strokes = np.minimum.reduce([_to_segment(u, v, a, b) for line in lines for a, b in zip(line, line[1:], strict=False)])
    picture = np.broadcast_to(ground[:, None, None], (3, SIZE, SIZE)).copy()
    place = rng.uniform(-SIZE / 2, SIZE / 2, 2)
    _paint(picture, np.hypot(x - place[0], y - place[1]) - rng.uniform(*BLOT), rng.uniform(0, 1, 3))
    _paint(picture, strokes - rng.uniform(*HALF_STROKE), ink)
    picture += rng.uniform(-NOISE, NOISE, picture.shape)
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _contrasting(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colours (3,) that differ enough."""
    while True:
        ink, ground = rng.uniform(0, 1, (2, 3))
        if np.abs(ink - ground).sum() >= CONTRAST:
            return ink, ground


def _to_segment(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distance of every pixel from the segment from a to b."""
    (ex, ey), px, py = b - a, x - a[0], y - a[1]
    along = np.clip((px * ex + py * ey) / (ex**2 + ey**2), 0, 1)
    return np.hypot(px - ex * along, py - ey * along)


def _paint(picture: np.ndarray, distance: np.ndarray, colour: np.ndarray) -> None:
    """Paint the inside of `distance` (in pixels, negative inside) over the picture, with smoothed edges."""
    picture += np.clip(0.5 - distance, 0, 1) * (colour[:, None, None] - picture)
