"""Convolution in bf16 for tiles: channels last, no columns, any stride and padding; the product is bf16_tiles.py's.

    N image   C channel in   F filter, a multiple of 16   KH KW kernel   T tap, one of KH*KW   OH OW output

The windows of neighbouring pixels begin at equal distances in memory, and a row of a window is one piece of it: so a tile of the
images is the left factor as it lies there (bf16_windows.py), and is multiplied by the filters,

    out (16 pixels, F)  =  sum over the rows of a window of   piece (16, KW*C)   filters (KW*C, F)

The way back is the same with filters that are turned round: with stride s it is s*s convolutions, each of the taps that reach every
s-th pixel. What a piece holds beyond the window, up to a whole tile, is multiplied by zeros: so NaN and infinity reach, besides the
windows that see them, those of the same image that end a little before.

The weight gradient sums over pixels: dout is turned, and the images are laid in pairs of pixels, in s*s planes of every s-th pixel,
in which those that a tap sees are neighbours; and once more beginning a pixel later, for taps at which pairs begin with an odd one:

    dw (F, C), for each tap   =   dout (F, pixels)   what the tap sees (pixels, C)

AMX multiplies so fast that to save products, as Winograd does, would not pay for the additions.
"""

import functools

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.bfloat import LANES, copy, copy_pairs, load, narrow, to_bits, turn
from resnet_np.kernels.compile import inline, parallel
from resnet_np.kernels.conv.bf16_finish import finish_image, finish_vector
from resnet_np.kernels.conv.bf16_tiles import (
    COUNT,
    DEPTH,
    PAIRS,
    ROWS,
    SUMS,
    TILE,
    begin,
    end,
    multiply_across,
    multiply_down,
)
from resnet_np.kernels.conv.bf16_windows import backward_axis, blocks, forward_axis, groups, windows
from resnet_np.kernels.conv.partials import add_parts_of_taps, part_count, parts
from resnet_np.kernels.conv.tiles import round_up
from resnet_np.workspace import empty

PIXELS = 256  # computed together, if an image has not more
FILTER_BYTES = 1 << 20  # of filters that stay in the L2 cache, and are fetched anew for every few tiles
LINE = 64 // 2  # numbers of a cache line, which begins where a thread's scratch does
SLAB, LEAST = 576, 64  # channels times taps of a weight gradient that a thread takes at a time; channels, at least
LARGE = 1 << 17  # weights, from which on it takes as few channels as it may, so that there are fewer sums of all weights
SUMMED = 512  # pixels that it sums over at a time, if an image has not more: their channels and filters stay in the L1 cache


def correlate(x, w, stride, pad, finish):
    """x (N, H, W, C) uint16, w (F, C, KH, KW) float32 -> out (N, OH, OW, F). finish: what is done to out, see bf16_finish."""
    images, height, width, channels = x.shape
    filters, _, kh, kw = w.shape
    down, across = forward_axis(height, kh, stride, pad), forward_axis(width, kw, stride, pad)
    out = empty((images, down.windows, across.windows, filters), np.uint16)
    _run(x, w, w, down, across, finish, out)
    return out


def input_grad(dout, w, x_shape, stride, pad, finish):
    """dout (N, OH, OW, F) uint16, w (F, C, KH, KW) float32 -> dx of x_shape, which is (N, H, W, C). finish: as for `correlate`."""
    kh, kw = w.shape[2:]
    dx = empty(x_shape, np.uint16)
    turned = w.transpose(1, 0, 2, 3)
    for i in range(stride):
        down = backward_axis(x_shape[1], kh, stride, pad, i)
        for j in range(stride):
            across = backward_axis(x_shape[2], kw, stride, pad, j)
            if down and across and i < kh and j < kw:
                _run(dout, w, turned[:, :, i::stride, j::stride][:, :, ::-1, ::-1], down, across, finish, dx)
            elif down and across:  # no tap reaches these pixels: zeros are finished, of as few channels as may be
                zeros = np.zeros((len(turned), LANES, down.kernel, across.kernel), np.float32)
                _run(np.zeros((*dout.shape[:3], LANES), np.uint16), zeros, zeros, down, across, finish, dx)
    return dx


