"""Solutions of notebook 4, The residual connection."""

import numpy as np


def exercise_04_1(x, main):
    # The sum goes through the ReLU: where the branch returns 0, x (positive from the block before) passes unchanged.
    return np.maximum(main(x) + x, 0)


def exercise_04_2(dout, out, main_backward):
    # The addition hands the same gradient to both branches, and x, which went both ways, collects both.
    dsum = np.where(out > 0, dout, 0)
    return main_backward(dsum) + dsum


def exercise_04_3(x, channels):
    # Nothing is learned: pixels are skipped and zeros added until the shapes agree, so that the two can be added.
    before = (channels - x.shape[1]) // 2
    after = channels - x.shape[1] - before
    return np.pad(x[:, :, ::2, ::2], ((0, 0), (before, after), (0, 0), (0, 0)))


def exercise_04_4(a, blocks):
    # d(f(x))/dx = a and d(x + f(x))/dx = 1 + a, a factor a block.
    return a**blocks, (1 + a) ** blocks
