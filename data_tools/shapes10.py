"""Shapes-10: drawn pictures in CIFAR-10's format, for machines that cannot have CIFAR-10.

Ten classes of shapes, coloured, turned, partly covered, on cluttered backgrounds. Colour, size, place, turn, background
and cover are drawn without regard to the class, and all shapes have the same area, so that neither the colours nor
single pixels give the class away: it takes the outline.

The same bytes on every machine: raw words of PCG64 (whose stream NumPy guarantees) and only those float32 operations
that IEEE 754 rounds exactly (+ - * / sqrt, comparisons); no sin, no exp, no sums whose order could change.
Shapes are signed distance functions over the pixel grid: negative inside, in units of the shape's scale.
The distance formulas are Inigo Quilez's (https://iquilezles.org/articles/distfunctions2d/).
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from data_tools.image_set import ImageSet

CLASSES = ("circle", "ring", "triangle", "square", "star", "cross", "heart", "crescent", "arrow", "hourglass")
TRAIN, TEST = 10_000, 2_000  # pictures, the same number of every class

# Difficulty. Lengths in pixels of a picture of 32 x 32, colours from 0 to 1.
RADIUS = (6.0, 8.5)  # of the circle of the same area
SHIFT = 4.0  # of the centre, in each direction
TURN = 0.5  # largest tangent of half the angle: 0.5 is 53 degrees either way
GROUND, SHAPE, CLUTTERED = (0.0, 0.6), (0.35, 1.0), (0.0, 0.8)  # each channel's range: shapes are the brighter ones
CONTRAST = 0.8  # smallest difference between shape and background, summed over the three channels
CLUTTER = 6  # bars and blobs behind the shape
COVERED = 0.6  # share of the pictures with a bar across the shape
COVER = (0.8, 1.6)  # half the width of that bar
SHADE = 0.15  # uneven light, up or down
NOISE = 0.04  # each pixel and channel, up or down

Array = np.ndarray
SIZE = 32
_CHUNK = 200  # pictures drawn at once: its arrays stay in the cache
_COLOURS_TRIED = 8


def make(seed: int = 0, train: int = TRAIN, test: int = TEST) -> ImageSet:
    """Draw the data set; about 2 s. Training and test pictures come from different streams of random numbers."""
    train_images, train_labels = draw(train, seed=(seed, 0))
    test_images, test_labels = draw(test, seed=(seed, 1))
    return ImageSet("shapes10", CLASSES, train_images, train_labels, test_images, test_labels,
                    f"drawn here, seed {seed}", official=False)


def draw(count: int, *, seed: tuple[int, int]) -> tuple[Array, Array]:
    """Draw `count` pictures -> images uint8 (count, 3, 32, 32), labels int64 (count,), even and mixed."""
    random = _Random(seed)
    labels = (np.arange(count) % 10)[np.argsort(random.words(count), kind="stable")]
    images = np.empty((count, 3, SIZE, SIZE), np.uint8)
    for start in range(0, count, _CHUNK):
        images[start:start + _CHUNK] = _pictures(labels[start:start + _CHUNK], random)
    return images, labels


class _Random:
    """Uniform numbers made of PCG64's raw words, the same for every version of NumPy."""

    def __init__(self, seed: tuple[int, int]) -> None:
        self._bits = np.random.PCG64(seed)

    def words(self, count: int) -> Array:
        return self._bits.random_raw(count)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        """float32 of the given shape, from `low` to `high`."""
        unit = (self.words(math.prod(shape)) >> np.uint64(40)).astype(np.float32) * np.float32(2.0 ** -24)
        return (np.float32(low) + np.float32(high - low) * unit).reshape(shape)


# Painting. Letters: N picture; arrays over the pixels are (N, 32, 32) or (N, 3, 32, 32).

