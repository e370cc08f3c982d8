"""The weight gradient's sum over the batch: in parts, so that threads share no sum, which are added in order.

    B parts   F filter   K = C*KH*KW
"""

import numpy as np
from numba import prange

from resnet_np.kernels.compile import parallel
from resnet_np.workspace import empty

PARTS = 16  # of a batch: enough for 16 threads, few enough to be added quickly
PART_BYTES = 64 << 20  # upper bound of all parts together, if one alone is not larger
LINE = 16  # rows turned into columns together: in single precision a cache line of dw


def parts(images, rows, across, dtype, blocks=1):
    """An array (B, rows, across) for the sums of B parts of a batch, each of consecutive images; row c*KH*KW + k, column f.

    blocks: of rows, which threads share too, so that fewer parts will do.
    """
    return empty((part_count(images, np.dtype(dtype).itemsize * rows * across, blocks), rows, across), dtype)


def part_count(images, size, blocks=1):
    """How many: size is that of one, in bytes."""
    return max(1, min(images, -(-PARTS // blocks), PART_BYTES // size))


def add_parts(sums, w_shape, scale=1):
    """sums (B, >= K, >= F) -> dw (F, C, KH, KW): scale times their sum."""
    dw = empty(w_shape, sums.dtype)
    _add_parts(sums, sums.dtype.type(scale), dw.reshape(w_shape[0], -1))
    return dw


@parallel
def _add_parts(sums, scale, dw):
    filters, depth = dw.shape
    for turn in prange((depth + LINE - 1) // LINE):
        first, end = turn * LINE, min(turn * LINE + LINE, depth)
        for k in range(first, end):
            for b in range(1, sums.shape[0]):
                for f in range(filters):
                    sums[0, k, f] += sums[b, k, f]
        for f in range(filters):
            for k in range(first, end):
                dw[f, k] = scale * sums[0, k, f]


def add_parts_of_taps(sums, w_shape):
    """sums (B, F, KH*KW * C or more), row f, column t * (C or more) + c -> dw (F, C, KH, KW): their sum."""
    dw = empty(w_shape, np.float32)
    _add_parts_of_taps(sums, dw.reshape(*w_shape[:2], -1))
    return dw


@parallel
def _add_parts_of_taps(sums, dw):
    filters, channels, taps = dw.shape
    deep = sums.shape[2] // taps
    for f in prange(filters):
        for b in range(1, sums.shape[0]):
            for k in range(sums.shape[2]):
                sums[0, f, k] += sums[b, f, k]
        for c in range(channels):
            for t in range(taps):
                dw[f, c, t] = sums[0, f, t * deep + c]
