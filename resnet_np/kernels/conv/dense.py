"""3x3 convolution of maps of up to 2x2 pixels: every output sees every pixel, so that it is one matrix product.

Padded by one pixel, the window of each of the P outputs of a filter holds the whole map. What multiplies pixel p of a channel for
output q is one tap of the filter, by how far the two are apart. All taps, written out, are a matrix of C P rows and F P columns:

    out (N, F P) = x (N, C P) W        W[c P + p, f P + q] = w[f, c, row of p - row of q + 1, column of p - column of q + 1]

x and out are those arrays as they lie in memory. Of 2x2 pixels a filter takes 16 products a channel, none of them with a zero; of
Winograd's, whose tile is for 4x4 outputs, it takes 36. The weight gradient is the gradient of W, x^T dout, of which a tap collects
every entry that it was written to.

    N image   C channel in   F filter   P = H*W pixels of a map   T columns of a panel

256 channels on 2x2 maps, batch 1,000, float32, two threads of an AMD EPYC (Zen 3, AVX2), 2026-11-30, by winograd.py and here:
forward 49 and 18 ms, weight gradient 75 and 19. With few images the other kernels, tiles.py with the fewest, win: 512 channels,
2x2 maps, forward and weight gradient, there and here: 4 images 2.8, 4.5 and 4.9, 6.8 ms; 8 images 5.5, 8.2 and 4.8, 6.9. On maps
of one pixel: 2 images 1.3, 4.8 and 0.4, 1.8 ms.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.compile import parallel
from resnet_np.kernels.conv.finish import finish_image
from resnet_np.kernels.conv.tiles import ROWS, TALL, into_panels, multiply_tall, multiply_tile, round_up
from resnet_np.kernels.simd import VECTOR_BYTES
from resnet_np.workspace import empty

LARGEST = 2  # pixels a side
DEPTH = 256  # rows of a panel, which stay in the L1 cache while the rows that they multiply pass by
TOGETHER = 32  # images of a turn: with 256 channels and filters, float32, their pixels and products are 256 KB, for the L2 cache
BLOCK = 16  # channels of a turn, whose taps lie side by side
FEWEST = 2  # images for a pixel of the map, which share what it takes to write the taps out

HIGH, multiply_block = (TALL, multiply_tall) if VECTOR_BYTES == 64 else (ROWS, multiply_tile)  # a CPU with AVX-512 has 32 registers


def suits(w_shape, stride, pad_h, pad_w, x_shape):
    """Whether the outputs for x (N, C, H, W) can, and should, be computed here; the gradients as well."""
    return (tuple(w_shape[2:]) == (3, 3) and stride == pad_h == pad_w == 1 and max(x_shape[2:]) <= LARGEST
            and x_shape[0] >= FEWEST * x_shape[2] * x_shape[3])


def correlate(x, w, finish):
    """x (N, C, H, W), w (F, C, 3, 3) -> out (N, F, H, W). finish: what is done to each image of it, in the cache."""
    images, channels, height, width = x.shape
    pixels = height * width
    tile = 2 * VECTOR_BYTES // x.itemsize
    depth, threads = channels * pixels, get_num_threads()
    panels = empty((round_up(len(w) * pixels, tile) // tile, depth, tile), x.dtype)
    together = min(TOGETHER, round_up(-(-images // threads), HIGH))
    rows = empty((threads, together, depth), x.dtype)
    products = empty((threads, together, len(panels) * tile), x.dtype)
    out = empty((images, len(w), height, width), x.dtype)
    _write_out(w.reshape(*w.shape[:2], 9), _taps(height, width), panels)
    _correlate(x.reshape(images, depth), panels, together, rows, products, finish, out.reshape(images, -1),
               out.reshape(images, len(w), pixels))
    return out


def weight_grad(dout, x):
    """dout (N, F, H, W), x (N, C, H, W) -> dw (F, C, 3, 3), summed over the batch."""
    images, filters, height, width = dout.shape
    channels, pixels = x.shape[1], height * width
    tile = 2 * VECTOR_BYTES // x.itemsize
    left = empty((round_up(channels * pixels, tile) // tile, images, tile), x.dtype)
    right = empty((round_up(filters * pixels, tile) // tile, images, tile), x.dtype)
    sums = empty((len(left) * tile, len(right) * tile), x.dtype)
    dw = empty((filters, channels, 3, 3), x.dtype)
    into_panels(x.reshape(images, -1, 1), left)
    into_panels(dout.reshape(images, -1, 1), right)
    _multiply_panels(left, right, sums)
    _collect(sums, _taps(height, width), dw.reshape(filters, channels, 9))
    return dw


def _taps(height, width):
    """(P, P): the place among the nine taps of the one that multiplies pixel p for output q."""
    row, column = np.divmod(np.arange(height * width), width)
    return (row[:, None] - row + 1) * 3 + column[:, None] - column + 1


@parallel
def _write_out(w, taps, panels):
    """w (F, C, 9) -> W in panels (F P / T rounded up, C P, T), zeros beyond F; taps (P, P)."""
    filters, channels = w.shape[:2]
    pixels, tile = len(taps), panels.shape[2]
    for panel in prange(len(panels)):
        for t in range(tile):
            column = np.int64(panel) * tile + t
            f, q = column // pixels, column % pixels
            for p in range(pixels):
                tap = taps[p, q]
                for c in range(channels):
                    panels[panel, c * pixels + p, t] = w[f, c, tap] if f < filters else 0


@parallel
def _correlate(x, panels, together, rows, products, finish, out, planes):
    """x (N, C P), W in panels -> out (N, F P); planes (N, F, P) is the same. A turn is `together` images.

    Scratch a thread: rows (together, C P), zeros beyond the last image; products (together, columns of all panels).
    """
    images, depth = x.shape
    columns, tile, wide = out.shape[1], panels.shape[2], products.shape[2]
    for turn in prange((images + together - 1) // together):
        thread, first = get_thread_id(), np.int64(turn) * together
        here = min(together, images - first)
        for n in range(together):
            for i in range(depth):
                rows[thread, n, i] = x[first + n, i] if n < here else 0
        for panel in range(len(panels)):
            for d in range(0, depth, DEPTH):
                for n in range(0, here, HIGH):
                    multiply_block(rows[thread], n * depth + d, depth, 1, panels, (panel * depth + d) * tile, tile,
                                   min(DEPTH, depth - d), products[thread], n * wide + panel * tile, wide, d > 0)
        for n in range(here):
            for i in range(columns):
                out[first + n, i] = products[thread, n, i]
            finish_image(planes, first + n, finish)


@parallel
def _multiply_panels(left, right, sums):
    """left^T right -> sums (columns of left, columns of right), both in panels (columns / T, N, T)."""
    blocks, depth, tile = left.shape
    line = sums.shape[1]
    for turn in prange(len(right) * blocks):
        panel, block = np.int64(turn) // blocks, np.int64(turn) % blocks
        for d in range(0, depth, DEPTH):
            for row in range(0, tile, HIGH):
                multiply_block(left, (block * depth + d) * tile + row, 1, tile, right, (panel * depth + d) * tile, tile,
                               min(DEPTH, depth - d), sums, (block * tile + row) * line + panel * tile, line, d > 0)


@parallel
def _collect(sums, taps, dw):
    """sums (C P rounded up, F P rounded up), the gradient of W -> dw (F, C, 9); taps (P, P)."""
    filters, channels, _ = dw.shape
    pixels = len(taps)
    for block in prange((channels + BLOCK - 1) // BLOCK):
        first = np.int64(block) * BLOCK
        for f in range(filters):
            for c in range(first, min(first + BLOCK, channels)):
                dw[f, c] = 0
                for p in range(pixels):
                    for q in range(pixels):
                        dw[f, c, taps[p, q]] += sums[c * pixels + p, f * pixels + q]
