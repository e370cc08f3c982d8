"""Pictures of another size, as a product of matrices. N image, C channel, H W pixels, S new side."""

import functools

import numpy as np

from resnet_np.errors import InputError

_CHUNK = 64  # pictures in float32 at a time


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Bilinear interpolation: uint8 (N, C, H, W) -> uint8 (N, C, S, S); the images themselves if they have that size.

    A new pixel is a weighted mean of old ones, the rows and the columns apart: out = A x B^T. Where pictures shrink the weights
    reach as far as a new pixel does, so that nothing is skipped (Pillow's antialiasing; the tests compare). Raises InputError for
    other arrays, and a size below 1.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or size < 1:
        raise InputError(f"resize: expected pictures as uint8 (N, C, H, W) and a size of at least 1, got {images.dtype} "
                         f"{images.shape} and {size}")
    N, C, H, W = images.shape
    if (H, W) == (size, size):
        return images
    rows, columns = interpolation(H, size), interpolation(W, size)
    out = np.empty((N, C, size, size), np.uint8)
    for start in range(0, N, _CHUNK):
        exact = rows @ images[start:start + _CHUNK].astype(np.float32) @ columns.T
        out[start:start + _CHUNK] = np.rint(exact)  # weighted means of 0 ... 255 stay there
    return out


@functools.lru_cache(maxsize=8)
def interpolation(old: int, new: int) -> np.ndarray:
    """(new, old), float32: row i holds what new pixel i takes of each old one. A triangle around its centre; each row sums to 1."""
    scale = old / new
    reach = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale - 0.5
    triangle = np.maximum(0, 1 - np.abs(np.arange(old) - centres[:, None]) / reach)
    weights = (triangle / triangle.sum(1, keepdims=True)).astype(np.float32)
    weights.setflags(write=False)
    return weights
