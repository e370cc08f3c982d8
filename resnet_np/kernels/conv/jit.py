"""Convolution compiled by Numba: any kernel, stride and padding.

3x3 filters with stride 1, nine tenths of the nets' work, go by Winograd's sums where winograd.py suits; where a batch of maps has
no more than 2x2 pixels, padded by one, as one matrix product (dense.py). Of the rest, rows of whole half-vectors are read straight
from the padded image (direct.py). What remains goes by tiles of the im2col matrix (tiles.py): the forward pass to the same bits as
direct.py, the gradients of a stride above 1, or of many channels, in another order of summation.
Below are the tiles:

    N image   C channel in   F filter   H W input   KH KW kernel   OH OW output   K = C*KH*KW   P = OH*OW   T tile width

All three products are the same register-tiled `multiply_tile`:

    forward        out (F, P)      =  w (F, K)       columns (K, P)
    input gradient columns (K, P)  =  w^T (K, F)     dout (F, P),           then col2im adds the columns into dx
    weight gradient  dw^T (K, F)   =  columns (K, P) dout^T (P, F),         with the rows of pixels of many images as one P

Threads share images, for the weight gradient also channels, never sums: the bits are the same for any number of threads.
"""

import numpy as np
from numba import get_num_threads, get_thread_id, prange

from resnet_np.kernels.compile import parallel
from resnet_np.kernels.conv import dense, direct, winograd
from resnet_np.kernels.conv.finish import finish_image, nothing
from resnet_np.kernels.conv.partials import add_parts, parts
from resnet_np.kernels.conv.tiles import ROWS, col2im_tile, im2col_row, im2col_tile, into_panels, multiply_tile, pad_image, round_up
from resnet_np.kernels.simd import VECTOR_BYTES
from resnet_np.workspace import empty

DEPTH = 128  # pixels, if a row has not more, over which the weight gradient's block of sums stays in registers
BLOCK = 16  # channels, whole ROWS, whose weight gradient is one thread's turn: their columns of DEPTH pixels fit the L2 cache


def forward(x, w, *, stride, pad):
    """x (N, C, H, W), w (F, C, KH, KW) -> out (N, F, OH, OW)."""
    return correlate(x, w, stride, pad, pad, nothing(x.dtype))


