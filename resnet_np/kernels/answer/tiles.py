"""The 3x3 convolution with stride 1 of a net that only answers: tile by tile, by Winograd's F(4x4, 3x3) of `conv/winograd.py`.

n lanes of a vector   C channel   F filter   T tiles   k place in a tile

Maps lie as the sums of tiles want them (program.py): nothing has to be turned, and what comes out is finished and stored at once.
"""

from resnet_np.kernels.answer.ending import finished
from resnet_np.kernels.compile import inline
from resnet_np.kernels.conv.tiles import TALL
from resnet_np.kernels.conv.winograd import FILTERS, PLACES, multiply_panels, panel_of
from resnet_np.kernels.conv.winograd_sums import products, products_of, transform_pixels
from resnet_np.kernels.simd import lanes, load, store


@inline
def convolve_tiles(step, piece, weights, memory, scratch):
    n = lanes(memory)
    channels, blocks, chunk, split = step.channels, step.filters // n, step.chunk, step.split
    across, tiles = (step.ow + 3) // 4, (step.oh + 3) // 4 * ((step.ow + 3) // 4)
    first = piece // split * chunk
    count = min(chunk, tiles - first)
    tall = (chunk + TALL - 1) // TALL * TALL
    place_d = tall * channels + n
    for t in range(count):
        tile = first + t
        at = step.origin + tile // across * 4 * step.row + tile % across * 4 * n
        for block in range(channels // n):
            transform_pixels(memory, at + block * step.plane, step.row, scratch, t * channels + block * n, place_d)
    m = PLACES * place_d
    place_m = tall * min(FILTERS, step.filters) + n
    edge = m + PLACES * place_m
    pairs = (blocks + 1) // 2
    part = piece % split
    begin, end = part * pairs // split * 2, min((part + 1) * pairs // split * 2, blocks)
    for left in range(begin, end, FILTERS // n):
        right = min(left + FILTERS // n, end)
        line = (right - left) * n
        for k in range(PLACES):
            for block in range(left, right, 2):
                panel, wide = panel_of(block, blocks, n, PLACES * channels)
                multiply_panels(scratch, k * place_d, channels, 1, count, weights, step.weight + panel + k * channels * wide, wide,
                          channels, scratch, m + k * place_m + (block - left) * n, line, False)
        for t in range(count):
            for block in range(left, right):
                _finish_tile(step, first + t, block, across, weights, scratch, m + t * line + (block - left) * n, place_m, edge,
                             memory)


@inline
def _finish_tile(step, tile, block, across, weights, scratch, at, place, edge, memory):
    """4x4 outputs of n filters into their map."""
    n = lanes(memory)
    y, x = tile // across * 4, tile % across * 4
    inside = block * step.to_plane + y * step.to_row + x * n
    to, same, adds, relu = step.to + inside, step.same + inside, step.same >= 0, step.relu > 0
    bias = load(weights, step.bias + block * n)
    a, b, c = products(scratch, at, place), products(scratch, at + place, place), products(scratch, at + 2 * place, place)
    d, e = products(scratch, at + 3 * place, place), products(scratch, at + 4 * place, place)
    f = products(scratch, at + 5 * place, place)
    line = step.to_row
    if y + 4 <= step.oh and x + 4 <= step.ow:
        _finish_four(products_of(a[0], b[0], c[0], d[0], e[0], f[0]), bias, memory, to, same, adds, relu)
        _finish_four(products_of(a[1], b[1], c[1], d[1], e[1], f[1]), bias, memory, to + line, same + line, adds, relu)
        _finish_four(products_of(a[2], b[2], c[2], d[2], e[2], f[2]), bias, memory, to + 2 * line, same + 2 * line, adds, relu)
        _finish_four(products_of(a[3], b[3], c[3], d[3], e[3], f[3]), bias, memory, to + 3 * line, same + 3 * line, adds, relu)
    else:  # what lies beyond the map is dropped
        _put_four(products_of(a[0], b[0], c[0], d[0], e[0], f[0]), scratch, edge)
        _put_four(products_of(a[1], b[1], c[1], d[1], e[1], f[1]), scratch, edge + 4 * n)
        _put_four(products_of(a[2], b[2], c[2], d[2], e[2], f[2]), scratch, edge + 8 * n)
        _put_four(products_of(a[3], b[3], c[3], d[3], e[3], f[3]), scratch, edge + 12 * n)
        for i in range(min(4, step.oh - y)):
            for j in range(min(4, step.ow - x)):
                there = i * line + j * n
                store(memory, to + there,
                      finished(load(scratch, edge + (4 * i + j) * n), bias, memory, same + there, adds, relu))


@inline
def _finish_four(vectors, bias, memory, to, same, adds, relu):
    n = lanes(memory)
    store(memory, to, finished(vectors[0], bias, memory, same, adds, relu))
    store(memory, to + n, finished(vectors[1], bias, memory, same + n, adds, relu))
    store(memory, to + 2 * n, finished(vectors[2], bias, memory, same + 2 * n, adds, relu))
    store(memory, to + 3 * n, finished(vectors[3], bias, memory, same + 3 * n, adds, relu))


@inline
def _put_four(vectors, scratch, to):
    n = lanes(scratch)
    store(scratch, to, vectors[0])
    store(scratch, to + n, vectors[1])
    store(scratch, to + 2 * n, vectors[2])
    store(scratch, to + 3 * n, vectors[3])
