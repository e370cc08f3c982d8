"""Winograd's convolution in bf16, channels last: 3x3 filters, stride 1, and the weight gradient of the same.

This is F(2x2, 3x3), whose sums winograd.py explains, as Lavin and Gray write it (2015, "Fast Algorithms for Convolutional Neural
Networks", section 4.1):

    out = A^T [ (G w G^T) * (B^T d B) ] A,      dw = G^T [ (B^T d B) * (A dout A^T) ] G,      * is place by place

With the channels of a pixel side by side in memory a vector is 16 channels of one pixel: transforms are additions of whole vectors,
and need no shuffles. Transforms are taken in float32; what they give is rounded to bf16 for the products, whose sums are float32.
That costs little: of random data the error of the output, over its deviation, is 3.5e-3, where a direct product in bf16 has 2.3e-3.
F(4x4), at the points 0, 1, -1, 2, -2, would have 2.2e-2: its transforms multiply by up to 8 and subtract what is nearly equal.

    N image   C channel in, F filter, both multiples of 16   H W pixels of x and of out   T tiles of 2x2 outputs   16 places

What lies outside of a map counts as 0: it is not in memory, and is not read.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.bfloat import (
    LANES,
    add,
    load,
    narrow,
    narrow_pairs,
    pixel,
    store,
    subtract,
    to_bits,
    widen,
    zero,
)
from resnet_np.kernels.compile import inline, parallel
from resnet_np.kernels.conv.bf16_finish import finish_image, finish_vector
from resnet_np.kernels.conv.bf16_product import ROWS, multiply_all, multiply_rows, multiply_turned
from resnet_np.kernels.conv.partials import add_parts, parts
from resnet_np.workspace import empty

PLACES = 16
APART = 64  # bytes between the places in scratch: at powers of two they would share the same few lines of the L1 cache
TILES = 64  # computed together, if a row of tiles has not more: their products fit the L2 cache
LARGE = 256 * 128  # channels times filters, from which on the weight gradient's sums fit no cache of a core
CHUNK_BYTES = 1 << 24  # of transformed tiles at a time: they fit the last-level cache


def suits(w_shape, stride, pad):
    """Whether the convolution can be computed so."""
    filters, channels, kh, kw = w_shape
    return (kh, kw, stride, pad) == (3, 3, 1, 1) and filters % LANES == channels % LANES == 0


def correlate(x, w, turned, finish):
    """x (N, H, W, C) uint16, w (F, C, 3, 3) float32 -> out (N, H, W, F). finish: what is done to out, see bf16_finish.

    turned: w is (C, F, 3, 3), the filters of the forward pass, and this is the way back through it: they are turned by 180 degrees.
    """
    images, height, width, channels = x.shape
    filters, threads = w.shape[1 if turned else 0], get_num_threads()
    group, rows, tiles = _block(height, width, 1)
    u = empty((PLACES, channels // 2, filters, 2), np.uint16)
    d = empty((threads, PLACES, tiles * channels + APART // 2), np.uint16)
    m = empty((threads, PLACES, tiles * filters + APART // 4), np.float32)
    out = empty((images, height, width, filters), np.uint16)
    _transform_filters(w, turned, u)
    _correlate(x, u, group, rows, d, m, finish, out)
    return out


def weight_grad(dout, x):
    """dout (N, H, W, F), x (N, H, W, C), uint16 -> dw (F, C, 3, 3) float32, summed over the batch."""
    images, height, width, channels = x.shape
    filters, threads = dout.shape[3], get_num_threads()
    if channels * filters >= LARGE:
        return _weight_grad_of_many(dout, x)
    group, rows, pairs = _block(height, width, 2)
    d = empty((threads, PLACES, pairs * channels * 2 + APART // 2), np.uint16)
    e = empty((threads, PLACES, pairs * filters * 2 + APART // 2), np.uint16)
    sums = empty((threads, PLACES, channels * filters + APART // 4), np.float32)
    total = parts(images, 9 * channels, filters, np.float32)
    _weight_grad(dout, x, group, rows, d, e, sums, total)
    return add_parts(total, (filters, channels, 3, 3), 1 / 4)


def _weight_grad_of_many(dout, x):
    """The same for many channels, whose sums fit no cache: all tiles of a chunk of the batch are transformed first, so that the
    sums are fetched once a chunk. Threads share channels."""
    images, height, width, channels = x.shape
    filters, pairs = dout.shape[3], (height + 1) // 2 * ((width + 3) // 4)
    chunk = max(1, CHUNK_BYTES // (PLACES * pairs * 4 * (channels + filters)))  # images
    sums, total = empty((PLACES, channels, filters), np.float32), empty((1, 9 * channels, filters), np.float32)
    for first in range(0, images, chunk):
        count = min(chunk, images - first) * pairs
        d, e = (empty((PLACES, count, 2 * across + APART // 2), np.uint16) for across in (channels, filters))
        _transform_all(dout[first:first + chunk], x[first:first + chunk], d, e)
        multiply_all(d, e, sums, first > 0)
    _transform_all_sums(sums, total)
    return add_parts(total, (filters, channels, 3, 3), 1 / 4)


def _block(height, width, together):
    """What is computed together: images, rows of tiles, and how many tiles (or pairs of neighbours) that is, in whole blocks."""
    high, wide = -(-height // 2), -(-width // 2)
    group, rows = max(1, TILES // (high * wide)), max(1, min(high, TILES // wide))
    return group, rows, -(-group * rows * -(-wide // together) // ROWS) * ROWS


@inline
def _spread(g0, g1, g2):
    """G g."""
    half = np.float32(0.5)
    return g0, half * (g0 + g1 + g2), half * (g0 - g1 + g2), g2


@parallel
def _transform_filters(w, turned, u):
    """w (F, C, 3, 3), or (C, F, 3, 3) if `turned` -> u (16, C / 2, F, 2): G w G^T."""
    pairs, filters = u.shape[1:3]
    for pair in prange(pairs):
        for f in range(filters):
            for half in range(2):
                c = 2 * pair + half
                v = w[c, f, ::-1, ::-1] if turned else w[f, c]
                left = _spread(v[0, 0], v[1, 0], v[2, 0])
                middle = _spread(v[0, 1], v[1, 1], v[2, 1])
                right = _spread(v[0, 2], v[1, 2], v[2, 2])
                for i in range(4):
                    four = _spread(left[i], middle[i], right[i])
                    for j in range(4):
                        u[4 * i + j, pair, f, half] = to_bits(four[j])


@inline
def _differences(a, b, c, d):
    """B^T d, of vectors."""
    return subtract(a, c), add(b, c), subtract(c, b), subtract(b, d)


@inline
def _column(x, at, row, inside, top, third, bottom):
    """B^T of four pixels, one below the other, from x[at] on; top, third, bottom: whether those are in the map, if `inside`."""
    return _differences(pixel(x, inside & top, at), pixel(x, inside, at + row), pixel(x, inside & third, at + 2 * row),
                        pixel(x, inside & bottom, at + 3 * row))


@inline
def _narrow_four(d, to, place, vectors):
    narrow(d, to, vectors[0])
    narrow(d, to + place, vectors[1])
    narrow(d, to + 2 * place, vectors[2])
    narrow(d, to + 3 * place, vectors[3])


@inline
def _transform_pixels(x, image, y, d, to, block, place, wide):
    """B^T d B of the tiles of one row, whose outputs are in rows 2y and 2y + 1; into d: 16 channels of a tile lie from
    to + k * place + c // 16 * block + tile * 16 on."""
    height, width, channels = x.shape[1:]
    row = width * channels
    top, third, bottom = y > 0, 2 * y + 1 < height, 2 * y + 2 < height
    for c in range(0, channels, LANES):
        at = image * height * row + (2 * y - 1) * row + c
        p0, p1, p2, p3 = zero(), zero(), zero(), zero()
        q0, q1, q2, q3 = _column(x, at, row, True, top, third, bottom)
        for tile in range(wide):  # two columns of pixels are those of the tile before
            r0, r1, r2, r3 = _column(x, at + channels, row, 2 * tile + 1 < width, top, third, bottom)
            s0, s1, s2, s3 = _column(x, at + 2 * channels, row, 2 * tile + 2 < width, top, third, bottom)
            target = to + c // LANES * block + tile * LANES
            _narrow_four(d, target, place, _differences(p0, q0, r0, s0))
            _narrow_four(d, target + 4 * place, place, _differences(p1, q1, r1, s1))
            _narrow_four(d, target + 8 * place, place, _differences(p2, q2, r2, s2))
            _narrow_four(d, target + 12 * place, place, _differences(p3, q3, r3, s3))
            p0, p1, p2, p3 = r0, r1, r2, r3
            q0, q1, q2, q3 = s0, s1, s2, s3
            at += 2 * channels


