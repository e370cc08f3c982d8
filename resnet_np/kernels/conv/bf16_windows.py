"""Where a convolution's windows begin, sixteen at a time: the tables that one kernel needs for any stride and padding.

A few images lie in a plane, one below the other, rows of pixels behind each other, with zeros between them: beside a row, and below
an image, as many as a window needs on the one side or on the other, for what lies behind a row lies before the next. The windows of
16 neighbouring outputs then begin at equal distances, and are the rows of a matrix that exists nowhere.
"""

from typing import NamedTuple

import numpy as np

from resnet_np.kernels.conv.bf16_tiles import DEPTH, ROWS


class Axis(NamedTuple):
    """One of the two directions of a convolution."""

    size: int  # of the image
    kernel: int
    before: int  # zeros
    first: int  # where the first window begins, counted from the first of the zeros
    step: int  # from a window to the next
    windows: int
    target: int  # where the first one's output goes
    target_step: int

    @property
    def gap(self) -> int:
        """Zeros between images, or rows: as many as a window needs before or behind, and so many that no two windows begin in one
        place. The distance of rows is a multiple of the windows' step, so that all begin in like places."""
        last = self.first + (self.windows - 1) * self.step
        gap = max(self.before, last + self.kernel - self.before - self.size, last + 1 - self.size)
        return gap + (-(self.size + gap) % self.step if gap else 0)

    def doubled(self, channels: int) -> "Axis":
        """Each two neighbouring windows as one, where nothing is lost: no more numbers are read, and tiles remain full."""
        lossless = blocks(self.kernel + 1, channels) == blocks(self.kernel, channels) and self.windows % (2 * ROWS) == 0
        if self.step > 1 or not lossless:
            return self
        return self._replace(kernel=self.kernel + 1, step=2, windows=self.windows // 2, target_step=2 * self.target_step)


class Windows(NamedTuple):
    """Windows of `group` images in a plane; all but the last field count pixels."""

    rows: int  # of an image, with its zeros
    pitch: int  # of a row, with its zeros
    lead: int  # before the first pixel of the first image
    starts: np.ndarray  # (T,) int64: where the first window of each tile begins
    targets: np.ndarray  # (16 T,) int64: where its output goes, in the output of the group; -1: nowhere
    length: int  # of what is read, in numbers


def forward_axis(size: int, kernel: int, stride: int, pad: int) -> Axis:
    return Axis(size, kernel, pad, 0, stride, (size + 2 * pad - kernel) // stride + 1, 0, 1)


def backward_axis(size: int, kernel: int, stride: int, pad: int, phase: int) -> Axis | None:
    """The way back, for every stride-th pixel of an input of that size: which taps reach it depends on (pixel + pad) % stride, the
    phase. They are the taps phase, phase + stride, ..., turned round. None where the input has no such pixel.

    Pixel q*stride + phase - pad sees outputs q, q - 1, ..., as many as there are taps, where they exist.
    """
    taps = max(1, len(range(phase, kernel, stride)))
    lowest, highest = -((phase - pad) // stride), (size - 1 + pad - phase) // stride
    outputs = (size + 2 * pad - kernel) // stride + 1
    if highest < lowest:
        return None
    before = max(0, taps - 1 - lowest)
    return Axis(outputs, taps, before, lowest - (taps - 1) + before, 1, highest - lowest + 1, lowest * stride + phase - pad, stride)


def windows(y: Axis, x: Axis, group: int, out_size: tuple[int, int], channels: int) -> Windows:
    """out_size: height and width of the whole output, in which targets are indices, image after image."""
    pitch, rows = x.size + x.gap, y.size + y.gap
    if group > 1 and x.kernel * channels % DEPTH:  # what is read beyond a window, though times 0, must not be of the next image
        rows += -(-DEPTH // (pitch * channels))
    image, row, column = np.ogrid[:group, :y.windows, :x.windows]
    begin = (image * rows + y.first + row * y.step) * pitch + x.first + column * x.step
    target = (image * out_size[0] + y.target + row * y.target_step) * out_size[1] + x.target + column * x.target_step
    tables = [_tiles(begin.reshape(-1, x.windows), target.reshape(-1, x.windows))]
    if x.step == y.step == 1:  # all windows of the plane, those between the images too: fewer tiles, where rows are short
        every = np.arange(begin.min(), begin.max() + 1)
        known = np.full(len(every), -1)
        known[(begin - begin.min()).ravel()] = target.ravel()
        tables.append(_tiles(every[None], known[None]))
    starts, targets = min(tables, key=lambda table: len(table[0]))
    last = int(starts.max()) + (ROWS - 1) * x.step + (y.kernel - 1) * pitch
    length = last * channels + blocks(x.kernel, channels) * DEPTH
    return Windows(rows, pitch, y.before * pitch + x.before, starts, targets, length)


def _tiles(begin, target):
    """Rows of windows, each cut into tiles of 16. The last of a row overlaps the one before, where a row has 16 windows or more."""
    starts, targets = [], []
    for first in range(0, begin.shape[1], ROWS):
        here = max(0, min(first, begin.shape[1] - ROWS))
        piece = np.full((len(begin), ROWS), -1)
        new = target[:, first:first + ROWS]
        piece[:, first - here:first - here + new.shape[1]] = new
        starts.append(begin[:, here])
        targets.append(piece)
    return np.stack(starts, 1).ravel(), np.stack(targets, 1).ravel()


def blocks(kernel: int, channels: int) -> int:
    """Tiles that a row of a window fills: of K = KW*C numbers, rounded up."""
    return -(-kernel * channels // DEPTH)


def groups(images: int, pixels: int, wanted: int) -> int:
    """How many images are computed together: the largest divisor of their number that gives about as many pixels as are wanted."""
    most = max(1, -(-wanted // pixels))
    return max(divisor for divisor in range(1, min(most, images) + 1) if images % divisor == 0)
