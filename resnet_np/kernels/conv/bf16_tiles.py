"""Products in bf16, tile by tile: by AMX where that is the micro-kernel, else by the vectors of `multiply_pairs`.

    multiply_down      out_i[r, f]  =   sum over k of  A_i[r, k] * B[k, f]       16 rows r, 16 columns f, i < count <= 4
    multiply_across    out_i[r, f] (+)= sum over k of  A[r, k] * B_i[k, f]       sums in float32

32 neighbours in k are a tile. A's rows hold them side by side, B's rows in pairs, those of all 16 columns side by side. What the
products share is fetched once for all of them.

Of the eight tile registers six are used. A loop of loads and products, on two shared cores of an Intel Xeon (Emerald Rapids,
2026-11-29), takes 7 ns a product for some seconds, and several times as long for others: 31 ns with eight registers, 19 with six,
15 with four. Perhaps a neighbour on the same core takes the spare registers that the CPU renames them to. With four, what is
fetched serves two products and not four, and whole convolutions were no quicker than with six.

Arrays are uint16, out is float32, indices are flat. Before the first product of a thread stands begin(), after its last end().
"""

from typing import Any

from resnet_np.kernels import amx
from resnet_np.kernels.bfloat import LANES, multiply_pairs
from resnet_np.kernels.compile import inline
from resnet_np.kernels.micro import MICRO_KERNEL

ROWS = 16  # of a tile
DEPTH = 32  # products of a sum, in a tile
PAIRS = DEPTH // 2
TILE, SUMS = ROWS * DEPTH, ROWS * LANES  # numbers in a tile of factors, and of sums
COUNT = 4  # products that are computed together, at most


@inline
def _clear(count):
    amx.clear(0)
    if count > 1:
        amx.clear(1)
    if count > 2:
        amx.clear(2)
    if count > 3:
        amx.clear(3)


@inline
def _store(count, out, o0, o1, o2, o3, out_row):
    amx.store_sums(0, out, o0, out_row)
    if count > 1:
        amx.store_sums(1, out, o1, out_row)
    if count > 2:
        amx.store_sums(2, out, o2, out_row)
    if count > 3:
        amx.store_sums(3, out, o3, out_row)


@inline
def _down_by_amx(count, a, a0, a1, a2, a3, a_row, a_piece, pieces, blocks, b, b_first, out, out_first):
    """Row r of the i-th A is `pieces` times 32 * `blocks` numbers, from a[ai + r*a_row + piece*a_piece] on. B is one tile after the
    other from b[b_first] on, and out is `count` tiles, one after the other, from out[out_first] on."""
    _clear(count)
    for piece in range(pieces):
        at = piece * a_piece
        for _ in range(blocks):
            amx.load_bf16(4, b, b_first, DEPTH)
            amx.load_bf16(5, a, a0 + at, a_row)
            amx.multiply(0, 5, 4)
            if count > 1:
                amx.load_bf16(5, a, a1 + at, a_row)
                amx.multiply(1, 5, 4)
            if count > 2:
                amx.load_bf16(5, a, a2 + at, a_row)
                amx.multiply(2, 5, 4)
            if count > 3:
                amx.load_bf16(5, a, a3 + at, a_row)
                amx.multiply(3, 5, 4)
            at += DEPTH
            b_first += TILE
    _store(count, out, out_first, out_first + SUMS, out_first + 2 * SUMS, out_first + 3 * SUMS, ROWS)


@inline
def _down_by_vectors(count, a, a0, a1, a2, a3, a_row, a_piece, pieces, blocks, b, b_first, out, out_first):
    for i in range(count):
        for piece in range(pieces):
            at, b_at, to = (a0, a1, a2, a3)[i] + piece * a_piece, b_first + piece * blocks * TILE, out_first + i * SUMS
            multiply_pairs(a, at, a_row, 2, DEPTH, b, b_at, DEPTH, blocks, out, to, ROWS, ROWS, 1, PAIRS, piece > 0)


@inline
def _across_by_amx(count, a, a_first, blocks, b, b0, b1, b2, b3, b_row, out, o0, o1, o2, o3, out_row, accumulate):
    """A is one tile after the other from a[a_first] on; pair k of the i-th B lies from b[bi + k*b_row] on, row r of the i-th out
    from out[oi + r*out_row] on."""
    if accumulate:
        amx.load_sums(0, out, o0, out_row)
        if count > 1:
            amx.load_sums(1, out, o1, out_row)
        if count > 2:
            amx.load_sums(2, out, o2, out_row)
        if count > 3:
            amx.load_sums(3, out, o3, out_row)
    else:
        _clear(count)
    for block in range(blocks):
        at = block * PAIRS * b_row
        amx.load_bf16(4, a, a_first + block * TILE, DEPTH)
        amx.load_bf16(5, b, b0 + at, b_row)
        amx.multiply(0, 4, 5)
        if count > 1:
            amx.load_bf16(5, b, b1 + at, b_row)
            amx.multiply(1, 4, 5)
        if count > 2:
            amx.load_bf16(5, b, b2 + at, b_row)
            amx.multiply(2, 4, 5)
        if count > 3:
            amx.load_bf16(5, b, b3 + at, b_row)
            amx.multiply(3, 4, 5)
    _store(count, out, o0, o1, o2, o3, out_row)


@inline
def _across_by_vectors(count, a, a_first, blocks, b, b0, b1, b2, b3, b_row, out, o0, o1, o2, o3, out_row, accumulate):
    for i in range(count):
        multiply_pairs(a, a_first, DEPTH, 2, TILE, b, (b0, b1, b2, b3)[i], b_row, blocks, out, (o0, o1, o2, o3)[i], out_row,
                       ROWS, 1, PAIRS, accumulate)


@inline
def _nothing():
    pass


multiply_down: Any
multiply_across: Any
begin: Any
end: Any
if MICRO_KERNEL == "amx":
    multiply_down, multiply_across, begin, end = _down_by_amx, _across_by_amx, amx.configure, amx.release
else:
    multiply_down, multiply_across, begin, end = _down_by_vectors, _across_by_vectors, _nothing, _nothing