@inline
def _two_outputs(a, b, c, d):
    """A^T m, of vectors."""
    return add(a, add(b, c)), subtract(subtract(b, c), d)


@inline
def _two_outputs_at(m, at, place):
    return _two_outputs(load(m, at), load(m, at + place), load(m, at + 2 * place), load(m, at + 3 * place))


@inline
def _transform_products(m, first, place, out, image, y, finish, wide):
    """A^T m A of the tiles of one row, at m[first + k * place + tile * F + f], finished, into rows 2y and 2y + 1 of out."""
    height, width, filters = out.shape[1:]
    below = 2 * y + 1 < height
    for f in range(0, filters, LANES):
        for tile in range(wide):
            at = first + tile * filters + f
            a0, a1 = _two_outputs_at(m, at, place)
            b0, b1 = _two_outputs_at(m, at + 4 * place, place)
            c0, c1 = _two_outputs_at(m, at + 8 * place, place)
            d0, d1 = _two_outputs_at(m, at + 12 * place, place)
            upper, lower = _two_outputs(a0, b0, c0, d0)
            to = ((image * height + 2 * y) * width + 2 * tile) * filters + f
            under, right = to + width * filters, 2 * tile + 1 < width
            narrow(out, to, finish_vector(upper, f, to, finish))
            if below:
                narrow(out, under, finish_vector(lower, f, under, finish))
            upper, lower = _two_outputs(a1, b1, c1, d1)
            if right:
                narrow(out, to + filters, finish_vector(upper, f, to + filters, finish))
            if right and below:
                narrow(out, under + filters, finish_vector(lower, f, under + filters, finish))


