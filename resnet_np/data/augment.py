"""A new view of every picture in every epoch. N image, C channel, H W pixels, K class."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from resnet_np import workspace
from resnet_np.backend import like, namespace, on_device
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
    mirror = np.less(rng.random(N), 0.5)
    if on_device(images):
        return _crop_flip_on_device(images, down, right, mirror, pad)

    padded = workspace.empty((N, C, H + 2 * pad, W + 2 * pad), images.dtype)
    padded[...] = 0
    padded[:, :, pad:pad + H, pad:pad + W] = images
    # Every window as a view (N, C, 2 pad + 1, 2 pad + 1, H, W): picking one a picture copies whole rows, which is ten
    # times faster than taking each pixel by its index.
    out = sliding_window_view(padded, (H, W), axis=(2, 3))[np.arange(N), :, down, right]
    out[mirror] = out[mirror, :, :, ::-1]
    return out


def _crop_flip_on_device(images: np.ndarray, down: np.ndarray, right: np.ndarray, mirror: np.ndarray, pad: int) -> np.ndarray:
    """There a thread takes each pixel by its index: out[n, c, h, w] = padded[n, c, rows[n, h], columns[n, w]]."""
    cupy = namespace(images)
    N, C, H, W = images.shape
    padded = cupy.zeros((N, C, H + 2 * pad, W + 2 * pad), images.dtype)
    padded[:, :, pad:pad + H, pad:pad + W] = images
    rows = down[:, None] + np.arange(H)
    columns = right[:, None] + np.where(mirror[:, None], np.arange(W)[::-1], np.arange(W))
    places = cupy.asarray(np.concatenate((rows, columns), axis=1))  # one small copy to the device
    rows, columns = places[:, None, :H, None], places[:, None, None, H:]
    return padded[cupy.arange(N)[:, None, None, None], cupy.arange(C)[:, None, None], rows, columns]


def cutout(images: np.ndarray, rng: np.random.Generator, *, side: int) -> np.ndarray:
    """Set a square of `side` x `side` pixels of each picture to 0, the mean colour, so that no single part is relied on.

    images (N, C, H, W), already normalised -> a fresh array like it. The centre of the square is anywhere in the picture, so the
    square may hang over the edge. Raises InputError if images is not 4-dimensional or side is negative.
    DeVries and Taylor 2017, section 3.2: 16 pixels for CIFAR-10.
    """
    if images.ndim != 4 or side < 0:
        raise InputError(f"cutout: expected images (N, C, H, W) and side >= 0, got {images.shape} and {side}")
    N, _, H, W = images.shape
    top = rng.integers(0, H, (N, 1)) - side // 2
    left = rng.integers(0, W, (N, 1)) - side // 2
    rows, columns = np.arange(H), np.arange(W)
    row_hit, column_hit = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    hole = row_hit[:, None, :, None] & column_hit[:, None, None, :]  # (N, 1, H, W)
    if on_device(images):
        return namespace(images).where(like(hole, images), images.dtype.type(0), images)
    out = workspace.empty(images.shape, images.dtype)
    out[...] = images
    np.copyto(out, 0, where=hole)
    return out


def mixup(
    images: np.ndarray, labels: np.ndarray, rng: np.random.Generator, *, alpha: float, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each picture with another of the batch, and their labels in the same proportion.

    images (N, C, H, W), labels int64 (N,) -> images like them, targets (N, K) of the images' dtype: share s of the one label and
    1 - s of the other. s is drawn once a batch from Beta(alpha, alpha): the smaller alpha, the nearer to 0 or 1.
    Raises InputError unless alpha > 0. Zhang et al. 2017, section 2.
    """
    if not 0 < alpha < np.inf:
        raise InputError(f"mixup: alpha must be a number above 0, got {alpha}")
    share = images.dtype.type(rng.beta(alpha, alpha))
    other = rng.permutation(len(images))
    one_hot = np.eye(classes, dtype=images.dtype)[labels]
    targets = share * one_hot + (1 - share) * one_hot[other]
    if on_device(images):
        return images * share + images[like(other, images)] * (1 - share), targets
    mixed = workspace.empty(images.shape, images.dtype)
    np.multiply(images, share, out=mixed)
    mixed += (1 - share) * images[other]
    return mixed, targets
