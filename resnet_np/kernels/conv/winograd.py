"""3x3 convolution with less than half of the multiplications: Winograd's F(2x2, 3x3).

Two neighbouring outputs of a filter g = (g0, g1, g2) see four pixels d = (d0, d1, d2, d3):

    y0 = d0 g0 + d1 g1 + d2 g2      y1 = d1 g0 + d2 g1 + d3 g2

That is six products. Four suffice, if the sums of filter taps are formed once for the whole batch:

    m0 = (d0 - d2) g0                       m1 = (d1 + d2) (g0 + g1 + g2)/2
    m3 = (d3 - d1) g2                       m2 = (d2 - d1) (g0 - g1 + g2)/2
    y0 = m0 + m1 + m2                       y1 = m1 - m2 + m3

or y = A^T [(G g) * (B^T d)], with B^T, G and A^T the three sets of sums above. The same along rows and then along columns makes
2x2 outputs of a 4x4 tile of pixels, d, with 16 products in place of 36:

    y = A^T [(G g G^T) * (B^T d B)] A       a product of numbers, in place 0 ... 15 of the tile (k below)

Summed over channels, each of the 16 places is a matrix product: (F, C) times (C, tiles). Everything is linear, so the gradient
with respect to g goes back through the same matrices, transposed, again with 16 products a tile:

    dg = G^T [(B^T d B) * (A dy A^T)] G     summed over tiles and images

Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4. Larger tiles save more products and lose
digits; this one only adds and subtracts (the halves are exact), and its float32 error is that of `direct.py` (test_winograd.py).
What is lost is locality: a NaN or an infinity spoils the four outputs of its tile, also those whose window does not hold it.

    N image   C channel in   F filter   n lanes of a vector   k place in a tile   T tiles of a chunk

It takes stride 1, rows of whole half-vectors, an even number of rows, and at least 8 channels and filters. A vector holds one pixel
of n tiles: every second one of the 2 n pixels of four half-vectors, each of which may lie in another row, or even in another image:
small maps share a vector.
`whole`: rows are whole vectors, so that the first two half-vectors are always one vector, and so are the last two.
Arrays of 16 places are a little longer than they need be: 16 streams a power of two apart would share a few lines of the cache
(transforming 512 x 512 filters took five times as long).
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.compile import inline, parallel
from resnet_np.kernels.conv.direct import fits
from resnet_np.kernels.conv.finish import finish_image
from resnet_np.kernels.conv.partials import add_parts, parts
from resnet_np.kernels.conv.tiles import ROWS, multiply_column, multiply_tile
from resnet_np.kernels.simd import (
    VECTOR_BYTES,
    add,
    evens,
    lanes,
    load,
    load_two,
    lower,
    odds,
    store,
    store_two,
    subtract,
    transpose,
    upper,
)
from resnet_np.workspace import empty

PLACES = 16
LEAST = 8  # channels and filters, of fewer the products do not pay for the sums
CHUNK = 128  # tiles over which the weight gradient's blocks of sums are kept in registers
HALVES = 8  # half-vectors of a block of the forward pass: two vectors of tiles


def suits(w_shape, stride, oh, ow, dtype):
    """Whether a convolution with filters (F, C, KH, KW) and maps of OH x OW outputs can, and should, be done here."""
    filters, channels, *kernel = w_shape
    return kernel == [3, 3] and stride == 1 and oh % 2 == 0 and fits(ow, dtype) and min(filters, channels) >= LEAST


def correlate(x, w, pad_h, pad_w, finish):
    """x (N, C, H, W), w (F, C, 3, 3) -> out (N, F, OH, OW)."""
    images, channels, height, width = x.shape
    filters, threads = len(w), get_num_threads()
    oh, ow, row = height + 2 * pad_h - 2, width + 2 * pad_w - 2, width + 2 * pad_w
    n = VECTOR_BYTES // x.itemsize
    group = max(1, HALVES // (oh // 2 * (ow // (n // 2))))  # images that share a block
    g = empty((PLACES, _round_up(filters, ROWS) * channels + n), x.dtype)
    padded = empty((threads, group, channels, (height + 2 * pad_h) * row), x.dtype)
    g[...] = padded[...] = 0
    d = empty((threads, PLACES, (channels + 1) * 2 * n), x.dtype)
    m = empty((threads, PLACES, (_round_up(filters, ROWS) + 1) * 2 * n), x.dtype)
    places = empty((threads, 2, HALVES), np.int64)
    out = empty((images, filters, oh, ow), x.dtype)
    _transform_filters(w, g)
    _correlate(x, g, pad_h, pad_w, ow, padded, d, m, places, finish, out.reshape(images, filters, -1))
    return out


def weight_grad(dout, x, *, pad):
    """dout (N, F, OH, OW), x (N, C, H, W) -> dw (F, C, 3, 3), summed over the batch."""
    images, channels, height, width = x.shape
    filters, threads = dout.shape[1], get_num_threads()
    n = VECTOR_BYTES // x.itemsize
    rows, across = _round_up(channels, 2 * ROWS), _round_up(filters, n)
    padded = empty((threads, channels, (height + 2 * pad) * (width + 2 * pad)), x.dtype)
    turned = empty((threads, n, across), x.dtype)
    padded[...] = turned[...] = 0
    d = empty((threads, PLACES, rows, CHUNK + n), x.dtype)
    e = empty((threads, PLACES, CHUNK * across + n), x.dtype)
    sums = empty((threads, PLACES, rows * across + n), x.dtype)
    total = parts(images, 9 * channels, across, x.dtype)
    _weight_grad(dout, x, pad, padded, d.reshape(threads, PLACES, -1), d.shape[3], turned, e, sums, total)
    return add_parts(total, (filters, channels, 3, 3), 1 / 4)


def _round_up(count, multiple):
    return -(-count // multiple) * multiple


@inline
def _spread(g0, g1, g2, half):
    """G g: three taps, four factors. half: 1/2 in their dtype."""
    return g0, half * (g0 + g1 + g2), half * (g0 - g1 + g2), g2


@parallel
def _transform_filters(w, g):
    """w (F, C, 3, 3) -> g (16, F rounded up * C + n): G w G^T; in blocks of 4 filters: channels, the 4 filters side by side."""
    filters, channels = w.shape[:2]
    half = w.dtype.type(0.5)
    for f in prange(filters):
        for c in range(channels):
            v = w[f, c]
            left = _spread(v[0, 0], v[1, 0], v[2, 0], half)
            middle = _spread(v[0, 1], v[1, 1], v[2, 1], half)
            right = _spread(v[0, 2], v[1, 2], v[2, 2], half)
            to = f // ROWS * ROWS * channels + c * ROWS + f % ROWS
            for i in range(4):
                g[4 * i, to], g[4 * i + 1, to], g[4 * i + 2, to], g[4 * i + 3, to] = _spread(
                    left[i], middle[i], right[i], half)


@inline
def _pad(image, pad_h, pad_w, row, padded):
    """Copy `image` (C, H, W) into the middle of `padded` (C, PH * PW), PW = row. The zeros around it stay."""
    channels, height, width = image.shape
    n, plane = lanes(padded), padded.shape[1]
    for c in range(channels):
        for y in range(height):
            to, source = c * plane + (y + pad_h) * row + pad_w, (c * height + y) * width
            for x in range(0, width - n + 1, n):
                store(padded, to + x, load(image, source + x))
            for x in range(width // n * n, width):
                padded[c, (y + pad_h) * row + pad_w + x] = image[c, y, x]


@inline
def _sums_of_pixels(p0, p1, p2, p3):
    """B^T d, of vectors."""
    return subtract(p0, p2), add(p1, p2), subtract(p2, p1), subtract(p3, p1)


@inline
def _four_pixels(padded, whole, h0, h1, h2, h3):
    """Of four half-vectors of neighbouring pixels, and the two pixels after each: the first, ... fourth pixel of n tiles."""
    if whole:
        a, b, c, d = load(padded, h0), load(padded, h2), load(padded, h0 + 2), load(padded, h2 + 2)
    else:
        a, b = load_two(padded, h0, h1), load_two(padded, h2, h3)
        c, d = load_two(padded, h0 + 2, h1 + 2), load_two(padded, h2 + 2, h3 + 2)
    return evens(a, b), odds(a, b), evens(c, d), odds(c, d)


@inline
def _transform_pixels(padded, whole, h0, h1, h2, h3, row, d, to, place):
    """B^T d B of n tiles, whose first rows of pixels begin at padded[h0], ... padded[h3], into d[to + k * place ...]."""
    a0, b0, c0, d0 = _four_pixels(padded, whole, h0, h1, h2, h3)
    a1, b1, c1, d1 = _four_pixels(padded, whole, h0 + row, h1 + row, h2 + row, h3 + row)
    a2, b2, c2, d2 = _four_pixels(padded, whole, h0 + 2 * row, h1 + 2 * row, h2 + 2 * row, h3 + 2 * row)
    a3, b3, c3, d3 = _four_pixels(padded, whole, h0 + 3 * row, h1 + 3 * row, h2 + 3 * row, h3 + 3 * row)
    a0, a1, a2, a3 = _sums_of_pixels(a0, a1, a2, a3)
    b0, b1, b2, b3 = _sums_of_pixels(b0, b1, b2, b3)
    c0, c1, c2, c3 = _sums_of_pixels(c0, c1, c2, c3)
    d0, d1, d2, d3 = _sums_of_pixels(d0, d1, d2, d3)
    _store_four(d, to, place, _sums_of_pixels(a0, b0, c0, d0))
    _store_four(d, to + 4 * place, place, _sums_of_pixels(a1, b1, c1, d1))
    _store_four(d, to + 8 * place, place, _sums_of_pixels(a2, b2, c2, d2))
    _store_four(d, to + 12 * place, place, _sums_of_pixels(a3, b3, c3, d3))


@inline
def _store_four(d, to, place, vectors):
    store(d, to, vectors[0])
    store(d, to + place, vectors[1])
    store(d, to + 2 * place, vectors[2])
    store(d, to + 3 * place, vectors[3])


@inline
def _two_outputs(m, at, place):
    """A^T m, of the vectors at four places."""
    m0, m1, m2, m3 = load(m, at), load(m, at + place), load(m, at + 2 * place), load(m, at + 3 * place)
    return add(m0, add(m1, m2)), add(subtract(m1, m2), m3)


@inline
def _transform_products(m, at, place, out, h0, h1, h2, h3, row):
    """A^T m A of n tiles at m[at + k * place ...]: four half-vectors of pixels in each of two rows, at out[h0], ... out[h3]."""
    a0, a1 = _two_outputs(m, at, place)
    b0, b1 = _two_outputs(m, at + 4 * place, place)
    c0, c1 = _two_outputs(m, at + 8 * place, place)
    d0, d1 = _two_outputs(m, at + 12 * place, place)
    even, odd = add(a0, add(b0, c0)), add(a1, add(b1, c1))
    store_two(out, h0, h1, lower(even, odd))
    store_two(out, h2, h3, upper(even, odd))
    even, odd = add(subtract(b0, c0), d0), add(subtract(b1, c1), d1)
    store_two(out, h0 + row, h1 + row, lower(even, odd))
    store_two(out, h2 + row, h3 + row, upper(even, odd))


@parallel
def _correlate(x, g, pad_h, pad_w, ow, padded, d, m, places, finish, out):
    """out (N, F, OH * OW). Scratch a thread: padded (group, C, PH * PW), zeros; d (16, (C + 1) * 2 n); m (16, (F + 1) * 2 n);
    places (2, 8): where the half-vectors of a block begin, in padded and in out."""
    images, filters, pixels = out.shape
    channels, n, group = x.shape[1], lanes(out), padded.shape[1]
    row, plane = ow + 2, padded.shape[3]
    per_row, whole = ow // (n // 2), ow % n == 0
    per_image = pixels // (2 * ow) * per_row
    for turn in prange((images + group - 1) // group):
        thread, first_image = get_thread_id(), np.int64(turn) * group
        here = min(group, images - first_image)
        for i in range(here):
            _pad(x[first_image + i], pad_h, pad_w, row, padded[thread, i])
        source, target = places[thread, 0], places[thread, 1]
        for first in range(0, here * per_image, HALVES):
            for i in range(HALVES):
                # Beyond the last half-vector, or the last two, it or they again.
                half = min(first + i, here * per_image - (2 - i % 2 if whole else 1))
                image, y, left = half // per_image, half % per_image // per_row * 2, half % per_row * (n // 2)
                source[i] = image * channels * plane + y * row + left
                target[i] = (first_image + image) * filters * pixels + y * ow + left
            for c in range(channels):
                for k in range(0, HALVES, 4):
                    at = c * plane
                    _transform_pixels(padded[thread], whole, at + source[k], at + source[k + 1], at + source[k + 2],
                                      at + source[k + 3], row, d[thread], c * 2 * n + k * n // 4, d.shape[2])
            for k in range(PLACES):
                for f in range(0, filters, ROWS):
                    multiply_tile(g, k * g.shape[1] + f * channels, 1, ROWS, d[thread], k * d.shape[2], 2 * n, channels,
                                  m[thread], k * m.shape[2] + f * 2 * n, 2 * n, False)
            for f in range(filters):
                for k in range(0, HALVES, 4):
                    _transform_products(m[thread], f * 2 * n + k * n // 4, m.shape[2], out, f * pixels + target[k],
                                        f * pixels + target[k + 1], f * pixels + target[k + 2], f * pixels + target[k + 3], ow)
        for i in range(here):
            finish_image(out, first_image + i, finish)


@inline
def _transform_gradients(turned, at, row, across, e, to, place):
    """A dy A^T of a tile, n filters, into e[to + k * place ...]; its rows of two pixels: turned[at ...], turned[at + row ...]."""
    a, b = load(turned, at), load(turned, at + across)
    c, d = load(turned, at + row), load(turned, at + row + across)
    _store_four(e, to, place, (a, add(a, b), subtract(a, b), b))
    s, t = add(a, c), add(b, d)
    _store_four(e, to + 4 * place, place, (s, add(s, t), subtract(s, t), t))
    s, t = subtract(a, c), subtract(b, d)
    _store_four(e, to + 8 * place, place, (s, add(s, t), subtract(s, t), t))
    _store_four(e, to + 12 * place, place, (c, add(c, d), subtract(c, d), d))


@inline
def _turn(dout, y, x, turned):
    """Of half a vector of pixels in each of two rows, from dout[f, y, x] on, the filters side by side: turned (n, F rounded up)."""
    filters, oh, ow = dout.shape
    n, across = lanes(dout), turned.shape[1]
    for f in range(0, filters, n):
        if f + n <= filters:
            first = (f * oh + y) * ow + x
            transpose(dout, first, first + ow, oh * ow, turned, f, across)
        else:
            for lane in range(n // 2):
                for k in range(f, filters):
                    turned[lane, k], turned[n // 2 + lane, k] = dout[k, y, x + lane], dout[k, y + 1, x + lane]


@inline
def _three_taps(sums, at, place):
    """2 G^T s, of the vectors at four places: the adjoint of _spread, twice."""
    s0, s1, s2, s3 = load(sums, at), load(sums, at + place), load(sums, at + 2 * place), load(sums, at + 3 * place)
    both = add(s1, s2)
    return add(add(s0, s0), both), subtract(s1, s2), add(both, add(s3, s3))


@inline
def _transform_sums(sums, at, place, total, to, tap):
    """4 G^T s G of n filters at sums[at + k * place ...], into total[to + (tap number) * tap ...]."""
    a0, a1, a2 = _three_taps(sums, at, place)
    b0, b1, b2 = _three_taps(sums, at + 4 * place, place)
    c0, c1, c2 = _three_taps(sums, at + 8 * place, place)
    d0, d1, d2 = _three_taps(sums, at + 12 * place, place)
    _store_column(total, to, tap, a0, b0, c0, d0)
    _store_column(total, to + tap, tap, a1, b1, c1, d1)
    _store_column(total, to + 2 * tap, tap, a2, b2, c2, d2)


@inline
def _store_column(total, to, tap, a, b, c, d):
    both = add(b, c)
    store(total, to, add(add(a, a), both))
    store(total, to + 3 * tap, subtract(b, c))
    store(total, to + 6 * tap, add(both, add(d, d)))


@parallel
def _weight_grad(dout, x, pad, padded, d, depth, turned, e, sums, total):
    """total (B, 9 C, F rounded up): four times the sums over B parts of the batch, each of consecutive images.

    Scratch a thread: padded (C, PH * PW), zeros; d (16, C rounded up * depth), depth = T + n; turned (n, F rounded up), zeros
    beyond F; e (16, T * F rounded up + n); sums (16, C rounded up * F rounded up + n).
    """
    images, filters, oh, ow = dout.shape
    channels, n = x.shape[1], lanes(dout)
    row, plane = ow + 2, padded.shape[2]
    across, count = turned.shape[2], total.shape[0]
    per_row, whole = ow // (n // 2), ow % n == 0
    per_image = oh // 2 * per_row  # half-vectors of pixels, each n / 4 tiles in two rows
    piece = min(per_image, 4 * CHUNK // n)
    for b in prange(count):
        thread = get_thread_id()
        sums[thread] = 0
        filled, last = 0, (b + 1) * images // count - 1
        for image in range(b * images // count, last + 1):
            _pad(x[image], pad, pad, row, padded[thread])
            for first in range(0, per_image, piece):
                here = min(piece, per_image - first)
                for v in range(0, here, 4):
                    # What stands in for a half-vector beyond the last one is overwritten, or not read.
                    h0, h1 = first + v, min(first + v + 1, per_image - 1)
                    h2, h3 = min(first + v + 2, per_image - (2 if whole else 1)), min(first + v + 3, per_image - 1)
                    a0, a1 = h0 // per_row * 2 * row + h0 % per_row * (n // 2), h1 // per_row * 2 * row + h1 % per_row * (n // 2)
                    a2, a3 = h2 // per_row * 2 * row + h2 % per_row * (n // 2), h3 // per_row * 2 * row + h3 % per_row * (n // 2)
                    for c in range(channels):
                        at = c * plane
                        _transform_pixels(padded[thread], whole, at + a0, at + a1, at + a2, at + a3, row, d[thread],
                                          c * depth + filled + v * n // 4, d.shape[2])
                for v in range(here):
                    _turn(dout[image], (first + v) // per_row * 2, (first + v) % per_row * (n // 2), turned[thread])
                    for tile in range(n // 4):
                        to = (filled + v * n // 4 + tile) * across
                        for f in range(0, across, n):
                            _transform_gradients(turned[thread], 2 * tile * across + f, n // 2 * across, across, e[thread], to + f,
                                                 e.shape[2])
                filled += here * n // 4
                if filled + piece * n // 4 > CHUNK or image == last and first + here == per_image:
                    for k in range(PLACES):
                        _add_products(d[thread], k * d.shape[2], depth, e[thread], k * e.shape[2], filled, sums[thread],
                                      k * sums.shape[2], channels, across)
                    filled = 0
        for c in range(channels):
            for f in range(0, across, n):
                _transform_sums(sums[thread], c * across + f, sums.shape[2], total[b], 9 * c * across + f, across)


@inline
def _add_products(d, d_first, depth, e, e_first, tiles, sums, s_first, channels, across):
    """sums (C, F) += d (C, tiles) e (tiles, F), of one place."""
    n = lanes(sums)
    for f in range(0, across - n, 2 * n):
        for c in range(0, channels, ROWS):
            multiply_tile(d, d_first + c * depth, depth, 1, e, e_first + f, across, tiles,
                          sums, s_first + c * across + f, across, True)
    if across // n % 2 == 1:
        for c in range(0, channels, 2 * ROWS):
            multiply_column(d, d_first + c * depth, depth, 1, e, e_first + across - n, across, tiles,
                            sums, s_first + c * across + across - n, across)
