"""Convolution in bf16, compiled by Numba: maps are bf16, channels last; filters are float32, and rounded for the products.

On a CPU with AMX all of it goes by tiles (bf16_direct.py). By vectors 3x3 filters with stride 1 go by Winograd's sums
(bf16_winograd.py), and the rest is the product of im2col, whose rows are cheap to make where channels are last: what a window sees
is, for each of its rows, one piece of memory. Below:

    N image   C channel in   F filter   H W input   KH KW kernel   OH OW output   K = KH*KW*C, even   B pixels of a block

    forward          out (B, F)      =  patches (B, K)    filters (K, F)
    input gradient   patches (B, K)  =  dout (B, F)       filters^T (F, K),     then every patch is added to where it was read
    weight gradient  dw (K, F)       =  patches^T (K, P)  dout (P, F)

all three by `multiply_pairs`, whose sums are float32. Threads share images, for the weight gradient parts of the batch, never sums:
the bits are the same for any number of threads. Where the filters are no multiple of 16, or for an input gradient the channels, it
goes through float32.

Tiles are taken wherever there are any, for every shape. GFLOP/s of the definition's multiplications on two cores of an Intel Xeon
(Emerald Rapids), medians of three turns, 2026-11-29; forward pass, input gradient, weight gradient:

    images, channels, filters, map, kernel         by AMX             by vdpbf16ps
    128    16 ->   16, 32x32, 3x3                  482  504  438      148  170  154    Winograd
    128    64 ->   64, 8x8, 3x3                    762  756  376      245  246  224    Winograd
     16   256 ->  256, 14x14, 3x3                  861  838  462      201  153  164    Winograd
    128    16 ->   32, 32x32, 3x3, stride 2        382  201  287       97   84   81    im2col
     16   256 ->   64, 56x56, 1x1                  329  228  336      105   77   79    im2col
     16   512 -> 2048, 7x7, 1x1                    244  257  197       47   76   70    im2col

There vdpbf16ps runs at half the rate that it has on an AMD EPYC (Zen 4), where Winograd's way was measured at 410.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.bfloat import (
    LANES,
    add,
    copy,
    load,
    narrow,
    narrow_pairs,
    pixel,
    store,
    to_bits,
    widen,
)
from resnet_np.kernels.compile import inline, parallel
from resnet_np.kernels.conv import bf16_direct as direct
from resnet_np.kernels.conv import bf16_winograd as winograd
from resnet_np.kernels.conv import jit
from resnet_np.kernels.conv.bf16_finish import finish_image, finish_vector, nothing
from resnet_np.kernels.conv.bf16_product import multiply_all, multiply_rows, multiply_turned
from resnet_np.kernels.conv.partials import add_parts, parts
from resnet_np.kernels.conv.tiles import round_up
from resnet_np.kernels.micro import MICRO_KERNEL
from resnet_np.precision import BF16, bits, maps, through_float32
from resnet_np.workspace import empty

PIXELS = 64  # of a block: what they are multiplied with stays in the L1 cache
LARGE = 1 << 16  # weights, from which on the sums of their gradient fit no cache of a core
CHUNK_BYTES = 1 << 24  # of windows in pairs at a time: they fit the last-level cache
TILES = MICRO_KERNEL == "amx"


def forward(x, w, *, stride, pad):
    """x (N, C, H, W) bf16, w (F, C, KH, KW) float32 -> out (N, F, OH, OW) bf16."""
    if not suits(w.shape):
        return through_float32(jit.forward)(x, w, stride=stride, pad=pad)
    return correlate(x, w, stride, pad, nothing())


def correlate(x, w, stride, pad, finish):
    """The same of filters that suit; finish: what is done to out before it is rounded."""
    filters, channels, kh, kw = w.shape
    if TILES:
        return _maps(direct.correlate(bits(x), w, stride, pad, finish))
    if winograd.suits(w.shape, stride, pad):
        return _maps(winograd.correlate(bits(x), w, False, finish))
    images, _, height, width = x.shape
    out = maps((images, filters, (height + 2 * pad - kh) // stride + 1, (width + 2 * pad - kw) // stride + 1))
    threads, depth = get_num_threads(), round_up(channels * kh * kw, LANES)
    packed = empty((depth // 2, filters, 2), np.uint16)
    _pack(w, packed)
    padded = _padded(threads, height, width, channels, pad)
    line = empty((threads, depth + LANES), np.uint16)
    patches = empty((threads, depth * PIXELS), np.uint16)
    sums = empty((threads, PIXELS, filters), np.float32)
    line[...] = 0  # what lies beyond K stays 0
    _forward(bits(x), packed, kh, kw, stride, pad, padded, line, patches, sums, finish, bits(out))
    return out


def suits(w_shape, *, back=False):
    """Whether the kernels here compute it; back: its input gradient too."""
    filters, channels = w_shape[:2]
    return filters % LANES == 0 and (not back or channels % LANES == 0)


def input_grad(dout, w, *, x_shape, stride, pad):
    """dout (N, F, OH, OW) bf16, w (F, C, KH, KW) float32 -> dx of shape x_shape, bf16."""
    if not suits(w.shape, back=True):
        return through_float32(jit.input_grad)(dout, w, x_shape=x_shape, stride=stride, pad=pad)
    return input_grad_finished(dout, w, x_shape, stride, pad, nothing())


def input_grad_finished(dout, w, x_shape, stride, pad, finish):
    """The same of filters that suit; finish: what is done to dx before it is rounded."""
    _, _, height, width = x_shape
    filters, channels, kh, kw = w.shape
    if TILES:
        return _maps(direct.input_grad(bits(dout), w, (len(dout), height, width, channels), stride, pad, finish))
    if winograd.suits(w.shape, stride, pad):
        return _maps(winograd.correlate(bits(dout), w, True, finish))
    threads, depth = get_num_threads(), channels * kh * kw
    dx = maps(x_shape)
    packed = empty((filters // 2, depth, 2), np.uint16)
    _pack_turned(w, packed)
    rows = empty((threads, PIXELS * filters), np.uint16)
    patches = empty((threads, PIXELS, depth), np.float32)
    padded = empty((threads, height + 2 * pad, width + 2 * pad, channels), np.float32)
    _input_grad(bits(dout), packed, kh, kw, stride, pad, rows, patches, padded, finish, bits(dx))
    return dx


def weight_grad(dout, x, *, w_shape, stride, pad):
    """dout (N, F, OH, OW), x (N, C, H, W), bf16 -> dw of shape w_shape, float32, summed over the batch."""
    if not suits(w_shape):
        return through_float32(jit.weight_grad)(dout, x, w_shape=w_shape, stride=stride, pad=pad)
    if TILES:
        return direct.weight_grad(bits(dout), bits(x), w_shape, stride, pad)
    if winograd.suits(w_shape, stride, pad):
        return winograd.weight_grad(bits(dout), bits(x))
    filters, channels, kh, kw = w_shape
    threads, depth = get_num_threads(), round_up(channels * kh * kw, LANES)
    padded = _padded(threads, *x.shape[2:], channels, pad)
    if depth * filters >= LARGE:
        return _weight_grad_of_many(dout, x, w_shape, stride, pad, padded)
    patches = empty((threads, PIXELS * depth + 2 * LANES), np.uint16)
    gradients = empty((threads, PIXELS * filters), np.uint16)
    sums = parts(len(x), depth, filters, np.float32)
    _weight_grad(bits(dout), bits(x), kh, kw, stride, pad, padded, patches, gradients, sums)
    return _taps_last(sums, w_shape)


def _weight_grad_of_many(dout, x, w_shape, stride, pad, padded):
    """The same for many weights, whose sums fit no cache: all windows of a chunk of the batch are taken first, so that the sums are
    fetched once a chunk. Threads share weights."""
    filters, channels, kh, kw = w_shape
    pairs, depth = (dout.shape[2] * dout.shape[3] + 1) // 2, round_up(channels * kh * kw, LANES)
    chunk = max(1, CHUNK_BYTES // (pairs * 4 * (depth + filters)))  # images
    sums = empty((1, depth, filters), np.float32)
    for first in range(0, len(x), chunk):
        count = min(chunk, len(x) - first) * pairs
        patches, gradients = (empty((1, count, 2 * across + 2 * LANES), np.uint16) for across in (depth, filters))
        _take_all(bits(dout)[first:first + chunk], bits(x)[first:first + chunk], kh, kw, stride, pad, padded, patches, gradients)
        multiply_all(patches, gradients, sums, first > 0)
    return _taps_last(sums, w_shape)


def _taps_last(sums, w_shape):
    """sums (B, >= KH*KW*C, F), added up -> (F, C, KH, KW)."""
    filters, channels, kh, kw = w_shape
    dw = add_parts(sums, (filters, kh * kw * channels)).reshape(filters, kh, kw, channels)
    return np.ascontiguousarray(dw.transpose(0, 3, 1, 2))


def _padded(threads, height, width, channels, pad):
    """Scratch for an image with zeros around it, a thread: zeros. A vector is behind it, for what is read beyond its end."""
    padded = empty((threads, (height + 2 * pad) * (width + 2 * pad) * channels + LANES), np.uint16)
    padded[...] = 0
    return padded


def _maps(array):
    """uint16 (N, H, W, C) -> the same memory as bf16 (N, C, H, W)."""
    return array.view(BF16).transpose(0, 3, 1, 2)


@parallel
def _pack(w, packed):
    """w (F, C, KH, KW) -> packed (K / 2, F, 2), row (i*KW + j)*C + c; 0 beyond the last."""
    filters, channels, kh, kw = w.shape
    depth = channels * kh * kw
    for pair in prange(packed.shape[0]):
        for half in range(2):
            k = 2 * pair + half
            tap, c = k // channels, k % channels
            for f in range(filters):
                packed[pair, f, half] = to_bits(w[f, c, tap // kw, tap % kw]) if k < depth else np.uint16(0)


@parallel
def _pack_turned(w, packed):
    """w (F, C, KH, KW) -> packed (F / 2, K, 2)."""
    _, channels, kh, kw = w.shape
    for pair in prange(packed.shape[0]):
        for half in range(2):
            for i in range(kh):
                for j in range(kw):
                    for c in range(channels):
                        packed[pair, (i * kw + j) * channels + c, half] = to_bits(w[2 * pair + half, c, i, j])


@inline
def _pad(x, image, pad, padded):
    """Copy an image of x (N, H, W, C) into the middle of padded (PH * PW * C and more). The zeros around it stay."""
    height, width, channels = x.shape[1:]
    flat, length = x.reshape(-1), width * channels
    for y in range(height):
        source, to = (image * height + y) * length, ((y + pad) * (width + 2 * pad) + pad) * channels
        for k in range(0, length - LANES + 1, LANES):
            copy(padded, to + k, x, source + k)
        for k in range(length // LANES * LANES, length):
            padded[to + k] = flat[source + k]


@inline
def _take_patches(padded, base, row, channels, kh, kw, stride, ow, first, here, line, patches, top):
    """What the windows of pixels first, ... first + here - 1 see: block after block of 16 columns, B rows of 16 each; these are the
    rows from `top` on.

    padded[base ...]: an image of `row` values a row of pixels. line (K and a vector): scratch, for channels that are no vectors.
    """
    piece, depth = kw * channels, line.shape[0] - LANES  # one row of a window is one piece of memory
    oy, ox = first // ow, first % ow
    for b in range(top, top + here):
        source = base + oy * stride * row + ox * stride * channels
        if channels % LANES == 0:
            to = b * LANES
            for i in range(kh):
                for k in range(0, piece, LANES):
                    copy(patches, to, padded, source + i * row + k)
                    to += PIXELS * LANES
        else:
            for i in range(kh):
                for k in range(0, piece, LANES):  # the next row is written over what is too much
                    copy(line, i * piece + k, padded, source + i * row + k)
            for k in range(kh * piece, depth):
                line[k] = 0
            for k in range(0, depth, LANES):
                copy(patches, k * PIXELS + b * LANES, line, k)
        ox += 1
        if ox == ow:
            oy, ox = oy + 1, 0


@parallel
def _forward(x, packed, kh, kw, stride, pad, padded, line, patches, sums, finish, out):
    """x (N, H, W, C), packed (K / 2, F, 2), out (N, OH, OW, F); K a multiple of 16.

    Scratch a thread: padded, see `_padded`; line (K + 16,); patches (K / 16, B, 16) uint16; sums (B, F) float32.
    """
    images, oh, ow, filters = out.shape
    channels, pixels, row = x.shape[3], oh * ow, (x.shape[2] + 2 * pad) * x.shape[3]
    blocks, group = packed.shape[0] * 2 // LANES, max(1, PIXELS // pixels)  # images of a block
    as_it_is, flat = pad == 0 and channels % LANES == 0, x.reshape(-1)
    for turn in prange((images + group - 1) // group):
        thread, first_image = get_thread_id(), np.int64(turn) * group
        many = min(group, images - first_image)
        for first in range(0, pixels, PIXELS):
            here = min(PIXELS, pixels - first)
            for g in range(many):
                if as_it_is:
                    source, base = flat, np.int64(first_image + g) * x.shape[1] * row
                else:
                    source, base = padded[thread], 0
                    if first == 0:
                        _pad(x, first_image + g, pad, source)
                _take_patches(source, base, row, channels, kh, kw, stride, ow, first, here, line[thread], patches[thread], g * here)
            multiply_rows(patches[thread], 0, PIXELS * LANES, many * here, packed, 0, blocks, sums[thread], 0, filters, False)
            for b in range(many * here):
                for f in range(0, filters, LANES):
                    at = (first_image * pixels + first + b) * filters + f
                    narrow(out, at, finish_vector(load(sums[thread], b * filters + f), f, at, finish))
        for image in range(first_image, first_image + many):
            finish_image(out, image, finish)


@parallel
def _input_grad(dout, packed, kh, kw, stride, pad, rows, patches, padded, finish, dx):
    """dout (N, OH, OW, F), packed (F / 2, K, 2), dx (N, H, W, C).

    Scratch a thread: rows (F / 16, B, 16) uint16, patches (B, K) and padded (PH, PW, C) float32.
    """
    images, oh, ow, filters = dout.shape
    channels = dx.shape[3]
    depth, pixels, row = packed.shape[1], oh * ow, padded.shape[2] * channels
    group = max(1, PIXELS // pixels)  # images of a block
    for turn in prange((images + group - 1) // group):
        thread, first_image = get_thread_id(), np.int64(turn) * group
        many = min(group, images - first_image)
        for first in range(0, pixels, PIXELS):
            here = min(PIXELS, pixels - first)
            for b in range(many * here):
                for f in range(0, filters, LANES):
                    copy(rows[thread], f * PIXELS + b * LANES, dout, (first_image * pixels + first + b) * filters + f)
            multiply_rows(rows[thread], 0, PIXELS * LANES, many * here, packed, 0, filters // LANES,
                          patches[thread], 0, depth, False)
            for g in range(many):
                if first == 0:
                    padded[thread] = 0
                for b in range(here):
                    oy, ox = (first + b) // ow, (first + b) % ow
                    source = (g * here + b) * depth
                    for i in range(kh):
                        to = (oy * stride + i) * row + ox * stride * channels
                        for k in range(0, kw * channels, LANES):  # a row of the window is one piece of memory
                            store(padded[thread], to + k, add(load(padded[thread], to + k), load(patches[thread], source + k)))
                        source += kw * channels
                if first + here == pixels:
                    _unpad(padded[thread], row, pad, first_image + g, finish, dx)


@inline
def _unpad(padded, row, pad, image, finish, dx):
    """The middle of padded (PH, PW, C) float32 -> an image of dx, finished and rounded."""
    height, width, channels = dx.shape[1:]
    for y in range(height):
        for x in range(width):
            at, source = ((image * height + y) * width + x) * channels, (y + pad) * row + (x + pad) * channels
            for c in range(0, channels, LANES):
                narrow(dx, at + c, finish_vector(load(padded, source + c), c, at + c, finish))


@inline
def _take_pairs(padded, base, row, channels, kh, kw, stride, ow, first, here, patches, to, step):
    """The windows of `_take_patches`, two neighbouring pixels at a time, from patches[to] on, `step` apart; 0 beside an odd one."""
    piece = kw * channels
    for b in range(0, here, 2):
        p, both = first + b, b + 1 < here
        q = p + 1 if both else p
        source = base + p // ow * stride * row + p % ow * stride * channels
        partner = base + q // ow * stride * row + q % ow * stride * channels
        for i in range(kh):
            for k in range(0, piece, LANES):  # the next row is written over what is too much
                narrow_pairs(patches, to + 2 * (i * piece + k), widen(padded, source + i * row + k),
                             pixel(padded, both, partner + i * row + k))
        to += step


@inline
def _take_gradient_pairs(dout, first, here, gradients, to, step):
    """Pixels first, ... of dout (N, OH, OW, F), counted over all images, in pairs as `_take_pairs` takes them."""
    filters = dout.shape[3]
    for b in range(0, here, 2):
        p = (first + b) * filters
        for f in range(0, filters, LANES):
            narrow_pairs(gradients, to + 2 * f, widen(dout, p + f), pixel(dout, b + 1 < here, p + filters + f))
        to += step


@parallel
def _take_all(dout, x, kh, kw, stride, pad, padded, patches, gradients):
    """All windows and gradients of a few images, in pairs: patches (1, N P / 2, 2 K and more), gradients (1, N P / 2, 2 F ...)."""
    images, oh, ow, _ = dout.shape
    channels, pixels, row = x.shape[3], oh * ow, (x.shape[2] + 2 * pad) * x.shape[3]
    pairs, step, across = (pixels + 1) // 2, patches.shape[2], gradients.shape[2]
    flat_gradients = gradients.reshape(-1)
    as_it_is, flat, flat_patches = pad == 0 and channels % LANES == 0, x.reshape(-1), patches.reshape(-1)
    for image in prange(images):
        if as_it_is:
            source, base = flat, np.int64(image) * x.shape[1] * row
        else:
            source, base = padded[get_thread_id()], 0
            _pad(x, image, pad, source)
        _take_pairs(source, base, row, channels, kh, kw, stride, ow, 0, pixels, flat_patches, image * pairs * step, step)
        _take_gradient_pairs(dout, image * pixels, pixels, flat_gradients, image * pairs * across, across)


@parallel
def _weight_grad(dout, x, kh, kw, stride, pad, padded, patches, gradients, sums):
    """dout (N, OH, OW, F), x (N, H, W, C); sums (B, K rounded up, F): over B parts of the batch, each of consecutive images.

    Scratch a thread: padded, see `_padded`; patches (P / 2, K rounded up, 2) and a bit; gradients (P / 2, F, 2), uint16.
    """
    images, oh, ow, filters = dout.shape
    channels, pixels, row = x.shape[3], oh * ow, (x.shape[2] + 2 * pad) * x.shape[3]
    depth, count = sums.shape[1], sums.shape[0]
    as_it_is, flat = pad == 0 and channels % LANES == 0, x.reshape(-1)
    for part in prange(count):
        thread = get_thread_id()
        sums[part] = 0
        for image in range(part * images // count, (part + 1) * images // count):
            if as_it_is:
                source, base = flat, np.int64(image) * x.shape[1] * row
            else:
                source, base = padded[thread], 0
                _pad(x, image, pad, source)
            for first in range(0, pixels, PIXELS):
                here = min(PIXELS, pixels - first)
                _take_pairs(source, base, row, channels, kh, kw, stride, ow, first, here, patches[thread], 0, 2 * depth)
                _take_gradient_pairs(dout, image * pixels + first, here, gradients[thread], 0, 2 * filters)
                multiply_turned(patches[thread], 0, 2 * depth, depth, gradients[thread], 0, 2 * filters, (here + 1) // 2,
                                sums, part * depth * filters, filters, True)