def _pictures(labels: Array, random: _Random) -> Array:
    n = len(labels)
    shape_colour = random.uniform(*SHAPE, n, 3)
    ground_colour = _contrasting(shape_colour, random)
    picture = np.empty((n, 3, SIZE, SIZE), np.float32)
    picture[...] = ground_colour[:, :, None, None]
    x, y = _grid(random.uniform(-SHIFT, SHIFT, n), random.uniform(-SHIFT, SHIFT, n))
    radius = random.uniform(*RADIUS, n)[:, None, None]

    for thing in range(CLUTTER):
        bx, by = _turned(*_grid(random.uniform(-16, 16, n), random.uniform(-16, 16, n)), random.uniform(-1, 1, n))
        half_length = random.uniform(1, 7, n) if thing % 2 else np.zeros(n, np.float32)
        width = random.uniform(0.7, 2.2, n)
        distance = _capsule(bx, by, half_length[:, None, None]) - width[:, None, None]
        _paint(picture, distance, random.uniform(*CLUTTERED, n, 3))

    u, v = _turned(x / radius, y / radius, random.uniform(-TURN, TURN, n))
    distance = np.empty((n, SIZE, SIZE), np.float32)
    for label, name in enumerate(CLASSES):
        chosen = labels == label
        distance[chosen] = _DISTANCE[name](u[chosen], v[chosen])
    _paint(picture, distance * radius, shape_colour)

    bx, by = _turned(x - random.uniform(-5, 5, n)[:, None, None], y - random.uniform(-5, 5, n)[:, None, None],
                     random.uniform(-1, 1, n))
    bar = _capsule(bx, by, np.float32(7)) - random.uniform(*COVER, n)[:, None, None]
    absent = random.uniform(0, 1, n) >= COVERED
    bar[absent] = 9
    _paint(picture, bar, random.uniform(0, 1, n, 3))

    picture += _smooth(random.uniform(-SHADE, SHADE, n, 1, 4, 4))
    picture += random.uniform(-NOISE, NOISE, n, 3, SIZE, SIZE)
    return np.rint(np.clip(picture, 0, 1) * np.float32(255)).astype(np.uint8)


def _paint(picture: Array, distance: Array, colour: Array) -> None:
    """Paint the inside of `distance` (in pixels) over the pictures, with smoothed edges."""
    cover = np.clip(np.float32(0.5) - distance, 0, 1)[:, None]
    picture += cover * (colour[:, :, None, None] - picture)


def _contrasting(colour: Array, random: _Random) -> Array:
    """For each colour (N, 3) the first of eight others that differs enough."""
    tried = random.uniform(*GROUND, len(colour), _COLOURS_TRIED, 3)
    difference = np.abs(tried - colour[:, None])
    enough = difference[..., 0] + difference[..., 1] + difference[..., 2] >= CONTRAST
    return tried[np.arange(len(colour)), enough.argmax(axis=1)]


def _grid(cx: Array, cy: Array) -> tuple[Array, Array]:
    """Pixel centres relative to (16 + cx, 16 + cy), x to the right, y up."""
    axis = np.arange(SIZE, dtype=np.float32) - np.float32(SIZE / 2 - 0.5)
    x = axis[None, None, :] - cx[:, None, None]
    y = cy[:, None, None] - axis[None, :, None]
    return np.broadcast_to(x, (len(cx), SIZE, SIZE)), np.broadcast_to(y, (len(cx), SIZE, SIZE))


def _turned(x: Array, y: Array, half_tangent: Array) -> tuple[Array, Array]:
    # cos and sin from the tangent t of half the angle, (1 - t^2) / (1 + t^2) and 2t / (1 + t^2), are exact arithmetic.
    square = half_tangent * half_tangent
    cos = ((1 - square) / (1 + square))[:, None, None]
    sin = (2 * half_tangent / (1 + square))[:, None, None]
    return cos * x + sin * y, cos * y - sin * x


