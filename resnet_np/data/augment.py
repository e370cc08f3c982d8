"""A new view of every picture in every epoch. N image, C channel, H W pixels."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from resnet_np import workspace
from resnet_np.errors import InputError


def crop_flip(images: np.ndarray, rng: np.random.Generator, *, pad: int = 4) -> np.ndarray:
    """Pad each picture with `pad` zeros a side, cut out a random window of its size, mirror it with probability 1/2.

    images (N, C, H, W), already normalised, so that the zeros are the mean colour -> a fresh array like it.
    Raises InputError if images is not 4-dimensional or pad is negative.
    He et al. 2015, section 4.2.
    """
    if images.ndim != 4 or pad < 0:
        raise InputError(f"crop_flip: expected images (N, C, H, W) and pad >= 0, got {images.shape} and {pad}")
    N, C, H, W = images.shape
    down, right = rng.integers(0, 2 * pad + 1, (2, N))  # the window's corner in the padded picture
    mirror = rng.random(N) < 0.5

    padded = workspace.empty((N, C, H + 2 * pad, W + 2 * pad), images.dtype)
    padded[...] = 0
    padded[:, :, pad:pad + H, pad:pad + W] = images
    # Every window as a view (N, C, 2 pad + 1, 2 pad + 1, H, W): picking one a picture copies whole rows, which is ten
    # times faster than taking each pixel by its index.
    out = sliding_window_view(padded, (H, W), axis=(2, 3))[np.arange(N), :, down, right]
    out[mirror] = out[mirror, :, :, ::-1]
    return out
