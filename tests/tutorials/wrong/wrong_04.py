"""Typical wrong answers to the exercises of notebook 4."""

import numpy as np


def exercise_04_1(x, main):
    # the shortcut as a subtraction
    return np.maximum(main(x) - x, 0)


def exercise_04_2(dout, out, main_backward):
    # the gradient of the shortcut forgotten
    return main_backward(np.where(out > 0, dout, 0))


def exercise_04_3(x, channels):
    # all the zeros at the end
    return np.pad(x[:, :, ::2, ::2], ((0, 0), (0, channels - x.shape[1]), (0, 0), (0, 0)))


def exercise_04_4(a, blocks):
    # the derivatives added up instead of multiplied
    return a * blocks, (1 + a) * blocks
