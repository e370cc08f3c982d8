"""Any convolution of a net that only answers, by its definition: a sum over the window, in the order of the filters in memory.

n lanes of a vector   C channel   F filter   KH KW kernel

A block is 8 pixels of n filters, or 6 or 8 of 2 n; its sums stay in registers until they are finished and stored.
"""

from resnet_np.kernels.answer.ending import finished
from resnet_np.kernels.compile import inline
from resnet_np.kernels.conv.tiles import TALL
from resnet_np.kernels.simd import VECTOR_BYTES, broadcast, lanes, load, multiply_add, store, zero


@inline
def convolve(step, piece, weights, memory, places):
    """Of a piece: where each of its pixels is read from and written to, once for all filters; then block by block."""
    n = lanes(memory)
    pixels, blocks, part = step.oh * step.ow, step.filters // n, piece % step.split
    first = piece // step.split * step.chunk
    end = min(first + step.chunk, pixels)
    base = max(0, min(first, end - TALL))  # the last block of a piece begins earlier, even before the piece
    oy, ox = base // step.ow, base % step.ow
    for p in range(max(end - base, TALL)):
        places[0, p] = step.origin + step.stride * (oy * step.row + ox * step.pixel)
        places[1, p] = step.to + oy * step.to_row + ox * n
        if base + p + 1 < pixels:  # where a map has fewer pixels than a block, the last is computed again
            ox += 1
            if ox == step.ow:
                ox, oy = 0, oy + 1
    depth = step.kh * step.kw * step.deep * max(1, step.channels // step.deep)
    pairs, same, relu = (blocks + 1) // 2, step.same - step.to, step.relu > 0
    for pair in range(part * pairs // step.split, (part + 1) * pairs // step.split):
        w, to, bias = step.weight + pair * 2 * n * depth, 2 * pair * step.to_plane, step.bias + 2 * pair * n
        if 2 * pair + 1 < blocks:
            for p in range(first, end, ACROSS):
                _block_of_two(step, weights, w, bias, memory, places, max(0, min(p, end - ACROSS)) - base, to, same, relu)
        else:
            for p in range(first, end, TALL):
                _block_of_one(step, weights, w, bias, memory, places, max(0, min(p, end - TALL)) - base, to, same, relu)


@inline
def _block_of_one(step, weights, w, bias, memory, places, p, to, same, relu):
    """8 pixels of n filters."""
    n = lanes(memory)
    p0, p1, p2, p3 = places[0, p], places[0, p + 1], places[0, p + 2], places[0, p + 3]
    p4, p5, p6, p7 = places[0, p + 4], places[0, p + 5], places[0, p + 6], places[0, p + 7]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero(memory)
    deep, planes = step.deep, max(1, step.channels // step.deep)
    for i in range(step.kh):
        for j in range(step.kw):
            for block in range(planes):
                at = i * step.row + j * step.pixel + block * step.plane
                for c in range(at, at + deep):
                    v = load(weights, w)
                    w += n
                    s0 = multiply_add(broadcast(memory, p0 + c), v, s0)
                    s1 = multiply_add(broadcast(memory, p1 + c), v, s1)
                    s2 = multiply_add(broadcast(memory, p2 + c), v, s2)
                    s3 = multiply_add(broadcast(memory, p3 + c), v, s3)
                    s4 = multiply_add(broadcast(memory, p4 + c), v, s4)
                    s5 = multiply_add(broadcast(memory, p5 + c), v, s5)
                    s6 = multiply_add(broadcast(memory, p6 + c), v, s6)
                    s7 = multiply_add(broadcast(memory, p7 + c), v, s7)
    added, adds = load(weights, bias), step.same >= 0
    _finish_one(s0, added, memory, places[1, p] + to, same, adds, relu)
    _finish_one(s1, added, memory, places[1, p + 1] + to, same, adds, relu)
    _finish_one(s2, added, memory, places[1, p + 2] + to, same, adds, relu)
    _finish_one(s3, added, memory, places[1, p + 3] + to, same, adds, relu)
    _finish_one(s4, added, memory, places[1, p + 4] + to, same, adds, relu)
    _finish_one(s5, added, memory, places[1, p + 5] + to, same, adds, relu)
    _finish_one(s6, added, memory, places[1, p + 6] + to, same, adds, relu)
    _finish_one(s7, added, memory, places[1, p + 7] + to, same, adds, relu)


@inline
def _finish_one(vector, bias, memory, to, same, adds, relu):
    store(memory, to, finished(vector, bias, memory, to + same, adds, relu))


@inline
def _both(memory, at, b0, b1, sums):
    factor = broadcast(memory, at)
    return multiply_add(factor, b0, sums[0]), multiply_add(factor, b1, sums[1])


@inline
def _finish_two(plane, sums, b0, b1, memory, to, same, adds, relu):
    _finish_one(sums[0], b0, memory, to, same, adds, relu)
    _finish_one(sums[1], b1, memory, to + plane, same, adds, relu)


@inline
def _six_of_two(step, weights, w, bias, memory, places, p, to, same, relu):
    """6 pixels of 2 n filters."""
    n = lanes(memory)
    p0, p1, p2 = places[0, p], places[0, p + 1], places[0, p + 2]
    p3, p4, p5 = places[0, p + 3], places[0, p + 4], places[0, p + 5]
    s0 = s1 = s2 = s3 = s4 = s5 = zero(memory), zero(memory)
    deep, planes = step.deep, max(1, step.channels // step.deep)
    for i in range(step.kh):
        for j in range(step.kw):
            for block in range(planes):
                at = i * step.row + j * step.pixel + block * step.plane
                for c in range(at, at + deep):
                    b0, b1 = load(weights, w), load(weights, w + n)
                    w += 2 * n
                    s0, s1 = _both(memory, p0 + c, b0, b1, s0), _both(memory, p1 + c, b0, b1, s1)
                    s2, s3 = _both(memory, p2 + c, b0, b1, s2), _both(memory, p3 + c, b0, b1, s3)
                    s4, s5 = _both(memory, p4 + c, b0, b1, s4), _both(memory, p5 + c, b0, b1, s5)
    b0, b1, adds = load(weights, bias), load(weights, bias + n), step.same >= 0
    _finish_two(step.to_plane, s0, b0, b1, memory, places[1, p] + to, same, adds, relu)
    _finish_two(step.to_plane, s1, b0, b1, memory, places[1, p + 1] + to, same, adds, relu)
    _finish_two(step.to_plane, s2, b0, b1, memory, places[1, p + 2] + to, same, adds, relu)
    _finish_two(step.to_plane, s3, b0, b1, memory, places[1, p + 3] + to, same, adds, relu)
    _finish_two(step.to_plane, s4, b0, b1, memory, places[1, p + 4] + to, same, adds, relu)
    _finish_two(step.to_plane, s5, b0, b1, memory, places[1, p + 5] + to, same, adds, relu)


@inline
def _eight_of_two(step, weights, w, bias, memory, places, p, to, same, relu):
    """8 pixels of 2 n filters, where a CPU has 32 registers."""
    n = lanes(memory)
    p0, p1, p2, p3 = places[0, p], places[0, p + 1], places[0, p + 2], places[0, p + 3]
    p4, p5, p6, p7 = places[0, p + 4], places[0, p + 5], places[0, p + 6], places[0, p + 7]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero(memory), zero(memory)
    deep, planes = step.deep, max(1, step.channels // step.deep)
    for i in range(step.kh):
        for j in range(step.kw):
            for block in range(planes):
                at = i * step.row + j * step.pixel + block * step.plane
                for c in range(at, at + deep):
                    b0, b1 = load(weights, w), load(weights, w + n)
                    w += 2 * n
                    s0, s1 = _both(memory, p0 + c, b0, b1, s0), _both(memory, p1 + c, b0, b1, s1)
                    s2, s3 = _both(memory, p2 + c, b0, b1, s2), _both(memory, p3 + c, b0, b1, s3)
                    s4, s5 = _both(memory, p4 + c, b0, b1, s4), _both(memory, p5 + c, b0, b1, s5)
                    s6, s7 = _both(memory, p6 + c, b0, b1, s6), _both(memory, p7 + c, b0, b1, s7)
    b0, b1, adds = load(weights, bias), load(weights, bias + n), step.same >= 0
    _finish_two(step.to_plane, s0, b0, b1, memory, places[1, p] + to, same, adds, relu)
    _finish_two(step.to_plane, s1, b0, b1, memory, places[1, p + 1] + to, same, adds, relu)
    _finish_two(step.to_plane, s2, b0, b1, memory, places[1, p + 2] + to, same, adds, relu)
    _finish_two(step.to_plane, s3, b0, b1, memory, places[1, p + 3] + to, same, adds, relu)
    _finish_two(step.to_plane, s4, b0, b1, memory, places[1, p + 4] + to, same, adds, relu)
    _finish_two(step.to_plane, s5, b0, b1, memory, places[1, p + 5] + to, same, adds, relu)
    _finish_two(step.to_plane, s6, b0, b1, memory, places[1, p + 6] + to, same, adds, relu)
    _finish_two(step.to_plane, s7, b0, b1, memory, places[1, p + 7] + to, same, adds, relu)


ACROSS, _block_of_two = (8, _eight_of_two) if VECTOR_BYTES == 64 else (6, _six_of_two)  # pixels
