"""What is done to a convolution's output in bf16, before it is rounded, and image by image while it is still in the cache.

    N image   F filter   P = OH*OW pixels, channels last
"""

from typing import NamedTuple

import numpy as np

from resnet_np.kernels.batchnorm.bf16 import image_moments
from resnet_np.kernels.bfloat import add, load, multiply_add, positive, subtract, widen
from resnet_np.kernels.compile import inline


class Finish(NamedTuple):
    sums: np.ndarray  # (2, N, F) float64: mean and sum of squared deviations of every plane are put here; N = 0: not wanted
    affine: np.ndarray  # (3, F) float32: mean, scale, shift of out = (y - mean) * scale + shift; F = 0: y stays as it is
    same: np.ndarray  # (N * P * F,) uint16: is added after that; empty: nothing is
    relu: bool  # and what is <= 0 then becomes 0


def nothing():
    """The output stays as it is."""
    return Finish(np.empty((2, 0, 0)), np.empty((3, 0), np.float32), np.empty(0, np.uint16), False)


@inline
def finish_vector(value, f, at, finish):
    """Of 16 filters of a pixel, from f on, which will be stored at out[at ...]."""
    filters = finish.affine.shape[1]
    if filters > 0:
        mean, scale, shift = load(finish.affine, f), load(finish.affine, filters + f), load(finish.affine, 2 * filters + f)
        value = multiply_add(subtract(value, mean), scale, shift)
    if finish.same.shape[0] > 0:
        value = add(value, widen(finish.same, at))
    if finish.relu:
        value = positive(value)
    return value


@inline
def finish_image(out, image, finish):
    """Of out (N, OH, OW, F), the image that was just written: the moments of what is stored there."""
    if finish.sums.shape[1] > 0:
        image_moments(out, image, finish.sums)
