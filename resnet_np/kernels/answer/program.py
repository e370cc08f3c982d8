"""The steps of a net that only answers, laid out for run.py: a table of numbers, all weights in one array, all maps in another.

    n lanes of a vector   D = C*KH*KW, the depth of a product

A map lies in planes of n channels, pixel by pixel, n numbers each; what is missing to whole vectors are channels of zeros, which
stay zero as long as numbers are finite. Around it is a border of zeros: one pixel, on the right and below as much more as makes
whole 4x4 tiles. So a 3x3 convolution reads its input as it lies. Borders are never written; a place in memory that is used again,
when its map has been read for the last time, is used by a map of the same shape. Pictures are the exception: one plane of pixels,
all channels of each side by side, with the padding that the first convolution wants; so a row of a window, (KW, C), lies one behind
the other.

Filters lie in panels of 2 n, or n at an odd end, one behind the other: (D, 2 n), in the order in which the product reads them.
Those of Winograd's sums, G w G^T, have 36 matrices (C, 2 n) a panel; see `kernels/conv/winograd.py`.
"""

from typing import Any, NamedTuple

import numpy as np

from resnet_np.kernels.answer import Convolution, GlobalPool, MaxPool, Step, Steps
from resnet_np.kernels.conv.tiles import TALL, round_up
from resnet_np.kernels.conv.winograd import FILTERS, HIGH, PLACES
from resnet_np.kernels.conv.winograd_sums import G
from resnet_np.kernels.simd import VECTOR_BYTES

LANES = VECTOR_BYTES // 4
LINE = 16  # floats of a line of the cache: whatever lies in an array of ours begins with one

DIRECT, WINOGRAD, MAX, MEAN, LARGEST = range(5)  # kinds of steps
NONE = -1  # in the place of a map

# What run.py knows of a step. Places and distances count floats.
ROW = np.dtype([(name, np.int64) for name in (
    "kind", "relu",
    "origin", "pixel", "row", "plane",    # of the map that is read: where the first window begins, distances
    "deep",                               # numbers of a window that lie one behind the other
    "height", "width", "channels",        # its size; channels as they lie there
    "to", "to_row", "to_plane",           # of the map that is written: its first pixel, and distances
    "oh", "ow", "filters",                # its size
    "same",                               # the first pixel of the map that is added; NONE
    "weight", "bias", "kh", "kw", "stride",
    "chunk", "split", "pieces",           # a piece is `chunk` pixels, or tiles, of one part of the filters in `split`
)])

# Of a piece: bytes of pixels read, which should stay in the cache while all filters pass by, and of the sums of tiles' pixels. From
# 32 to 512 KiB, and from 16 to 256, nothing was quicker or slower than noise (ResNet-20, 18 and 50, one picture, one thread; AMD
# EPYC, Zen 3, 2026-12-01).
PIXEL_BYTES = 128 << 10
TILE_BYTES = 128 << 10
MOST_PIXELS = 512  # whose places are written down
# Winograd's filters are four times as large as those of the definition: a picture alone reads each of them once, and of the largest
# no cache holds them all. With 512 filters, 36 MiB, a map of 7x7 pixels has four tiles; not measured.
MOST_FILTER_BYTES = 12 << 20


class Program(NamedTuple):
    """What run.py runs for pictures of one size."""

    table: np.ndarray  # ROW (steps,)
    weights: np.ndarray  # float32, flat
    entrance: tuple[int, int, int, int]  # channels, H, W of a picture, and the padding around it
    memory: int  # floats of one picture's maps
    scratch: int  # floats that a thread needs besides
    places: int  # pixels of a direct convolution's largest piece
    logits: int  # where they are in the memory
    classes: int
    products: int  # multiplications of the definition, of one picture