def _run(x, w, taps, down, across, finish, out):
    """The windows of x that both axes name, times filters `taps` (F, C, KH, KW), a view of w, which is C-contiguous, into out."""
    geometry, starts, targets, packed_shape, size = _plan(x.shape, taps.shape, down, across, out.shape[1:3])
    first = (taps.__array_interface__["data"][0] - w.__array_interface__["data"][0]) // w.itemsize
    strides = np.array([first, *(stride // w.itemsize for stride in taps.strides)])
    packed, plane = empty(packed_shape, np.uint16), empty((get_num_threads(), size), np.uint16)
    sums = empty((len(plane), COUNT * SUMS), np.float32)
    _pack(w.reshape(-1), strides, *taps.shape[:2], taps.shape[3], packed)
    _correlate(x, packed, packed.nbytes <= FILTER_BYTES, geometry, starts, targets, plane, sums, finish, out)


@functools.lru_cache(maxsize=256)
def _plan(x_shape, w_shape, down, across, out_size):
    """What depends on shapes alone: `_correlate`'s geometry, starts and targets, the shape of packed, the size of a plane."""
    images, _, _, channels = x_shape
    filters, _, kh, _ = w_shape
    pair = across.doubled(channels)
    group = groups(images, down.windows * across.windows, PIXELS)
    table = windows(down, pair, group, out_size, channels)
    panels = across.windows // pair.windows * filters // LANES
    inside = table.length <= group * down.size * across.size * channels
    as_it_is = inside and (table.rows, table.pitch) == (down.size, across.size)
    size = 0 if as_it_is else max(table.length, (table.lead + group * table.rows * table.pitch) * channels + LANES)
    geometry = np.array([group, table.rows, table.pitch, table.lead, pair.step, across.target_step])
    packed_shape = (panels, kh, blocks(pair.kernel, channels) * PAIRS, LANES, 2)
    return geometry, table.starts, table.targets, packed_shape, round_up(size, LINE)


@parallel
def _pack(w, strides, filters, channels, kw, packed):
    """w[strides[0] + f*strides[1] + c*strides[2] + i*strides[3] + j*strides[4]], filter f at tap (i, j) of channel c, float32
    -> packed (F / 16, KH, pairs, 16, 2) uint16, row j*C + c of KW*C; 0 beyond the last.

    Twice as many panels are those of two neighbouring windows that are one: the second's filters begin a pixel later.
    """
    panels, kh, pairs = packed.shape[:3]
    for panel in prange(panels):
        first, later = panel * LANES % filters, panel * LANES // filters * channels
        packed[panel, :, :(later + 1) // 2] = 0
        packed[panel, :, (later + kw * channels) // 2:] = 0
        for some in range(0, channels, LANES):  # few enough for the cache, whether filters or channels are neighbours in w
            for i in range(kh):
                for j in range(kw):
                    at = strides[0] + first * strides[1] + some * strides[2] + i * strides[3] + j * strides[4]
                    for c in range(min(LANES, channels - some)):
                        k = later + j * channels + some + c
                        pair, half = packed[panel, i, k // 2], k % 2
                        for f in range(LANES):
                            pair[f, half] = to_bits(w[at + f * strides[1]])
                        at += strides[2]


@inline
def _fill(x, first_image, group, first, channels, rows, pitch, lead, plane):
    """Copy channels first, ..., first + channels - 1 of some images of x (N, H, W, C) into a plane, where an image has `rows` rows
    of `pitch` pixels, and the first begins behind `lead` pixels. All between and around them becomes 0."""
    height, width, every = x.shape[1:]
    flat, line = x.reshape(-1), width * channels
    plane[:lead * channels] = 0
    for image in range(group):
        for y in range(height):
            source = ((first_image + image) * height + y) * width * every + first
            to = (lead + (image * rows + y) * pitch) * channels
            if channels == every:
                for k in range(0, line - LANES + 1, LANES):
                    copy(plane, to + k, x, source + k)
                for k in range(line // LANES * LANES, line):
                    plane[to + k] = flat[source + k]
            else:
                for pixel in range(width):
                    for c in range(0, min(channels, every - first), LANES):
                        copy(plane, to + pixel * channels + c, x, source + pixel * every + c)
            plane[to + line:to + pitch * channels] = 0
        plane[(lead + (image * rows + height) * pitch) * channels:(lead + (image + 1) * rows * pitch) * channels] = 0
    plane[(lead + group * rows * pitch) * channels:] = 0


@parallel
def _correlate(x, packed, filters_stay, geometry, starts, targets, plane, sums, finish, out):
    """geometry: images of a group; rows, pitch and lead of the plane; pixels from a window to the next, and from a target to that
    of the second of two windows that are one. See bf16_windows.py for starts and targets.

    Scratch a thread: plane, of size 0 where x is used as it lies; sums (64, 16).
    """
    images, height, width, channels = x.shape
    filters, pixels = out.shape[3], out.shape[1] * out.shape[2]
    group, rows, pitch, lead, step, apart = geometry
    panels, kh, panel, pieces = packed.shape[0], packed.shape[1], packed[0].size, packed.shape[2] // PAIRS
    tiles = starts.shape[0]
    fours, flat = (tiles + COUNT - 1) // COUNT, x.reshape(-1)
    for job in prange(images // group):
        thread, first_image = get_thread_id(), np.int64(job) * group
        if plane.shape[1] > 0:
            source, base = plane[thread], 0
            _fill(x, first_image, group, 0, channels, rows, pitch, lead, source)
        else:
            source, base = flat, first_image * height * width * channels
        begin()
        for k in range(fours * panels):
            four, f = (k // panels, k % panels) if filters_stay else (k % fours, k // fours)
            t = COUNT * four
            count = min(COUNT, tiles - t)
            multiply_down(count, source, base + starts[t] * channels, base + starts[min(t + 1, tiles - 1)] * channels,
                          base + starts[min(t + 2, tiles - 1)] * channels, base + starts[min(t + 3, tiles - 1)] * channels,
                          step * channels, pitch * channels, kh, pieces, packed, f * panel, sums[thread], 0)
            first, later = f * LANES % filters, f * LANES // filters * apart
            for r in range(count * ROWS):
                target = targets[t * ROWS + r]
                if target >= 0:
                    at = (first_image * pixels + target + later) * filters + first
                    narrow(out, at, finish_vector(load(sums[thread], r * LANES), first, at, finish))
        end()
        for image in range(first_image, first_image + group):
            finish_image(out, image, finish)


def weight_grad(dout, x, w_shape, stride, pad):
    """dout (N, OH, OW, F), x (N, H, W, C), uint16 -> dw (F, C, KH, KW) float32, summed over the batch."""
    filters, channels, kh, kw = w_shape
    if (kh, kw, stride, pad) == (1, 1, 1, 0):  # then no pixel has neighbours, and rows are as good as images
        dout, x = (array.reshape(-1, 1, *array.shape[2:]) for array in (dout, x))
    geometry, sizes, taps, deep, slabs = _sum_plan(dout.shape, x.shape, kh, kw, stride, pad)
    sums = parts(len(x), filters, len(taps) * deep, np.float32, slabs)
    scratch = empty((get_num_threads(), sizes.sum()), np.uint16)
    _weight_grad(dout, x, geometry, sizes, taps, scratch, sums)
    return add_parts_of_taps(sums, w_shape)


@functools.lru_cache(maxsize=256)
def _sum_plan(dout_shape, x_shape, kh, kw, stride, pad):
    """What depends on shapes alone: `_weight_grad`'s geometry, sizes and taps, channels rounded up, and how many slabs they are."""
    images, oh, ow, filters = dout_shape
    _, height, width, channels = x_shape
    deep = round_up(channels, LANES)
    large = filters * kh * kw * deep >= LARGE
    slab = min(deep, max(LEAST, 0 if large else SLAB // (kh * kw) // LANES * LANES)) if channels % LANES == 0 else deep
    slabs = -(-deep // slab)
    down, across = (kh - 1) // stride, (kw - 1) // stride  # how far the taps reach, in places
    rows, pitch = max(oh + down, -(-(height + pad) // stride)), round_up(max(ow + across, -(-(width + pad) // stride)), 2)
    group = groups(max(1, images // part_count(images, filters * kh * kw * deep * 4, slabs)), rows * pitch, SUMMED)
    places = round_up(group * rows * pitch, DEPTH)
    plane = round_up((places + down * pitch + across) * slab, LINE)
    padded = round_up((group * rows * stride * pitch + 2) * stride * min(slab, channels) + LANES, LINE)
    copies = 1 + (across > 0)  # some taps begin with an even place, some with an odd one
    taps = [((i % stride * stride + j % stride) * copies + j // stride % 2) * plane
            + (i // stride * pitch + j // stride // 2 * 2) * slab for i in range(kh) for j in range(kw)]
    sizes = np.array([places * filters, places * filters, padded, stride * stride * copies * plane])
    geometry = np.array([stride, pad, min(stride, kh), min(stride, kw), group, slab, rows, pitch, plane, copies])
    return geometry, sizes, np.array(taps), deep, slabs


@inline
def _turn(gradients, filters, tiles):
    """gradients (places, F) -> tiles (F / 16, places / 32, 16, 32)."""
    places = gradients.shape[0] // filters
    for place in range(0, places, LANES):
        for f in range(0, filters, LANES):
            to = f * places + place // DEPTH * TILE + place % DEPTH
            turn(tiles, to, DEPTH, gradients, place * filters + f, filters)


@inline
def _spread(padded, channels, slab, stride, high, wide, rows, pitch, plane, copies, pairs):
    """padded (s * rows, s * pitch, C), images below each other -> s*s planes of every s-th pixel of every s-th row, in pairs: of
    places 0 and 1, 2 and 3, ..., (places / 2, slab, 2), and, if there are to be two copies, of 1 and 2, 3 and 4, ..., each `plane`
    numbers long. Only the first `wide` planes of the first `high` rows of them are made, which taps see."""
    for i in range(high):
        for j in range(wide):
            for k in range(copies):  # beyond a row's end a pixel is another one, and dout is 0
                to = ((i * stride + j) * copies + k) * plane
                for row in range(rows):
                    source = ((row * stride + i) * pitch * stride + k * stride + j) * channels
                    for _ in range(0, pitch, 2):
                        for c in range(0, slab, LANES):
                            copy_pairs(pairs, to + 2 * c, padded, source + c, source + stride * channels + c)
                        source += 2 * stride * channels
                        to += 2 * slab
                pairs[to:((i * stride + j) * copies + k + 1) * plane] = 0


@parallel
def _weight_grad(dout, x, geometry, sizes, taps, scratch, sums):
    """sums (B, F, T * C rounded up): over B parts of the batch, each of consecutive images. Threads share parts, and slabs of
    channels.

    geometry: stride, pad; planes that taps see, down and across; images of a group, channels of a slab; rows and pitch of an image
    in places; numbers of a plane of pairs, and how many copies of it there are. taps: where, in pairs, a tap's first pair begins.

    Scratch a thread, of these sizes: gradients, and tiles, what `_turn` makes of them; padded images, and pairs, what `_spread`
    makes of those.
    """
    stride, pad, high_planes, wide_planes, group, slab, rows, pitch, plane, copies = geometry
    images, filters, count = len(x), dout.shape[3], sums.shape[0]
    across = sums.shape[2]
    deep = across // len(taps)
    slabs, places = (deep + slab - 1) // slab, sizes[0] // filters
    channels = min(slab, x.shape[3])
    for job in prange(count * slabs):
        thread, part, first = get_thread_id(), np.int64(job) // slabs, np.int64(job) % slabs * slab
        gradients, behind = scratch[thread, :sizes[0]], scratch[thread, sizes[0]:]
        tiles, behind = behind[:sizes[1]], behind[sizes[1]:]
        padded, pairs = behind[:sizes[2]], behind[sizes[2]:]
        high = min(slab, deep - first) // LANES
        products = high * len(taps)
        together = -(-products // -(-products // COUNT))
        begins, last = part * images // count, (part + 1) * images // count
        for first_image in range(begins, last, group):
            many = min(group, last - first_image)
            _fill(dout, first_image, many, 0, filters, rows, pitch, 0, gradients)
            _turn(gradients, filters, tiles)
            _fill(x, first_image, many, first, channels, rows * stride, pitch * stride, pad * (pitch * stride + 1), padded)
            _spread(padded, channels, slab, stride, high_planes, wide_planes, group * rows, pitch, plane, copies, pairs)
            begin()
            for f in range(0, filters, LANES):
                out = (part * filters + f) * across
                for k in range(0, products, together):
                    here = min(together, products - k)
                    b0, o0 = _place(k, taps, deep, first)
                    b1, o1 = _place(min(k + 1, products - 1), taps, deep, first)
                    b2, o2 = _place(min(k + 2, products - 1), taps, deep, first)
                    b3, o3 = _place(min(k + 3, products - 1), taps, deep, first)
                    multiply_across(here, tiles, f * places, -(-many * rows * pitch // DEPTH), pairs,
                                    b0, b1, b2, b3, 2 * slab, sums, out + o0, out + o1, out + o2, out + o3, across,
                                    first_image > begins)
            end()


@inline
def _place(k, taps, deep, first):
    """Of the k-th tile of sums, tap after tap: where its channels lie in the pairs, and its sums in a row of them."""
    c, t = k // len(taps) * LANES, k % len(taps)
    return taps[t] + 2 * c, t * deep + first + c
