"""What is done to a convolution's output image by image, while it is still in the cache.

    N image   F filter   P = OH*OW pixels of a plane

A sweep of its own over a batch fetches every plane from memory again. Here a plane is at hand: the thread that wrote an image's
last pixel goes over it once more at once.
"""

from typing import NamedTuple

import numpy as np

from resnet_np.kernels.batchnorm.planes import normalise_plane, plane_moments
from resnet_np.kernels.compile import inline


class Finish(NamedTuple):
    sums: np.ndarray  # (2, N, F) float64: mean and sum of squared deviations of every plane are put here; N = 0: not wanted
    affine: np.ndarray  # (3, F): mean, scale, shift of out = (y - mean) * scale + shift; F = 0: y stays as it is
    same: np.ndarray  # (N, F, P): is added after that; N = 0: nothing is
    relu: bool  # and what is <= 0 then becomes 0


def nothing(dtype):
    """The output stays as it is."""
    return Finish(np.empty((2, 0, 0)), np.empty((3, 0), dtype), np.empty((0, 0, 0), dtype), False)


@inline
def finish_image(out, image, finish):
    """Of out (N, F, P), the image that was just written."""
    if finish.sums.shape[1] > 0:
        for f in range(out.shape[1]):
            finish.sums[0, image, f], finish.sums[1, image, f] = plane_moments(out[image, f])
    if finish.affine.shape[1] > 0:
        for f in range(out.shape[1]):
            normalise_plane(out, image, f, finish.affine, finish.same.shape[0] > 0, finish.same, finish.relu, out)