class _Map(NamedTuple):
    """A map in the memory. blocks: planes of n channels; positive: whether it is known to hold no negative number."""

    at: int
    blocks: int
    height: int
    width: int
    border: int
    positive: bool

    @property
    def row(self) -> int:
        return LANES * (4 * -(-self.width // 4) + 2 if self.border else self.width)

    @property
    def plane(self) -> int:
        return self.row * (4 * -(-self.height // 4) + 2 if self.border else self.height)

    @property
    def first(self) -> int:
        """The first pixel."""
        return self.at + self.border * (self.row + LANES)


class _Memory:
    """Places for maps: that of a map which nobody needs any more is for the next one of its shape."""

    def __init__(self, begin: int) -> None:
        self.size = round_up(begin, LINE)
        self._free: dict[tuple[int, ...], list[int]] = {}

    def place(self, channels: int, height: int, width: int, *, border: int, positive: bool) -> _Map:
        found = _Map(0, -(-channels // LANES), height, width, border, positive)
        free = self._free.setdefault(found[1:5], [])
        if not free:
            free.append(self.size)
            self.size += round_up(found.blocks * found.plane, LINE)
        return found._replace(at=free.pop())

    def release(self, done: _Map) -> None:
        self._free[done[1:5]].append(done.at)


class _Layout:
    """The table, row by row."""

    def __init__(self, shape: tuple[int, int, int], pad: int, threads: int) -> None:
        self.shape, self.threads = shape, threads
        self.memory = _Memory(shape[0] * (shape[1] + 2 * pad) * (shape[2] + 2 * pad))
        self.weights: list[np.ndarray] = []
        self.size = self.scratch = self.places = self.products = 0

    def keep(self, array: np.ndarray) -> int:
        """Where the array will be among the weights."""
        at = self.size
        self.weights.append(array)
        self.size += round_up(array.size, LINE)
        return at

    def step(self, step: Step, source: _Map | None, same: _Map | None, size: tuple[int, int]) -> tuple[Any, _Map]:
        """The step's row, and the map that it writes, of `size`. source: None for the pictures."""
        pad = 0 if isinstance(step, GlobalPool) else step.pad
        row = self._reading(source, pad)
        if isinstance(step, Convolution):
            target = self._writing(row, len(step.weight), size, border=source.border if source else 1, positive=step.relu)
            self._convolution(row, step, source, target)
            assert same is None or same[1:5] == target[1:5]
            row["same"] = same.first if same else NONE
            return row, target
        assert source
        if isinstance(step, MaxPool):
            assert not pad or source.positive  # a border of zeros must not win
            row["kind"], row["relu"], row["stride"], row["kh"], row["kw"] = MAX, step.relu, step.stride, step.k, step.k
            return row, self._writing(row, source.blocks * LANES, size, border=1, positive=step.relu or source.positive)
        row["kind"] = LARGEST if step.largest else MEAN
        return row, self._writing(row, source.blocks * LANES, size, border=0, positive=source.positive)

    def _reading(self, source: _Map | None, pad: int) -> Any:
        row = np.zeros((), ROW)[()]
        row["same"], row["pieces"] = NONE, 1
        if source is None:
            channels, height, width = self.shape
            row["pixel"], row["row"] = channels, channels * (width + 2 * pad)
            row["height"], row["width"], row["channels"] = height, width, channels
        else:
            assert pad <= source.border
            row["origin"] = source.first - pad * (source.row + LANES)
            row["pixel"], row["row"], row["plane"], row["deep"] = LANES, source.row, source.plane, LANES
            row["height"], row["width"], row["channels"] = source.height, source.width, source.blocks * LANES
        return row

    def _writing(self, row: Any, channels: int, size: tuple[int, int], *, border: int, positive: bool) -> _Map:
        target = self.memory.place(channels, *size, border=border, positive=positive)
        row["to"], row["to_row"], row["to_plane"] = target.first, target.row, target.plane
        row["oh"], row["ow"], row["filters"] = *size, target.blocks * LANES
        return target

    def _convolution(self, row: Any, step: Convolution, source: _Map | None, target: _Map) -> None:
        channels, filters, pixels = int(row["channels"]), target.blocks * LANES, target.height * target.width
        tiles = -(-target.height // 4) * -(-target.width // 4)
        self.products += step.weight.size * pixels
        row["kh"], row["kw"], row["stride"], row["relu"] = *step.weight.shape[2:], step.stride, step.relu
        row["bias"] = self.keep(_filled(step.bias, (filters,)))
        if source is None:
            row["deep"], row["kw"] = row["kw"] * channels, 1
        if (source and source.border and step.weight.shape[2:] == (3, 3) and step.stride == step.pad == 1
                and 2 * tiles >= HIGH and 4 * PLACES * channels * filters <= MOST_FILTER_BYTES):
            row["kind"], row["weight"] = WINOGRAD, self.keep(_transformed(step.weight, channels, filters))
            chunk = min(max(HIGH, TILE_BYTES // (4 * PLACES * channels) // HIGH * HIGH), round_up(tiles, HIGH))
            whole = round_up(chunk, TALL)
            self.scratch = max(self.scratch,
                               PLACES * (whole * (channels + min(FILTERS, filters)) + 2 * LANES) + 16 * LANES)
            count, most = -(-tiles // chunk), -(-filters // FILTERS)
        else:
            row["kind"], row["weight"] = DIRECT, self.keep(_panels(_filled(step.weight, (filters, channels, *step.weight.shape[2:]))
                                                                   .transpose(2, 3, 1, 0).reshape(-1, filters)))
            fit = PIXEL_BYTES // (4 * channels * step.stride ** 2)
            chunk = min(max(2 * TALL, min(fit, MOST_PIXELS, -(-pixels // (2 * self.threads))) // TALL * TALL), pixels)
            self.places = max(self.places, chunk + TALL)
            count, most = -(-pixels // chunk), -(-filters // (2 * LANES))
        row["chunk"], row["split"] = chunk, min(most, -(-2 * self.threads // count))  # few pieces: filters are shared, too
        row["pieces"] = count * row["split"]


def compile_steps(steps: Steps, shape: tuple[int, int, int], threads: int) -> Program:
    """The program for pictures of a shape (3, H, W). threads: for how many of them a step is cut into pieces.

    Raises InputError if the pictures are so small that a map would have no pixel.
    """
    sizes, last_readers = steps.sizes(*shape[1:]), steps.last_readers()
    first, last = steps.steps[0], steps.steps[-1]
    assert isinstance(first, Convolution) and isinstance(last, Convolution)
    layout = _Layout(shape, first.pad, threads)
    maps: list[_Map | None] = [None]
    rows = []
    for number, step in enumerate(steps.steps, 1):
        same = maps[step.same] if isinstance(step, Convolution) and step.same is not None else None
        row, target = layout.step(step, maps[step.source], same, sizes[number])
        rows.append(row)
        maps.append(target)
        for k in {step.source, getattr(step, "same", None) or 0} - {0}:
            done = maps[k]
            if done and last_readers[k] == number:
                layout.memory.release(done)
    weights = aligned(layout.size)
    at = 0
    for array in layout.weights:
        weights[at:at + array.size] = array.reshape(-1)
        at += round_up(array.size, LINE)
    logits = maps[-1]
    assert logits
    return Program(np.array(rows, ROW), weights, (*shape, first.pad), layout.memory.size, layout.scratch, layout.places,
                   logits.first, len(last.weight), layout.products)


def aligned(size: int) -> np.ndarray:
    """Zeros, float32, which begin with a line of the cache."""
    raw = np.zeros(size + LINE, np.float32)
    skip = -raw.ctypes.data % (4 * LINE) // 4
    return raw[skip:skip + size]


def _filled(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of a shape, zeros where `array` ends."""
    whole = np.zeros(shape, np.float32)
    whole[tuple(map(slice, array.shape))] = array
    return whole


def _transformed(w: np.ndarray, channels: int, filters: int) -> np.ndarray:
    """w (F, C, 3, 3) -> panels of 36 matrices (C, 2 n)."""
    sums = np.einsum("ia,fcab,jb->ijcf", G, w.astype(np.float64), G, optimize=True).reshape(PLACES, *w.shape[1::-1])
    return _panels(_filled(sums, (PLACES, channels, filters)).reshape(-1, filters))


def _panels(matrix: np.ndarray) -> np.ndarray:
    """(D, F) -> panels of 2 n columns, the last of n where their number is odd, one behind the other."""
    wide, filters = 2 * LANES, matrix.shape[1]
    return np.concatenate([matrix[:, at:at + wide].ravel() for at in range(0, filters, wide)])
