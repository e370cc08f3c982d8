"""3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3).

Two neighbouring outputs of a filter g = (g0, g1, g2) see four pixels d = (d0, d1, d2, d3):

    y0 = d0 g0 + d1 g1 + d2 g2      y1 = d1 g0 + d2 g1 + d3 g2

That is six products. Four suffice, if the sums of filter taps are formed once for the whole batch:

    m0 = (d0 - d2) g0                       m1 = (d1 + d2) (g0 + g1 + g2)/2
    m3 = (d3 - d1) g2                       m2 = (d2 - d1) (g0 - g1 + g2)/2
    y0 = m0 + m1 + m2                       y1 = m1 - m2 + m3

or y = A^T [(G g) * (B^T d)], with G, B^T and A^T the three sets of sums above. Four outputs see six pixels, and six products do for
them: winograd_sums.py has the sums. The same along rows and then along columns makes 4x4 outputs of a 6x6 tile of pixels, d,
with 36 products in place of 144:

    y = A^T [(G g G^T) * (B^T d B)] A       a product of numbers, in place 0 ... 35 of the tile (k below)

Summed over channels, each of the 36 places is a matrix product: (tiles, C) times (C, F). Everything is linear, so the gradient with
respect to g goes back through the same matrices, transposed, again with 36 products a tile:

    dg = G^T [(B^T d B) * (A dy A^T)] G     summed over tiles and images

Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4. G and A evaluate polynomials, with taps and
output gradients for coefficients, at 0, two points, the same two negated, and infinity; B^T is an interpolation, transposed. Lavin
and Gray take the points 1 and 2; 3/4 and 3/2 leave half of the rounding error (how much points matter: Alam et al. 2022, "Winograd
Convolution for Deep Neural Networks: Efficient Point Selection"). In float32 and with 16 to 256 channels it is 4e-7 to 1.2e-6 (rms)
of the output's deviation (test_winograd.py), where 1 and 2 had 8e-7 to 2.6e-6 (NumPy, random tiles, seed 0, 2026-11-29).
What is lost is locality: a NaN or an infinity spoils all outputs of every tile that reads it, also those whose window does not.

    N image   C channel in   F filter   n lanes of a vector   k place in a tile   T tiles at work at once   P pixels

A vector holds n channels, or filters, of one pixel: the transforms are sums of whole vectors. So the planes of n channels are
turned on the way in (`_gather`), and those of n filters on the way out (`_scatter`). If n does not divide the channels, the last
vector begins earlier: some are computed twice, by two threads even, to the same bits, and nothing is read that is not there.
Where 4 does not divide a map's sides, zeros are added, and what comes out beyond the map is dropped.
What multiplies, A (rows, depth) times B (depth, columns), lies in scratch such that the products run along it (see `panel_of`).
Scratch of 36 places is a little longer than it need be: 36 streams a power of two apart would share a few lines of the cache.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.compile import inline, parallel
from resnet_np.kernels.conv.finish import finish_image
from resnet_np.kernels.conv.partials import PARTS
from resnet_np.kernels.conv.tiles import ROWS, TALL, multiply_column, multiply_tall, multiply_tile, round_up
from resnet_np.kernels.conv.winograd_sums import (
    transform_filter,
    transform_gradients,
    transform_pixels,
    transform_strip,
    transform_sums,
)
from resnet_np.kernels.simd import VECTOR_BYTES, lanes, load, store, transpose, zero
from resnet_np.workspace import empty

PLACES = 36
# Pixels of all images for a channel, or filter: so many at least must share what transforming the filters takes. A map of
# fewer than 4x4 counts for as many: it takes the other kernels as long.
FEWEST = 1 / 2
# Pixels computed for one that is wanted, where the weight gradient is worth it. Outputs are at any: for an image of few pixels the
# other kernels' vectors are emptier still (250 of 3x3, 256 channels: 13 ms against 52; AMD EPYC, Zen 3, 2026-11-30).
MOST_WASTE = 4
STRIP_BYTES = 40 << 10  # of the padded pixels of n channels, which should fit the L1 cache, if a row of tiles is no longer

# The caches' sizes are not known here: the vector's width stands for them. Chosen with 48 KiB of L1 and 1.25 MiB of L2 a core
# (Intel Xeon, Ice Lake, AVX-512, 2026-11-29), on layers of 16 to 512 channels; and with 32 and 512 KiB (AMD EPYC, Zen 3, AVX2,
# 2026-11-30), on layers of 16 to 384, where the second numbers take 0.90 to 1.00 (forward) and 0.87 to 0.98 (weight gradient)
# of the time.
TILES = 64  # of the forward pass, which are multiplied together
FILTERS = 128 if VECTOR_BYTES == 64 else 32  # by which they are multiplied before their outputs are written
# Tiles for which the weight gradient adds products, before it comes back to the sums: 576 KiB a block, more than the smaller L2.
CHUNK = 32 if VECTOR_BYTES == 64 else 64
BLOCK = 64  # channels, and filters, that it adds them for
LEAST = 64  # tiles of a part of the batch: each part has sums of its own, which must be added

HIGH, multiply_block = (TALL, multiply_tall) if VECTOR_BYTES == 64 else (ROWS, multiply_tile)  # a CPU with AVX-512 has 32 registers


def suits(w_shape, stride, out_shape, dtype):
    """Whether the outputs (N, F, OH, OW) of filters (F, C, KH, KW) can, and should, be computed here."""
    filters, channels, *kernel = w_shape
    images, _, oh, ow = out_shape
    return (kernel == [3, 3] and stride == 1 and min(filters, channels) >= VECTOR_BYTES // np.dtype(dtype).itemsize
            and images * max(16, oh * ow) >= FEWEST * max(filters, channels))


def suits_weight_grad(w_shape, stride, out_shape, dtype):
    """Whether their filters' gradient should, too."""
    oh, ow = out_shape[2:]
    return suits(w_shape, stride, out_shape, dtype) and 16 * -(-oh // 4) * -(-ow // 4) <= MOST_WASTE * oh * ow


def correlate(x, w, pad_h, pad_w, finish):
    """x (N, C, H, W), w (F, C, 3, 3) -> out (N, F, OH, OW). finish: what is done to each image of it, in the cache."""
    images, channels, height, width = x.shape
    filters, threads = len(w), get_num_threads()
    oh, ow = height + 2 * pad_h - 2, width + 2 * pad_w - 2
    n = VECTOR_BYTES // x.itemsize
    assert images and min(filters, channels) >= n  # see `suits`: fewer would be read and written where there is nothing
    rows, strips, across = _strips(oh, ow, TILES)
    group = max(1, TILES // (strips * rows * across))  # images of a thread's turn, and as many turns for every thread, if it can be
    group = -(-images // (threads * -(-images // (threads * group))))
    many = min(max(1, TILES // (rows * across)), group * strips)  # strips multiplied together
    tiles, wide = round_up(many * rows * across, TALL), round_up(filters, n)
    g = empty((PLACES * channels * wide,), x.dtype)
    taps = empty((threads, 9 * n * n), x.dtype)
    padded = empty((threads, (4 * rows + 2) * (4 * across + 2) * n), x.dtype)
    padded[...] = 0
    turned = empty((threads, (4 * rows + 2) * max(width, 4 * across) * n), x.dtype)
    d = empty((threads, PLACES, tiles * channels + n), x.dtype)
    m = empty((threads, PLACES, tiles * min(FILTERS, wide) + n), x.dtype)
    out = empty((images, filters, oh, ow), x.dtype)
    _transform_filters(w, taps, g)
    _correlate(x.reshape(-1), x.shape, g, pad_h, pad_w, group, many, rows, padded, turned, d, m, finish, out.reshape(-1), oh, ow,
               out.reshape(images, filters, -1))
    return out


def weight_grad(dout, x, *, pad):
    """dout (N, F, OH, OW), x (N, C, H, W) -> dw (F, C, 3, 3), summed over the batch."""
    images, channels, _, width = x.shape
    filters, oh, ow = dout.shape[1:]
    threads, n = get_num_threads(), VECTOR_BYTES // x.itemsize
    assert images and min(filters, channels) >= n
    rows, strips, across = _strips(oh, ow, CHUNK)
    many = min(max(1, CHUNK // (rows * across)), images * strips)
    tiles = many * rows * across
    deep, wide = min(BLOCK, round_up(channels, n)), min(BLOCK, round_up(filters, n))
    blocks = -(-channels // deep) * -(-filters // wide)
    padded = empty((threads, (4 * rows + 2) * (4 * across + 2) * n), x.dtype)
    whole = empty((threads, 4 * rows * 4 * across * n), x.dtype)
    padded[...] = whole[...] = 0
    turned = empty((threads, (4 * rows + 2) * max(width, 4 * across) * n), x.dtype)
    d = empty((threads, PLACES, tiles * deep + TALL), x.dtype)
    e = empty((threads, PLACES, tiles * wide + n), x.dtype)
    parts = max(1, min(images, -(-PARTS // blocks), images * strips * rows * across // LEAST))
    sums = empty((parts, blocks, PLACES * (round_up(deep, TALL) * wide + n)), x.dtype)
    dw = empty((filters, channels, 3, 3), x.dtype)
    taps = empty((threads, 9 * n), x.dtype)
    _weight_grad(dout.reshape(-1), dout.shape, x.reshape(-1), x.shape, pad, many, rows, deep, wide, padded, whole, turned, d, e,
                 sums)
    _add_parts(sums)
    _transform_sums(sums[0], deep, wide, taps, dw)
    return dw


def _strips(oh, ow, most_tiles):
    """A map goes strip by strip: rows of tiles of a strip, strips of a map, tiles of a row."""
    down, across = -(-oh // 4), -(-ow // 4)
    most = max(1, min((STRIP_BYTES // (VECTOR_BYTES * (4 * across + 2)) - 2) // 4, most_tiles // across))
    rows = min(range(1, most + 1), key=lambda rows: (-(-down // rows) * rows, -rows))  # as few rows as can be that nobody wants
    return rows, -(-down // rows), across


@inline
def panel_of(block, blocks, n, depth):
    """Of a matrix (depth, columns) in panels of 2 n columns, or n at an odd end, one behind the other: where block `block` of n
    columns begins, and how far apart its rows are. What is read at once is a panel's row, the next is the one behind it."""
    if block == blocks - 1 and blocks % 2 == 1:
        return block * n * depth, n
    return block // 2 * 2 * n * depth + block % 2 * n, 2 * n


@parallel
def _transform_filters(w, taps, g):
    """w (F, C, 3, 3) -> g: G w G^T, panels of filters, in each a matrix (C, filters) for every place. Scratch: taps (9 n, n)."""
    filters, channels = w.shape[:2]
    n = lanes(w)
    blocks, parts = (filters + n - 1) // n, (channels + n - 1) // n
    for turn in prange(blocks * parts):
        thread, block, part = get_thread_id(), np.int64(turn) // parts, np.int64(turn) % parts
        f, c = min(block * n, filters - n), min(part * n, channels - n)
        first, step = panel_of(block, blocks, n, PLACES * channels)
        for tap in range(0, 9 * n, n):
            source = (f * channels + c) * 9 + tap
            transpose(w, source, 9 * channels, taps[thread], tap * n, n)
        for i in range(n):
            transform_filter(taps[thread], 9 * i * n, g, first + (c + i) * step, channels * step)


@inline
def _gather(maps, first, height, width, top, rows, pad_h, pad_w, row, turned, padded):
    """Of the n planes of H x W pixels from maps[first] on, pixel rows top - pad_h, ... -> padded (rows, row, n), pad_w columns from
    the left; zeros for rows that are not there. The columns on both sides stay as they are."""
    n = lanes(padded)
    begin, end = max(0, top - pad_h), min(height, top - pad_h + rows)
    pixels, start = (end - begin) * width, first + begin * width
    if pixels >= n:
        for block in range(0, pixels, n):
            p = start + min(block, pixels - n)
            transpose(maps, p, height * width, turned, (p - start) * n, n)
    else:
        for p in range(pixels):
            for lane in range(n):
                turned[p * n + lane] = maps[start + lane * height * width + p]
    for r in range(rows):
        y, to = top - pad_h + r, (r * row + pad_w) * n
        if 0 <= y < height:
            for i in range(0, width * n, n):
                store(padded, to + i, load(turned, (y - begin) * width * n + i))
        else:
            for i in range(0, width * n, n):
                store(padded, to + i, zero(padded))


@inline
def multiply_panels(a, a_first, a_row, a_step, rows, b, b_first, b_step, depth, out, to, line, accumulate):
    """A (rows, depth) times a panel of B (depth, b_step columns), into out[to ...], where rows are `line` apart."""
    if b_step == 2 * lanes(b):
        for row in range(0, rows, HIGH):
            multiply_block(a, a_first + row * a_row, a_row, a_step, b, b_first, b_step, depth,
                           out, to + row * line, line, accumulate)
    else:
        for row in range(0, rows, TALL):
            multiply_column(a, a_first + row * a_row, a_row, a_step, b, b_first, b_step, depth,
                            out, to + row * line, line, accumulate)


@inline
def _scatter(turned, pixels, maps, first, plane):
    """turned (P, n) -> pixels of n planes, from maps[first] on, `plane` apart."""
    n = lanes(turned)
    if pixels >= n:
        for block in range(0, pixels, n):
            p = min(block, pixels - n)
            transpose(turned, p * n, n, maps, first + p, plane)
    else:
        for lane in range(n):
            for p in range(pixels):
                maps[first + lane * plane + p] = turned[p * n + lane]


@parallel
def _correlate(x, x_shape, g, pad_h, pad_w, group, many, rows, padded, turned, d, m, finish, maps, oh, ow, out):
    """maps, flat: (N, F, OH, OW); out (N, F, OH * OW) is the same. A turn is `group` images, `many` strips are multiplied together.

    Scratch a thread: padded, zeros, the pixels of a strip; turned (P, n); d (36, T, C); m (36, T, FILTERS).
    """
    images, filters = out.shape[:2]
    channels, height, width = x_shape[1:]
    n, place_d, place_m = lanes(maps), d.shape[2], m.shape[2]
    across, strips = (ow + 3) // 4, ((oh + 3) // 4 + rows - 1) // rows
    strip, row, blocks = rows * across, 4 * across + 2, (filters + n - 1) // n
    for turn in prange((images + group - 1) // group):
        thread, first = get_thread_id(), np.int64(turn) * group
        end = min(first + group, images)
        for begin in range(first * strips, end * strips, many):
            here = min(many, end * strips - begin)
            for s in range(here):
                image, top = (begin + s) // strips, (begin + s) % strips * 4 * rows
                for block in range(0, channels, n):
                    c = min(block, channels - n)
                    _gather(x, (image * channels + c) * height * width, height, width, top, 4 * rows + 2, pad_h, pad_w, row,
                            turned[thread], padded[thread])
                    for tile in range(strip):
                        transform_pixels(padded[thread], (tile // across * row + tile % across) * 4 * n, row * n, d[thread],
                                         (s * strip + tile) * channels + c, place_d)
            for left in range(0, blocks, FILTERS // n):
                right = min(left + FILTERS // n, blocks)
                line = (right - left) * n
                for k in range(PLACES):
                    for block in range(left, right, 2):
                        panel, step = panel_of(block, blocks, n, PLACES * channels)
                        multiply_panels(d[thread], k * place_d, channels, 1, here * strip, g, panel + k * channels * step, step,
                                        channels, m[thread], k * place_m + (block - left) * n, line, False)
                for s in range(here):
                    image, top = (begin + s) // strips, (begin + s) % strips * 4 * rows
                    height_here = min(4 * rows, oh - top)
                    for block in range(left, right):
                        transform_strip(m[thread], s * strip * line + (block - left) * n, line, place_m, rows, across, height_here,
                                        ow, turned[thread])
                        to = ((image * filters + min(block * n, filters - n)) * oh + top) * ow
                        _scatter(turned[thread], height_here * ow, maps, to, oh * ow)
        for image in range(first, end):
            finish_image(out, image, finish)


@inline
def _start(block, size, count):
    """Where block `block` of `size` of `count` channels begins: the last one earlier, if it would not be full."""
    return min(block * size, max(0, count - size))


@parallel
def _weight_grad(dout, dout_shape, x, x_shape, pad, many, rows, deep, wide, padded, whole, turned, d, e, sums):
    """dout and x flat; sums (B, blocks, 36 places) over B parts of the batch, each of consecutive images, of every block of
    C' = deep channels and F' = wide filters; a place: C' rows, rounded up to TALL, of F', and n more.

    Scratch a thread: padded and whole, zeros, the pixels and the gradients of a strip; turned (P, n); d (36, T C'); e (36, T F').
    """
    images, filters, oh, ow = dout_shape
    channels, height, width = x_shape[1:]
    n, place_d, place_e = lanes(dout), d.shape[2], e.shape[2]
    parts, blocks, place = sums.shape[0], sums.shape[1], sums.shape[2] // PLACES
    across, strips = (ow + 3) // 4, ((oh + 3) // 4 + rows - 1) // rows
    strip, row, columns = rows * across, 4 * across + 2, (filters + wide - 1) // wide
    for turn in prange(parts * blocks):
        thread, part, block = get_thread_id(), np.int64(turn) // blocks, np.int64(turn) % blocks
        c_first, f_first = _start(block // columns, deep, channels), _start(block % columns, wide, filters)
        first, end = part * images // parts * strips, (part + 1) * images // parts * strips
        for begin in range(first, end, many):
            here = min(many, end - begin)
            tiles = here * strip
            for s in range(here):
                image, top = (begin + s) // strips, (begin + s) % strips * 4 * rows
                for b in range(deep // n):
                    c = min(c_first + b * n, channels - n)
                    _gather(x, (image * channels + c) * height * width, height, width, top, 4 * rows + 2, pad, pad, row,
                            turned[thread], padded[thread])
                    to, step = panel_of(b, deep // n, n, tiles)
                    for tile in range(strip):
                        transform_pixels(padded[thread], (tile // across * row + tile % across) * 4 * n, row * n, d[thread],
                                         to + (s * strip + tile) * step, place_d)
                for b in range(wide // n):
                    f = min(f_first + b * n, filters - n)
                    _gather(dout, (image * filters + f) * oh * ow, oh, ow, top, 4 * rows, 0, 0, 4 * across,
                            turned[thread], whole[thread])
                    to, step = panel_of(b, wide // n, n, tiles)
                    for tile in range(strip):
                        at = (tile // across * 4 * across + tile % across) * 4 * n
                        transform_gradients(whole[thread], at, 4 * across * n, e[thread], to + (s * strip + tile) * step, place_e)
            for k in range(PLACES):
                for b in range(0, wide // n, 2):
                    right, right_step = panel_of(b, wide // n, n, tiles)
                    for c in range(0, deep // n, 2):
                        left, left_step = panel_of(c, deep // n, n, tiles)
                        multiply_panels(d[thread], k * place_d + left, 1, left_step, left_step,
                                  e[thread], k * place_e + right, right_step, tiles,
                                  sums[part, block], k * place + c * n * wide + b * n, wide, begin > first)


@parallel
def _add_parts(sums):
    """sums[0] += sums[1] + ..., in this order."""
    parts, blocks, length = sums.shape
    piece = length // PLACES
    for turn in prange(blocks * PLACES):
        block, first = turn // PLACES, turn % PLACES * piece
        for part in range(1, parts):
            for i in range(first, first + piece):
                sums[0, block, i] += sums[part, block, i]


@parallel
def _transform_sums(sums, deep, wide, taps, dw):
    """sums (blocks, 36 places), as in `_weight_grad` -> dw (F, C, 3, 3): G^T s G. Scratch a thread: taps (9, n)."""
    filters, channels = dw.shape[:2]
    n, place = lanes(taps), sums.shape[1] // PLACES
    columns = (filters + wide - 1) // wide
    for turn in prange(len(sums) * deep):
        thread, block, line = get_thread_id(), np.int64(turn) // deep, np.int64(turn) % deep
        c = min(_start(block // columns, deep, channels) + line // n * n, channels - n) + line % n
        for b in range(0, wide, n):
            f = min(_start(block % columns, wide, filters) + b, filters - n)
            transform_sums(sums[block], line * wide + b, place, taps[thread], 0)
            for lane in range(n):
                for tap in range(9):
                    dw[f + lane, c, tap // 3, tap % 3] = taps[thread, tap * n + lane]