def input_grad(dout, w, *, x_shape, stride, pad):
    """dout (N, F, OH, OW), w (F, C, KH, KW) -> dx of shape x_shape."""
    filters, channels, kh, kw = w.shape
    if input_grad_correlates(w.shape, stride, pad):
        return input_grad_correlation(dout, w, pad, nothing(dout.dtype))
    if stride > 1 and x_shape[3] % stride == 0 and direct.fits(x_shape[3] // stride, dout.dtype):
        return direct.input_grad(dout, w, x_shape=x_shape, stride=stride, pad=pad)
    images, _, height, width = x_shape
    threads, tile = get_num_threads(), _tile_width(dout.dtype)
    depth = channels * kh * kw
    w_rows = _zero_padded(w.reshape(filters, depth), filters, round_up(depth, ROWS))
    dx = empty(x_shape, dout.dtype)
    padded = empty((threads, channels, height + 2 * pad, width + 2 * pad), dout.dtype)
    columns = empty((threads, w_rows.shape[1], tile), dout.dtype)
    dout_tile = empty((threads, filters, tile), dout.dtype)
    oh, ow = dout.shape[2:]
    _input_grad(dout.reshape(images, filters, -1), w_rows, kh, kw, stride, pad, oh, ow, padded, columns, dout_tile, dx)
    return dx


def weight_grad(dout, x, *, w_shape, stride, pad):
    """dout (N, F, OH, OW), x (N, C, H, W) -> dw of shape w_shape, summed over the batch."""
    if dense.suits(w_shape, stride, pad, pad, x.shape):
        return dense.weight_grad(dout, x)
    if winograd.suits_weight_grad(w_shape, stride, dout.shape, x.dtype):
        return winograd.weight_grad(dout, x, pad=pad)
    if direct.fits(dout.shape[3], x.dtype):
        return direct.weight_grad(dout, x, w_shape=w_shape, stride=stride, pad=pad)
    filters, channels, kh, kw = w_shape
    images, _, oh, ow = dout.shape
    threads, tile, block = get_num_threads(), _tile_width(x.dtype), min(BLOCK, channels)
    padded = empty((threads, block, x.shape[2] + 2 * pad, x.shape[3] + 2 * pad), x.dtype)
    columns = empty((threads, round_up(block * kh * kw, ROWS), max(1, DEPTH // ow) * ow), x.dtype)
    turned = empty((round_up(filters, tile) // tile, images * oh * ow, tile), x.dtype)
    blocks = -(-channels // block)
    sums = parts(images, blocks * columns.shape[1], len(turned) * tile, x.dtype, blocks)
    into_panels(dout.reshape(images, filters, -1), turned)
    _weight_grad(turned, x, kh, kw, stride, pad, oh, ow, padded, columns, sums.reshape(len(sums), blocks, columns.shape[1], -1))
    return add_parts(sums, w_shape)


def input_grad_correlates(w_shape, stride, pad):
    """Whether every pixel of x is reached by a full window of dout."""
    return stride == 1 and pad < min(w_shape[2:])


def input_grad_correlation(dout, w, pad, finish):
    """dx with stride 1 needs no col2im: the sum over the window of dout that reaches a pixel is again a correlation, with filters
    turned by 180 degrees and with their two channel axes exchanged."""
    turned = np.ascontiguousarray(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    return correlate(dout, turned, 1, w.shape[2] - 1 - pad, w.shape[3] - 1 - pad, finish)


def correlate(x, w, stride, pad_h, pad_w, finish):
    """x (N, C, H, W), w (F, C, KH, KW) -> out (N, F, OH, OW). finish: what is done to each image of it, in the cache."""
    oh, ow = (x.shape[2] + 2 * pad_h - w.shape[2]) // stride + 1, (x.shape[3] + 2 * pad_w - w.shape[3]) // stride + 1
    if dense.suits(w.shape, stride, pad_h, pad_w, x.shape):
        return dense.correlate(x, w, finish)
    if winograd.suits(w.shape, stride, (len(x), len(w), oh, ow), x.dtype):
        return winograd.correlate(x, w, pad_h, pad_w, finish)
    if direct.fits(ow, x.dtype):
        return direct.correlate(x, w, stride, pad_h, pad_w, finish)
    return _correlate(x, w, stride, pad_h, pad_w, finish)


def _correlate(x, w, stride, pad_h, pad_w, finish):
    images, channels, height, width = x.shape
    filters, _, kh, kw = w.shape
    oh, ow = (height + 2 * pad_h - kh) // stride + 1, (width + 2 * pad_w - kw) // stride + 1
    threads, tile = get_num_threads(), _tile_width(x.dtype)
    depth = channels * kh * kw
    w_rows = _zero_padded(w.reshape(filters, depth), round_up(filters, ROWS), depth)
    out = empty((images, filters, oh, ow), x.dtype)
    padded = empty((threads, channels, height + 2 * pad_h, width + 2 * pad_w), x.dtype)
    columns = empty((threads, depth, tile), x.dtype)
    out_tile = empty((threads, ROWS, tile), x.dtype)
    _forward(x, w_rows, kh, kw, stride, pad_h, pad_w, oh, ow, padded, columns, out_tile, finish,
             out.reshape(images, filters, -1))
    return out


def _tile_width(dtype):
    return 2 * VECTOR_BYTES // np.dtype(dtype).itemsize


def _zero_padded(matrix, rows, columns):
    """`matrix` itself, or a copy with rows and columns of zeros, so that `multiply_tile` need not know where it ends."""
    if matrix.shape == (rows, columns):
        return matrix
    padded = np.zeros((rows, columns), matrix.dtype)
    padded[:matrix.shape[0], :matrix.shape[1]] = matrix
    return padded


@parallel
def _forward(x, w_rows, kh, kw, stride, pad_h, pad_w, oh, ow, padded, columns, out_tile, finish, out):
    """w_rows (F rounded up to ROWS, K), out (N, F, P).

    Scratch a thread: padded (C, PH, PW), columns (K, T), out_tile (ROWS, T).
    """
    images, filters, pixels = out.shape
    rows, depth = w_rows.shape
    tile = columns.shape[2]
    for n in prange(images):
        thread = get_thread_id()
        pad_image(x[n], pad_h, pad_w, padded[thread])
        for first in range(0, pixels, tile):
            im2col_tile(padded[thread], kh, kw, stride, oh, ow, first, columns[thread])
            for f in range(0, rows, ROWS):
                if f + ROWS <= filters and first + tile <= pixels:
                    multiply_tile(w_rows, f * depth, depth, 1, columns[thread], 0, tile, depth,
                                  out, (n * filters + f) * pixels + first, pixels, False)
                else:  # at an edge: compute the whole block, keep the part that exists
                    multiply_tile(w_rows, f * depth, depth, 1, columns[thread], 0, tile, depth,
                                  out_tile[thread], 0, tile, False)
                    for row in range(min(ROWS, filters - f)):
                        for t in range(min(tile, pixels - first)):
                            out[n, f + row, first + t] = out_tile[thread, row, t]
        finish_image(out, n, finish)


@parallel
def _input_grad(dout, w_rows, kh, kw, stride, pad, oh, ow, padded, columns, dout_tile, dx):
    """dout (N, F, P), w_rows (F, K rounded up).

    Scratch a thread: padded (C, PH, PW), columns (K rounded up, T), dout_tile (F, T).
    """
    images, filters, pixels = dout.shape
    rows = w_rows.shape[1]
    tile = columns.shape[2]
    for n in prange(images):
        thread = get_thread_id()
        padded[thread] = 0
        for first in range(0, pixels, tile):
            for f in range(filters):
                for t in range(tile):
                    dout_tile[thread, f, t] = dout[n, f, first + t] if first + t < pixels else 0
            for k in range(0, rows, ROWS):
                multiply_tile(w_rows, k, 1, rows, dout_tile[thread], 0, tile, filters,
                              columns[thread], k * tile, tile, False)
            col2im_tile(columns[thread], kh, kw, stride, oh, ow, first, padded[thread])
        for c in range(dx.shape[1]):
            for y in range(dx.shape[2]):
                for x in range(dx.shape[3]):
                    dx[n, c, y, x] = padded[thread, c, y + pad, x + pad]


@parallel
def _weight_grad(turned, x, kh, kw, stride, pad, oh, ow, padded, columns, sums):
    """turned: see `into_panels`; sums (B, C / BLOCK rounded up, R, F rounded up): B sums over consecutive images, R rows a block.

    Scratch a thread: padded (BLOCK, PH, PW), columns (R = BLOCK*KH*KW rounded up, whole rows of pixels).
    """
    images, channels = x.shape[:2]
    partials, blocks, rows, width = sums.shape
    tile, many = turned.shape[2], columns.shape[2] // ow
    for turn in prange(partials * blocks):
        thread, b, block = get_thread_id(), turn // blocks, turn % blocks
        c = block * padded.shape[1]
        here = min(padded.shape[1], channels - c)
        first, end = b * images // partials * oh, (b + 1) * images // partials * oh
        sums[b, block] = 0
        columns[thread] = 0
        for r in range(first, end, many):
            count = min(many, end - r)
            for k in range(count):
                image, oy = (r + k) // oh, (r + k) % oh
                if oy == 0:
                    pad_image(x[image, c:c + here], pad, pad, padded[thread])
                im2col_row(padded[thread, :here], kh, kw, stride, oy, ow, k * ow, columns[thread])
            for f in range(turned.shape[0]):
                for k in range(0, rows, ROWS):
                    multiply_tile(columns[thread], k * many * ow, many * ow, 1, turned, (f * images * oh + r) * ow * tile, tile,
                                  count * ow, sums, ((b * blocks + block) * rows + k) * width + f * tile, width, True)