@parallel
def _correlate(x, u, group, rows, d, m, finish, out):
    """group, rows: images and rows of tiles that are computed together.

    Scratch a thread, of each place: d (C / 16, T, 16) uint16, m (T, F) float32.
    """
    images, height, width, channels = x.shape
    filters = out.shape[3]
    high, wide = (height + 1) // 2, (width + 1) // 2
    d_place, m_place = d.shape[2], m.shape[2]
    block = d_place // channels * LANES
    for turn in prange((images + group - 1) // group):
        thread, first_image = get_thread_id(), np.int64(turn) * group
        many = min(group, images - first_image)
        for first in range(0, high, rows):
            here = min(rows, high - first)
            for r in range(many * here):
                _transform_pixels(x, first_image + r // here, first + r % here, d[thread], r * wide * LANES, block, d_place, wide)
            for k in range(PLACES):
                multiply_rows(d[thread], k * d_place, block, many * here * wide, u, k * channels * filters, channels // LANES,
                              m[thread], k * m_place, filters, False)
            for r in range(many * here):
                _transform_products(m[thread], r * wide * filters, m_place, out, first_image + r // here, first + r % here, finish,
                                    wide)
        for image in range(first_image, first_image + many):
            finish_image(out, image, finish)


@inline
def _narrow_pairs_four(d, to, place, first, second):
    narrow_pairs(d, to, first[0], second[0])
    narrow_pairs(d, to + place, first[1], second[1])
    narrow_pairs(d, to + 2 * place, first[2], second[2])
    narrow_pairs(d, to + 3 * place, first[3], second[3])


@inline
def _transform_pixels_in_pairs(x, image, y, d, to, step, place, wide):
    """As `_transform_pixels`, of two neighbouring tiles at a time: into d[to + k * place + pair * step + 2c + tile % 2]."""
    height, width, channels = x.shape[1:]
    row = width * channels
    top, third, bottom = y > 0, 2 * y + 1 < height, 2 * y + 2 < height
    for c in range(0, channels, LANES):
        at = image * height * row + (2 * y - 1) * row + c
        p0, p1, p2, p3 = zero(), zero(), zero(), zero()
        q0, q1, q2, q3 = _column(x, at, row, True, top, third, bottom)
        for tile in range(0, wide, 2):
            r0, r1, r2, r3 = _column(x, at + channels, row, 2 * tile + 1 < width, top, third, bottom)
            s0, s1, s2, s3 = _column(x, at + 2 * channels, row, 2 * tile + 2 < width, top, third, bottom)
            t0, t1, t2, t3 = _column(x, at + 3 * channels, row, 2 * tile + 3 < width, top, third, bottom)
            u0, u1, u2, u3 = _column(x, at + 4 * channels, row, 2 * tile + 4 < width, top, third, bottom)
            target = to + tile // 2 * step + 2 * c
            _narrow_pairs_four(d, target, place, _differences(p0, q0, r0, s0), _differences(r0, s0, t0, u0))
            _narrow_pairs_four(d, target + 4 * place, place, _differences(p1, q1, r1, s1), _differences(r1, s1, t1, u1))
            _narrow_pairs_four(d, target + 8 * place, place, _differences(p2, q2, r2, s2), _differences(r2, s2, t2, u2))
            _narrow_pairs_four(d, target + 12 * place, place, _differences(p3, q3, r3, s3), _differences(r3, s3, t3, u3))
            p0, p1, p2, p3 = t0, t1, t2, t3
            q0, q1, q2, q3 = u0, u1, u2, u3
            at += 4 * channels


@inline
def _four_of_two(a, b):
    """A dy, of vectors: the adjoint of `_two_outputs`."""
    return a, add(a, b), subtract(a, b), subtract(zero(), b)


@inline
def _transform_gradients(dout, image, y, e, to, step, place, wide):
    """A dy A^T of two neighbouring tiles at a time; 0 for what lies outside. Into e as `_transform_pixels_in_pairs` into d."""
    height, width, filters = dout.shape[1:]
    row, below = width * filters, 2 * y + 1 < height
    for f in range(0, filters, LANES):
        at = (image * height + 2 * y) * row + f
        for tile in range(0, wide, 2):
            b, c, d = 2 * tile + 1 < width, 2 * tile + 2 < width, 2 * tile + 3 < width
            a0, a1, a2, a3 = _four_of_two(widen(dout, at), pixel(dout, below, at + row))
            b0, b1, b2, b3 = _four_of_two(pixel(dout, b, at + filters), pixel(dout, b & below, at + row + filters))
            c0, c1, c2, c3 = _four_of_two(pixel(dout, c, at + 2 * filters), pixel(dout, c & below, at + row + 2 * filters))
            d0, d1, d2, d3 = _four_of_two(pixel(dout, d, at + 3 * filters), pixel(dout, d & below, at + row + 3 * filters))
            target = to + tile // 2 * step + 2 * f
            _narrow_pairs_four(e, target, place, _four_of_two(a0, b0), _four_of_two(c0, d0))
            _narrow_pairs_four(e, target + 4 * place, place, _four_of_two(a1, b1), _four_of_two(c1, d1))
            _narrow_pairs_four(e, target + 8 * place, place, _four_of_two(a2, b2), _four_of_two(c2, d2))
            _narrow_pairs_four(e, target + 12 * place, place, _four_of_two(a3, b3), _four_of_two(c3, d3))
            at += 4 * filters


@inline
def _three_taps(s0, s1, s2, s3):
    """2 G^T s, of vectors: the adjoint of `_spread`, twice."""
    both = add(s1, s2)
    return add(add(s0, s0), both), subtract(s1, s2), add(both, add(s3, s3))


@inline
def _three_taps_at(sums, at, place):
    return _three_taps(load(sums, at), load(sums, at + place), load(sums, at + 2 * place), load(sums, at + 3 * place))


@inline
def _transform_sums(sums, first, place, total, first_to, filters):
    """4 G^T s G of all filters of a channel, at sums[first + k * place ...], into total[first_to + (tap number) * F ...]."""
    for f in range(0, filters, LANES):
        at, to, tap = first + f, first_to + f, filters
        a0, a1, a2 = _three_taps_at(sums, at, place)
        b0, b1, b2 = _three_taps_at(sums, at + 4 * place, place)
        c0, c1, c2 = _three_taps_at(sums, at + 8 * place, place)
        d0, d1, d2 = _three_taps_at(sums, at + 12 * place, place)
        _store_column(total, to, tap, _three_taps(a0, b0, c0, d0))
        _store_column(total, to + tap, tap, _three_taps(a1, b1, c1, d1))
        _store_column(total, to + 2 * tap, tap, _three_taps(a2, b2, c2, d2))


@inline
def _store_column(total, to, tap, taps):
    store(total, to, taps[0])
    store(total, to + 3 * tap, taps[1])
    store(total, to + 6 * tap, taps[2])


@parallel
def _weight_grad(dout, x, group, rows, d, e, sums, total):
    """total (B, 9 C, F): the sums over B parts of the batch, each of consecutive images, four times.

    Scratch a thread, of each place: d (T / 2, C, 2) and e (T / 2, F, 2) uint16, sums (C, F) float32.
    """
    images, height, width, channels = x.shape
    filters, count = dout.shape[3], total.shape[0]
    high, wide = (height + 1) // 2, (width + 1) // 2
    pairs = (wide + 1) // 2  # in a row
    d_place, e_place, s_place = d.shape[2], e.shape[2], sums.shape[2]
    for b in prange(count):
        thread = get_thread_id()
        sums[thread] = 0
        last = (b + 1) * images // count
        for first_image in range(b * images // count, last, group):
            many = min(group, last - first_image)
            for first in range(0, high, rows):
                here = min(rows, high - first)
                for r in range(many * here):
                    image, y = first_image + r // here, first + r % here
                    _transform_pixels_in_pairs(x, image, y, d[thread], r * pairs * 2 * channels, 2 * channels, d_place, wide)
                    _transform_gradients(dout, image, y, e[thread], r * pairs * 2 * filters, 2 * filters, e_place, wide)
                for k in range(PLACES):
                    multiply_turned(d[thread], k * d_place, 2 * channels, channels, e[thread], k * e_place, 2 * filters,
                                    many * here * pairs, sums[thread], k * s_place, filters, True)
        for c in range(channels):
            _transform_sums(sums[thread], c * filters, s_place, total[b], 9 * c * filters, filters)


@parallel
def _transform_all(dout, x, d, e):
    """All tiles of a few images, in pairs: d (16, N * T / 2, 2 C and a bit), e (16, N * T / 2, 2 F and a bit)."""
    images, height, width, channels = x.shape
    high, wide = (height + 1) // 2, (width + 1) // 2
    pairs = (wide + 1) // 2
    d_step, e_step = d.shape[2], e.shape[2]
    for turn in prange(images * high):
        image, y = turn // high, turn % high
        _transform_pixels_in_pairs(x, image, y, d, turn * pairs * d_step, d_step, d.shape[1] * d_step, wide)
        _transform_gradients(dout, image, y, e, turn * pairs * e_step, e_step, e.shape[1] * e_step, wide)


@parallel
def _transform_all_sums(sums, total):
    """sums (16, C, F) -> total (1, 9 C, F): four times G^T s G."""
    channels, filters = sums.shape[1:]
    for c in prange(channels):
        _transform_sums(sums, c * filters, channels * filters, total, 9 * c * filters, filters)
