"""Convolution without columns: vectors of neighbouring pixels are read where they lie, in the padded image.

The im2col matrix repeats every pixel KH*KW times, and even a tile of it has to be written and read back. But its row for the kernel
tap (i, j) is the padded image itself, shifted by i rows and j columns: a fixed distance in memory. So the product of `tiles.py`
needs no columns, only a table of distances, one a tap. With a stride s the pixels that neighbours see are s apart; they become
neighbours in memory when the padded image is stored by phase, first the columns 0, s, 2s, ... of a row, then 1, s + 1, ...

    N image   C channel in   F filter   OH OW output   T = KH*KW taps   P = OH*OW   n lanes of a vector   s stride

It takes rows of whole half-vectors, OW a multiple of n / 2: the nets' maps of 32, 16 and 8 pixels. Others go by tiles. A
vector's halves may lie in two rows; where rows are whole vectors (`whole`), they never do.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.compile import inline, parallel
from resnet_np.kernels.conv.finish import finish_image
from resnet_np.kernels.conv.partials import add_parts, parts
from resnet_np.kernels.conv.tiles import round_up
from resnet_np.kernels.simd import (
    VECTOR_BYTES,
    broadcast,
    evens,
    lanes,
    load,
    load_two,
    lower,
    multiply_add,
    odds,
    store,
    store_two,
    transpose,
    upper,
    zero,
)
from resnet_np.workspace import empty

ROWS, TAPS = 4, 6  # filters of a register block, taps of the weight gradient's; the width of either is two vectors
CHUNK_BYTES = 16 << 10  # of the output gradient that the weight gradient goes through at a time: half of the L1 cache


def fits(width, dtype):
    """Whether rows of `width` pixels consist of whole half-vectors."""
    return width % (VECTOR_BYTES // np.dtype(dtype).itemsize // 2) == 0


def correlate(x, w, stride, pad_h, pad_w, finish):
    """x (N, C, H, W), w (F, C, KH, KW) -> out (N, F, OH, OW); OW of whole half-vectors."""
    images, channels, height, width = x.shape
    filters, _, kh, kw = w.shape
    oh, ow = (height + 2 * pad_h - kh) // stride + 1, (width + 2 * pad_w - kw) // stride + 1
    half = -(-(width + 2 * pad_w) // stride)
    padded = _zeros((get_num_threads(), channels, (height + 2 * pad_h) * stride * half), x.dtype)
    edge = empty((get_num_threads(), ROWS, 2 * VECTOR_BYTES // x.itemsize), x.dtype)
    out = empty((images, filters, oh, ow), x.dtype)
    _correlate(x, _packed(w), stride, pad_h, pad_w, ow, half, _taps(kh, kw, stride, half), padded, edge, finish,
               out.reshape(images, filters, -1))
    return out


def input_grad(dout, w, *, x_shape, stride, pad):
    """dout (N, F, OH, OW), w (F, C, KH, KW) -> dx of shape x_shape; W / stride pixels make whole half-vectors.

    A pixel in row y sees dout through the taps i with (y + pad - i) divisible by the stride: those of one phase, (y + pad) % s.
    So the pixels of one phase are a correlation of dout, backwards, with those taps alone, and dx is s*s of them, interleaved.
    """
    height, width = x_shape[2:]
    _, filters, oh, ow = dout.shape
    before = (max(w.shape[2:]) - 1) // stride  # rows and columns of zeros in front of dout: as far as a tap reaches back
    rows, row = before + max(oh, (height - 1 + pad) // stride + 1), before + max(ow, (width - 1 + pad) // stride + 1)
    weights, taps, placed, table = [], [], 0, np.empty((stride, stride, 4), np.int64)
    for y in range(stride):
        for x in range(stride):
            part = w[:, :, (y + pad) % stride::stride, (x + pad) % stride::stride].transpose(1, 0, 2, 3)
            start = (y + pad) // stride * row + (x + pad) // stride
            table[y, x] = placed, len(taps), part.shape[2] * part.shape[3], start
            weights.append(_packed(part))
            placed += len(weights[-1])
            taps += [(before - i) * row + before - j for i in range(part.shape[2]) for j in range(part.shape[3])]
    threads, block = get_num_threads(), 2 * VECTOR_BYTES // dout.itemsize
    padded = _zeros((threads, filters, rows * row), dout.dtype)
    edge = empty((threads, stride, ROWS * block), dout.dtype)
    dx = empty(x_shape, dout.dtype)
    _input_grad(dout, np.concatenate(weights), np.array(taps, np.int64), table, before, row, padded, edge, dx)
    return dx


def weight_grad(dout, x, *, w_shape, stride, pad):
    """dout (N, F, OH, OW), x (N, C, H, W) -> dw of shape w_shape, summed over the batch."""
    images, channels, height, width = x.shape
    filters, _, kh, kw = w_shape
    oh, ow = dout.shape[2:]
    half = -(-(width + 2 * pad) // stride)
    block = 2 * VECTOR_BYTES // x.itemsize
    rows, across = round_up(channels * kh * kw, TAPS), round_up(filters, block)
    chunk = max(1, min(oh, CHUNK_BYTES // (ow * across * x.itemsize)))
    padded = _zeros((get_num_threads(), channels, (height + 2 * pad) * stride * half), x.dtype)
    turned = _zeros((get_num_threads(), chunk * ow, across), x.dtype)
    sums = parts(images, rows, across, x.dtype)
    _weight_grad(dout.reshape(images, filters, -1), x, stride, pad, ow, half, _taps(kh, kw, stride, half), padded, turned, sums)
    return add_parts(sums, w_shape)


def _taps(kh, kw, stride, half):
    """How far from a window's first pixel each of its taps lies, in a padded image that is stored by phase."""
    return np.array([i * stride * half + j % stride * half + j // stride for i in range(kh) for j in range(kw)], np.int64)


def _packed(w):
    """(F, C, KH, KW) -> flat, in the order of use: blocks of 4 filters, channels, taps, the 4 filters side by side."""
    filters, channels, kh, kw = w.shape
    rows = np.zeros((round_up(filters, ROWS), channels, kh * kw), w.dtype)
    rows[:filters] = w.reshape(filters, channels, kh * kw)
    return np.ascontiguousarray(rows.reshape(len(rows) // ROWS, ROWS, channels, kh * kw).transpose(0, 2, 3, 1)).ravel()


def _zeros(shape, dtype):
    out = empty(shape, dtype)
    out[...] = 0
    return out


@inline
def _pad_rows(image, stride, pad_h, pad_w, half, padded):
    """Copy `image` (C, H, W) into the middle of `padded` (C, PH * s * half), every row by phase. The zeros around it stay."""
    channels, height, width = image.shape
    n, plane = lanes(padded), padded.shape[1]
    for c in range(channels):
        for y in range(height):
            row, source = (y + pad_h) * stride * half, (c * height + y) * width
            if stride == 1 and width % n == 0:
                for x in range(0, width, n):
                    store(padded, c * plane + row + pad_w + x, load(image, source + x))
            elif stride == 2 and width % (2 * n) == 0:
                even = c * plane + row + pad_w % 2 * half + pad_w // 2
                odd = c * plane + row + (pad_w + 1) % 2 * half + (pad_w + 1) // 2
                for x in range(0, width, 2 * n):
                    a, b = load(image, source + x), load(image, source + x + n)
                    store(padded, even + x // 2, evens(a, b))
                    store(padded, odd + x // 2, odds(a, b))
            else:
                for phase in range(stride):
                    first = (phase - pad_w) % stride  # the first pixel of this phase
                    to = row + phase * half + (first + pad_w) // stride
                    for k in range((width - first + stride - 1) // stride):
                        padded[c, to + k] = image[c, y, first + k * stride]


@inline
def _correlate_block(packed, w, padded, whole, h0, h1, h2, h3, taps, first_tap, count, out, t0, t1, t2, t3, row):
    """Four filters at two vectors of pixels, in eight registers.

    packed: their weights from index w on. h0 ... h3: where the windows of the four half-vectors begin in a plane of `padded`
    (C, plane). whole: h1 follows h0, and h3 h2.
    taps: distances, `count` of them from first_tap on. out[t0 + k * row ...] ... out[t3 + k * row ...]: filter k, flat.
    """
    s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = zero(out)
    plane = padded.shape[1]
    for c in range(padded.shape[0]):
        for t in range(first_tap, first_tap + count):
            tap = c * plane + taps[t]
            if whole:
                b0, b1 = load(padded, h0 + tap), load(padded, h2 + tap)
            else:
                b0, b1 = load_two(padded, h0 + tap, h1 + tap), load_two(padded, h2 + tap, h3 + tap)
            a0 = broadcast(packed, w)
            s00, s01 = multiply_add(a0, b0, s00), multiply_add(a0, b1, s01)
            a1 = broadcast(packed, w + 1)
            s10, s11 = multiply_add(a1, b0, s10), multiply_add(a1, b1, s11)
            a2 = broadcast(packed, w + 2)
            s20, s21 = multiply_add(a2, b0, s20), multiply_add(a2, b1, s21)
            a3 = broadcast(packed, w + 3)
            s30, s31 = multiply_add(a3, b0, s30), multiply_add(a3, b1, s31)
            w += 4
    store_two(out, t0, t1, s00)
    store_two(out, t2, t3, s01)
    store_two(out, t0 + row, t1 + row, s10)
    store_two(out, t2 + row, t3 + row, s11)
    store_two(out, t0 + 2 * row, t1 + 2 * row, s20)
    store_two(out, t2 + 2 * row, t3 + 2 * row, s21)
    store_two(out, t0 + 3 * row, t1 + 3 * row, s30)
    store_two(out, t2 + 3 * row, t3 + 3 * row, s31)


@inline
def _three_places(p0, pixels, half, whole):
    """Where the half-vectors behind the one at p0 begin; beyond the last one, or the last two, it or they again."""
    p2 = min(p0 + 2 * half, pixels - (2 * half if whole else half))
    return min(p0 + half, pixels - half), p2, min(p0 + 3 * half, pixels - half)


@parallel
def _correlate(x, packed, stride, pad_h, pad_w, ow, half_row, taps, padded, edge, finish, out):
    """out (N, F, P). Scratch a thread: padded (C, PH * s * half_row), zeros; edge (4, 2 n)."""
    images, filters, pixels = out.shape
    depth, count, half, row = x.shape[1] * taps.shape[0], taps.shape[0], lanes(out) // 2, stride * stride * half_row
    whole = ow % (2 * half) == 0
    for image in prange(images):
        thread = get_thread_id()
        _pad_rows(x[image], stride, pad_h, pad_w, half_row, padded[thread])
        for p0 in range(0, pixels, 4 * half):
            p1, p2, p3 = _three_places(p0, pixels, half, whole)
            h0, h1 = p0 // ow * row + p0 % ow, p1 // ow * row + p1 % ow
            h2, h3 = p2 // ow * row + p2 % ow, p3 // ow * row + p3 % ow
            for f in range(0, filters, ROWS):
                if f + ROWS <= filters:
                    to = (image * filters + f) * pixels
                    _correlate_block(packed, f * depth, padded[thread], whole, h0, h1, h2, h3, taps, 0, count,
                                     out, to + p0, to + p1, to + p2, to + p3, pixels)
                else:  # at an edge: compute the whole block, keep the part that exists
                    _correlate_block(packed, f * depth, padded[thread], whole, h0, h1, h2, h3, taps, 0, count,
                                     edge[thread], 0, half, 2 * half, 3 * half, 4 * half)
                    for k in range(filters - f):
                        for lane in range(half):
                            out[image, f + k, p0 + lane] = edge[thread, k, lane]
                            out[image, f + k, p1 + lane] = edge[thread, k, half + lane]
                            out[image, f + k, p2 + lane] = edge[thread, k, 2 * half + lane]
                            out[image, f + k, p3 + lane] = edge[thread, k, 3 * half + lane]
        finish_image(out, image, finish)


@parallel
def _input_grad(dout, packed, taps, table, before, row, padded, edge, dx):
    """table (s, s, 4): of the pixels (y, x), (y, x + s), ... (y + s, x), ...: first weight, first tap, number of taps, and where in
    `padded` the first of them begins. Scratch a thread: padded (F, rows * row), zeros; edge (s, 4 * 2 n)."""
    images, channels, height, width = dx.shape
    filters, stride, n = dout.shape[1], table.shape[0], lanes(edge)
    columns, half = width // stride, n // 2
    whole = columns % n == 0
    for image in prange(images):
        thread = get_thread_id()
        _pad_rows(dout[image], 1, before, before, row, padded[thread])
        for y in range(stride):
            pixels = (height - y + stride - 1) // stride * columns
            for c in range(0, channels, ROWS):
                for p0 in range(0, pixels, 4 * half):
                    p1, p2, p3 = _three_places(p0, pixels, half, whole)
                    h0, h1 = p0 // columns * row + p0 % columns, p1 // columns * row + p1 % columns
                    h2, h3 = p2 // columns * row + p2 % columns, p3 // columns * row + p3 % columns
                    for x in range(stride):
                        w, tap, count, start = table[y, x, 0], table[y, x, 1], table[y, x, 2], table[y, x, 3]
                        to = x * edge.shape[2]
                        _correlate_block(packed, w + c * filters * count, padded[thread], whole, start + h0, start + h1, start + h2,
                                         start + h3, taps, tap, count, edge[thread], to, to + half, to + 2 * half, to + 3 * half,
                                         4 * half)
                    for k in range(min(ROWS, channels - c)):
                        for pair in range(2):
                            p, q, source = p2 if pair else p0, p3 if pair else p1, (2 * k + pair) * n
                            to = ((image * channels + c + k) * height + y) * width
                            if stride == 2:
                                a, b = load(edge[thread], source), load(edge[thread], edge.shape[2] + source)
                                store(dx, to + p // columns * 2 * width + p % columns * 2, lower(a, b))
                                store(dx, to + q // columns * 2 * width + q % columns * 2, upper(a, b))
                            else:
                                for lane in range(half):
                                    for x in range(stride):
                                        i, j = y + p // columns * stride, (p % columns + lane) * stride + x
                                        dx[image, c + k, i, j] = edge[thread, x, source + lane]
                                        i, j = y + q // columns * stride, (q % columns + lane) * stride + x
                                        dx[image, c + k, i, j] = edge[thread, x, source + half + lane]


@inline
def _weight_block(padded, r0, r1, r2, r3, r4, r5, rows, row, ow, turned, f, sums, first, across):
    """Six taps at two vectors of filters, summed over `rows` rows of pixels, in twelve registers.

    r0 ... r5: where the taps lie in `padded` at the first pixel, counted flat; row: from there to the next row of pixels.
    turned (rows * OW, F): the output gradient, filters side by side, read from column f on. sums[first + k * across ...]: tap k.
    """
    n = lanes(sums)
    p1, p2, p3, p4, p5 = first + across, first + 2 * across, first + 3 * across, first + 4 * across, first + 5 * across
    s00, s01 = load(sums, first), load(sums, first + n)
    s10, s11 = load(sums, p1), load(sums, p1 + n)
    s20, s21 = load(sums, p2), load(sums, p2 + n)
    s30, s31 = load(sums, p3), load(sums, p3 + n)
    s40, s41 = load(sums, p4), load(sums, p4 + n)
    s50, s51 = load(sums, p5), load(sums, p5 + n)
    for y in range(rows):
        for x in range(y * row, y * row + ow):
            b0, b1 = load(turned, f), load(turned, f + n)
            a0 = broadcast(padded, r0 + x)
            s00, s01 = multiply_add(a0, b0, s00), multiply_add(a0, b1, s01)
            a1 = broadcast(padded, r1 + x)
            s10, s11 = multiply_add(a1, b0, s10), multiply_add(a1, b1, s11)
            a2 = broadcast(padded, r2 + x)
            s20, s21 = multiply_add(a2, b0, s20), multiply_add(a2, b1, s21)
            a3 = broadcast(padded, r3 + x)
            s30, s31 = multiply_add(a3, b0, s30), multiply_add(a3, b1, s31)
            a4 = broadcast(padded, r4 + x)
            s40, s41 = multiply_add(a4, b0, s40), multiply_add(a4, b1, s41)
            a5 = broadcast(padded, r5 + x)
            s50, s51 = multiply_add(a5, b0, s50), multiply_add(a5, b1, s51)
            f += across
    store(sums, first, s00)
    store(sums, first + n, s01)
    store(sums, p1, s10)
    store(sums, p1 + n, s11)
    store(sums, p2, s20)
    store(sums, p2 + n, s21)
    store(sums, p3, s30)
    store(sums, p3 + n, s31)
    store(sums, p4, s40)
    store(sums, p4 + n, s41)
    store(sums, p5, s50)
    store(sums, p5 + n, s51)


@parallel
def _weight_grad(dout, x, stride, pad, ow, half, taps, padded, turned, sums):
    """dout (N, F, P); sums (B, K rounded up, F rounded up): B sums over consecutive images, K = C*T.

    Scratch a thread: padded (C, PH * s * half), zeros; turned (pixels of a chunk, F rounded up), zeros beyond F.
    """
    images, filters, pixels = dout.shape
    partials, rows, across = sums.shape
    count, plane, depth, n = taps.shape[0], padded.shape[2], x.shape[1] * taps.shape[0], lanes(sums)
    for b in prange(partials):
        thread = get_thread_id()
        sums[b] = 0
        for image in range(b * images // partials, (b + 1) * images // partials):
            _pad_rows(x[image], stride, pad, pad, half, padded[thread])
            for first in range(0, pixels, turned.shape[1]):
                here = min(turned.shape[1], pixels - first)
                for p in range(0, here, n):
                    for f in range(0, filters, n):
                        if f + n <= filters and p + n <= here:
                            at = (image * filters + f) * pixels + first + p
                            transpose(dout, at, pixels, turned[thread], p * across + f, across)
                        else:
                            for k in range(f, min(f + n, filters)):
                                for lane in range(min(n, here - p)):
                                    turned[thread, p + lane, k] = dout[image, k, first + p + lane]
                row = stride * stride * half  # from a row of output pixels to the next
                start = first // ow * row
                for k in range(0, rows, TAPS):
                    last = depth - 1  # beyond it, the last tap again: nobody reads those sums
                    k1, k2, k3, k4, k5 = min(k + 1, last), min(k + 2, last), min(k + 3, last), min(k + 4, last), min(k + 5, last)
                    r0, r1 = start + k // count * plane + taps[k % count], start + k1 // count * plane + taps[k1 % count]
                    r2, r3 = start + k2 // count * plane + taps[k2 % count], start + k3 // count * plane + taps[k3 % count]
                    r4, r5 = start + k4 // count * plane + taps[k4 % count], start + k5 // count * plane + taps[k5 % count]
                    for f in range(0, across, 2 * n):
                        _weight_block(padded[thread], r0, r1, r2, r3, r4, r5, here // ow, row, ow, turned[thread], f, sums,
                                      (b * rows + k) * across + f, across)