def _smooth(knots: Array) -> Array:
    """Bilinear interpolation of (N, C, K, K) to (N, C, 32, 32)."""
    last = knots.shape[-1] - 1
    place = np.arange(SIZE, dtype=np.float32) * np.float32(last / SIZE)
    low = place.astype(np.int64)
    weight = place - low.astype(np.float32)
    rows = knots[:, :, low] + weight[:, None] * (knots[:, :, low + 1] - knots[:, :, low])
    return rows[..., low] + weight * (rows[..., low + 1] - rows[..., low])


# The shapes, as distances. Every one has the area pi; tests hold them to it.

def _length(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y)


def _capsule(x: Array, y: Array, half_length: Array | np.float32) -> Array:
    return _length(np.maximum(np.abs(x) - half_length, 0), y)


def _circle(x: Array, y: Array) -> Array:
    return _length(x, y) - np.float32(1)


def _ring(x: Array, y: Array) -> Array:
    return np.abs(_length(x, y) - np.float32(0.95)) - np.float32(0.263)


def _crescent(x: Array, y: Array) -> Array:
    disc = _length(x - np.float32(0.39), y) - np.float32(1.301)
    return np.maximum(disc, np.float32(0.9) - _length(x - np.float32(1.07), y))


def _heart(x: Array, y: Array) -> Array:
    # Two discs over a square that stands on its corner.
    side, x, y = np.float32(1.327), np.abs(x), y + np.float32(1.23)
    half = side / 2
    along, across = (x + y) * np.float32(0.70710678), (y - x) * np.float32(0.70710678)
    square = np.maximum(np.abs(along - half), np.abs(across - half)) - half
    disc = _length(along - side, across - half) - half
    return np.minimum(square, disc)


def _polygon(corners: list[tuple[float, float]]) -> Callable[[Array, Array], Array]:
    def distance(x: Array, y: Array) -> Array:
        nearest = np.full(x.shape, np.inf, np.float32)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in _edges(corners):
            ex, ey = np.float32(bx - ax), np.float32(by - ay)
            px, py = x - np.float32(ax), y - np.float32(ay)
            along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
            dx, dy = px - ex * along, py - ey * along
            np.minimum(nearest, dx * dx + dy * dy, out=nearest)
            # A ray to the right crosses this edge: even crossings lie outside, odd inside.
            left = ex * py - ey * px > 0
            inside ^= ((py >= 0) & (y < np.float32(by)) & left) | ((py < 0) & (y >= np.float32(by)) & ~left)
        return np.where(inside, -np.sqrt(nearest), np.sqrt(nearest))

    return distance


def _edges(corners: list[tuple[float, float]]) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    return zip(corners, corners[1:] + corners[:1], strict=True)


_DISTANCE: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "ring": _ring,
    "triangle": _polygon([(0.0, 1.555), (-1.347, -0.778), (1.347, -0.778)]),
    "square": _polygon([(0.886, 0.886), (-0.886, 0.886), (-0.886, -0.886), (0.886, -0.886)]),
    "star": _polygon([(0.0, 1.595), (0.394, 0.542), (1.517, 0.493), (0.637, -0.207), (0.938, -1.291),
                      (0.0, -0.67), (-0.938, -1.291), (-0.637, -0.207), (-1.517, 0.493), (-0.394, 0.542)]),
    "cross": _polygon([(1.153, 0.415), (0.415, 0.415), (0.415, 1.153), (-0.415, 1.153), (-0.415, 0.415),
                       (-1.153, 0.415), (-1.153, -0.415), (-0.415, -0.415), (-0.415, -1.153), (0.415, -1.153),
                       (0.415, -0.415), (1.153, -0.415)]),
    "heart": _heart,
    "crescent": _crescent,
    "arrow": _polygon([(0.0, 1.478), (-1.257, 0.074), (-0.443, 0.074), (-0.443, -1.478), (0.443, -1.478),
                       (0.443, 0.074), (1.257, 0.074)]),
    "hourglass": _polygon([(0.0, 0.0), (1.1, 1.43), (-1.1, 1.43), (0.0, 0.0), (-1.1, -1.43), (1.1, -1.43)]),
}
