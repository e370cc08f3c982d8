"""The im2col matrix, a tile at a time, and the product that eats it.

The im2col matrix of one image has a row for every weight of a filter (K = C*KH*KW of them) and a column for every output
pixel (P = OH*OW). Convolution is the product of the filters (F, K) with it. Written out for a batch of 128, one layer's matrix
is 75 MB: writing and reading it back costs more than the product. Here it exists only `T` columns at a time, in a
scratch array (K, T) that never leaves the L1 or L2 cache.

    C channel   PH PW padded input   KH KW kernel   OH OW output   K = C*KH*KW   P = OH*OW   p = oy*OW + ox   T tile width

Measured on one core of an AMD EPYC (Zen 4), float32, 2026-11-24: `multiply_tile` alone, on tiles of ResNet-20, 102 to 107 GFLOP/s.
"""

from numba import prange

from resnet_np.kernels.compile import inline, parallel
from resnet_np.kernels.simd import add, broadcast, lanes, load, multiply_add, store, zero

ROWS = 4  # rows of `multiply_tile`'s output block; its width is two vectors
TALL = 8  # rows of the blocks of `multiply_tall` and `multiply_column`


def round_up(count: int, multiple: int) -> int:
    """The next multiple: what an array must hold when it is filled a whole tile at a time."""
    return -(-count // multiple) * multiple


@inline
def pad_image(image, pad_h, pad_w, padded):
    """Copy `image` (C, H, W) into the middle of `padded` (C, H + 2 pad_h, W + 2 pad_w); zeros around it."""
    channels, height, width = image.shape
    padded[...] = 0
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                padded[c, y + pad_h, x + pad_w] = image[c, y, x]


@inline
def im2col_tile(padded, kh, kw, stride, oh, ow, first, columns):
    """Columns `first` to `first + T - 1` of the im2col matrix of one padded image.

    padded (C, PH, PW) -> columns (>= K, T), T a multiple of a vector:
    columns[(c*KH + i)*KW + j, t] = padded[c, oy*stride + i, ox*stride + j] for pixel p = first + t; 0 where p >= P.
    """
    channels, ph, pw = padded.shape
    width = columns.shape[1]
    n = lanes(columns)
    for left in range(0, width, n):
        p = first + left
        oy, ox = p // ow, p % ow
        if stride == 1 and ox + n <= ow and oy < oh:  # n neighbours of one row: a vector
            source = oy * pw + ox
            k = left
            for c in range(channels):
                for i in range(kh):
                    for j in range(kw):
                        store(columns, k, load(padded, source + (c * ph + i) * pw + j))
                        k += width
        else:
            for lane in range(n):
                oy, ox = (p + lane) // ow, (p + lane) % ow
                k = 0
                for c in range(channels):
                    for i in range(kh):
                        for j in range(kw):
                            inside = oy < oh
                            columns[k, left + lane] = padded[c, oy * stride + i, ox * stride + j] if inside else 0
                            k += 1


@inline
def im2col_row(padded, kh, kw, stride, oy, ow, left, columns):
    """The columns of row `oy` of output pixels, into columns[:, left:left + OW]; padded (C, PH, PW) as above."""
    k = 0
    for c in range(padded.shape[0]):
        for i in range(kh):
            for j in range(kw):
                for ox in range(ow):
                    columns[k, left + ox] = padded[c, oy * stride + i, ox * stride + j]
                k += 1


@inline
def col2im_tile(columns, kh, kw, stride, oh, ow, first, padded):
    """The adjoint of `im2col_tile`: add every entry of the tile to the pixel that it was copied from.

    It adds, because windows overlap: a pixel that was copied into nine columns receives nine gradients.
    """
    channels, ph, pw = padded.shape
    width = columns.shape[1]
    n = lanes(columns)
    for left in range(0, width, n):
        p = first + left
        oy, ox = p // ow, p % ow
        if stride == 1 and ox + n <= ow and oy < oh:
            target = oy * pw + ox
            k = left
            for c in range(channels):
                for i in range(kh):
                    for j in range(kw):
                        q = target + (c * ph + i) * pw + j
                        store(padded, q, add(load(padded, q), load(columns, k)))
                        k += width
        else:
            for lane in range(n):
                oy, ox = (p + lane) // ow, (p + lane) % ow
                if oy < oh:
                    k = 0
                    for c in range(channels):
                        for i in range(kh):
                            for j in range(kw):
                                padded[c, oy * stride + i, ox * stride + j] += columns[k, left + lane]
                                k += 1


@parallel
def into_panels(maps, panels):
    """maps (N, F, P) -> panels (F / T rounded up, N*P, T): pixel by pixel, T planes side by side, zeros beyond F."""
    images, filters, pixels = maps.shape
    for n in prange(images):
        for block in range(panels.shape[0]):
            f = block * panels.shape[2]
            count = min(panels.shape[2], filters - f)
            for p in range(pixels):
                for k in range(count):
                    panels[block, n * pixels + p, k] = maps[n, f + k, p]
                panels[block, n * pixels + p, count:] = 0


@inline
def multiply_tile(a, a_first, a_row, a_step, b, b_first, b_step, depth, out, out_first, out_row, accumulate):
    """A block of 4 rows and 2 vectors of a matrix product, kept in eight registers: out (+)= A B.

    A (4, depth) is read at a[a_first + row*a_row + d*a_step], B (depth, 2 vectors) at b[b_first + d*b_step + 0 ...], out is
    written at out[out_first + row*out_row + 0 ...]; all indices are flat. accumulate: add to what `out` holds.
    """
    n = lanes(out)
    row0, row1, row2, row3 = out_first, out_first + out_row, out_first + 2 * out_row, out_first + 3 * out_row
    if accumulate:
        s00, s01 = load(out, row0), load(out, row0 + n)
        s10, s11 = load(out, row1), load(out, row1 + n)
        s20, s21 = load(out, row2), load(out, row2 + n)
        s30, s31 = load(out, row3), load(out, row3 + n)
    else:
        s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = zero(out)
    for d in range(depth):
        b0, b1 = load(b, b_first + d * b_step), load(b, b_first + d * b_step + n)
        i = a_first + d * a_step
        a0 = broadcast(a, i)
        s00, s01 = multiply_add(a0, b0, s00), multiply_add(a0, b1, s01)
        a1 = broadcast(a, i + a_row)
        s10, s11 = multiply_add(a1, b0, s10), multiply_add(a1, b1, s11)
        a2 = broadcast(a, i + 2 * a_row)
        s20, s21 = multiply_add(a2, b0, s20), multiply_add(a2, b1, s21)
        a3 = broadcast(a, i + 3 * a_row)
        s30, s31 = multiply_add(a3, b0, s30), multiply_add(a3, b1, s31)
    store(out, row0, s00)
    store(out, row0 + n, s01)
    store(out, row1, s10)
    store(out, row1 + n, s11)
    store(out, row2, s20)
    store(out, row2 + n, s21)
    store(out, row3, s30)
    store(out, row3 + n, s31)


@inline
def multiply_tall(a, a_first, a_row, a_step, b, b_first, b_step, depth, out, out_first, out_row, accumulate):
    """The same for 8 rows, in sixteen registers: half as many loads of B a product, where a CPU has enough registers."""
    n = lanes(out)
    row1, row2, row3 = out_first + out_row, out_first + 2 * out_row, out_first + 3 * out_row
    row4, row5, row6, row7 = out_first + 4 * out_row, out_first + 5 * out_row, out_first + 6 * out_row, out_first + 7 * out_row
    if accumulate:
        s0, s1, s2, s3 = _pair(out, out_first), _pair(out, row1), _pair(out, row2), _pair(out, row3)
        s4, s5, s6, s7 = _pair(out, row4), _pair(out, row5), _pair(out, row6), _pair(out, row7)
    else:
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero(out), zero(out)
    for d in range(depth):
        b0, b1 = load(b, b_first + d * b_step), load(b, b_first + d * b_step + n)
        i = a_first + d * a_step
        s0, s1 = _add_products(a, i, b0, b1, s0), _add_products(a, i + a_row, b0, b1, s1)
        s2, s3 = _add_products(a, i + 2 * a_row, b0, b1, s2), _add_products(a, i + 3 * a_row, b0, b1, s3)
        s4, s5 = _add_products(a, i + 4 * a_row, b0, b1, s4), _add_products(a, i + 5 * a_row, b0, b1, s5)
        s6, s7 = _add_products(a, i + 6 * a_row, b0, b1, s6), _add_products(a, i + 7 * a_row, b0, b1, s7)
    _store_pair(out, out_first, s0)
    _store_pair(out, row1, s1)
    _store_pair(out, row2, s2)
    _store_pair(out, row3, s3)
    _store_pair(out, row4, s4)
    _store_pair(out, row5, s5)
    _store_pair(out, row6, s6)
    _store_pair(out, row7, s7)


@inline
def _pair(out, at):
    return load(out, at), load(out, at + lanes(out))


@inline
def _store_pair(out, at, pair):
    store(out, at, pair[0])
    store(out, at + lanes(out), pair[1])


@inline
def _add_products(a, i, b0, b1, sums):
    factor = broadcast(a, i)
    return multiply_add(factor, b0, sums[0]), multiply_add(factor, b1, sums[1])


@inline
def multiply_column(a, a_first, a_row, a_step, b, b_first, b_step, depth, out, out_first, out_row, accumulate):
    """The same for 8 rows and one vector: where the width of `out` is an odd number of them."""
    row1, row2, row3 = out_first + out_row, out_first + 2 * out_row, out_first + 3 * out_row
    row4, row5, row6, row7 = out_first + 4 * out_row, out_first + 5 * out_row, out_first + 6 * out_row, out_first + 7 * out_row
    if accumulate:
        s0, s1, s2, s3 = load(out, out_first), load(out, row1), load(out, row2), load(out, row3)
        s4, s5, s6, s7 = load(out, row4), load(out, row5), load(out, row6), load(out, row7)
    else:
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero(out)
    for d in range(depth):
        v = load(b, b_first + d * b_step)
        i = a_first + d * a_step
        s0, s1 = multiply_add(broadcast(a, i), v, s0), multiply_add(broadcast(a, i + a_row), v, s1)
        s2, s3 = multiply_add(broadcast(a, i + 2 * a_row), v, s2), multiply_add(broadcast(a, i + 3 * a_row), v, s3)
        s4, s5 = multiply_add(broadcast(a, i + 4 * a_row), v, s4), multiply_add(broadcast(a, i + 5 * a_row), v, s5)
        s6, s7 = multiply_add(broadcast(a, i + 6 * a_row), v, s6), multiply_add(broadcast(a, i + 7 * a_row), v, s7)
    store(out, out_first, s0)
    store(out, row1, s1)
    store(out, row2, s2)
    store(out, row3, s3)
    store(out, row4, s4)
    store(out, row5, s5)
    store(out, row6, s6)
    store(out, row7, s7)
