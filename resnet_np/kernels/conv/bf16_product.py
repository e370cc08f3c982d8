"""The products of a convolution in bf16, of any number of rows, out of blocks that fit the registers.

Measured on one core of an AMD EPYC (Zen 4), 2026-11-28, as shares of one `vdpbf16ps` a cycle: 0.95 with 32 columns and more, 0.73
with 16, where every pair of A is fetched for one instruction alone. The rows of A must lie at distances that the compiler knows:
with distances in registers, of which there are too few, it was 0.24.
"""

from numba import prange

from resnet_np.kernels.bfloat import LANES, multiply_pairs
from resnet_np.kernels.compile import inline, parallel

ROWS = 16  # to a multiple of which rows are computed, whatever A holds beyond the last: A and out must have them
HALF = ROWS // 2  # with two vectors of columns
PAIRS = LANES // 2  # of a block


@inline
def multiply_rows(a, a_first, a_block, rows, b, b_first, blocks, out, out_first, across, accumulate):
    """out (rows, across) (+)= A B, where B and out are `across` wide, a multiple of 16; see `multiply_pairs`.

    A comes in blocks of 16 columns, a_block apart: a block holds 16 neighbours of one row after the other.
    """
    for f in range(0, across - LANES, 2 * LANES):
        for r in range(0, rows, HALF):
            multiply_pairs(a, a_first + r * LANES, LANES, 2, a_block, b, b_first + 2 * f, 2 * across, blocks,
                           out, out_first + r * across + f, across, HALF, 2, PAIRS, accumulate)
    if across // LANES % 2 == 1:
        f = across - LANES
        for r in range(0, rows, ROWS):
            multiply_pairs(a, a_first + r * LANES, LANES, 2, a_block, b, b_first + 2 * f, 2 * across, blocks,
                           out, out_first + r * across + f, across, ROWS, 1, PAIRS, accumulate)


@inline
def multiply_turned(a, a_first, a_step, rows, b, b_first, b_step, depth, out, out_first, across, accumulate):
    """The same where A lies turned: pair k of all rows from a[a_first + k*a_step] on, that of B from b[b_first + k*b_step] on.

    depth: pairs. rows: a multiple of 16.
    """
    for f in range(0, across - LANES, 2 * LANES):
        for r in range(0, rows, HALF):
            multiply_pairs(a, a_first + 2 * r, 2, 0, a_step, b, b_first + 2 * f, b_step, depth,
                           out, out_first + r * across + f, across, HALF, 2, 1, accumulate)
    if across // LANES % 2 == 1:
        f = across - LANES
        for r in range(0, rows, ROWS):
            multiply_pairs(a, a_first + 2 * r, 2, 0, a_step, b, b_first + 2 * f, b_step, depth,
                           out, out_first + r * across + f, across, ROWS, 1, 1, accumulate)


@parallel
def multiply_all(a, b, out, accumulate):
    """out (M, R, F) (+)= A B, M products at once; a (M, K, 2 R and more), b (M, K, 2 F and more): pairs, turned.

    R is a multiple of 16.
    """
    count, rows, across = out.shape
    blocks = rows // ROWS
    for turn in prange(count * blocks):
        k, r = turn // blocks, turn % blocks * ROWS
        multiply_turned(a, k * a.shape[1] * a.shape[2] + 2 * r, a.shape[2], ROWS, b, k * b.shape[1] * b.shape[2], b.shape[2],
                        a.shape[1], out, (k * rows + r) * across, across, accumulate)
