"""A new view of every picture in every epoch. N image, C channel, H W pixels, K class.

Every way comes in two halves: what is drawn, a few integers a picture, and what is done with it, where the pictures are. So a
loader can send both to a device in one copy. `crop_flip`, `cutout` and `mixup` are the two halves together.
"""

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
    return take_windows(images, like(draw_windows(rng, len(images), pad), images), pad)


def draw_windows(rng: np.random.Generator, count: int, pad: int) -> np.ndarray:
    """int64 (3, N): the row and the column of the window's corner in the padded picture, and whether it is mirrored."""
    corners = rng.integers(0, 2 * pad + 1, (2, count))
    return np.concatenate((corners, np.less(rng.random((1, count)), 0.5)))


def alternating_mirrors(rng: np.random.Generator, count: int, epoch: int) -> np.ndarray:
    """bool (N,): which of `count` pictures are mirrored in that epoch, counted from 0. rng is that of the run, not of the epoch.

    A picture is mirrored at random in epoch 0 and is its own mirror image in every second epoch, so that two epochs in a row show
    each picture in both ways, where chance would show half of them the same way twice. Jordan 2024, arXiv 2404.00498, section 3.6.
    """
    return np.less(rng.random(count), 0.5) ^ bool(epoch % 2)


def take_windows(images: np.ndarray, windows: np.ndarray, pad: int, *, reflect: bool = False) -> np.ndarray:
    """images (N, C, H, W) and what `draw_windows` drew -> a fresh array like images.

    reflect: what a window shows beyond the edge is the picture reflected at its last pixel, instead of zeros.
    """
    N, C, H, W = images.shape
    down, right, mirror = windows
    if on_device(images):
        # There a thread takes each pixel by its index: out[n, c, h, w] = padded[n, c, rows[n, h], columns[n, w]].
        cupy = namespace(images)
        padded = cupy.zeros((N, C, H + 2 * pad, W + 2 * pad), images.dtype)
        padded[:, :, pad:pad + H, pad:pad + W] = images
        if reflect:
            _reflect(padded, pad)
        rows, columns = cupy.arange(H), cupy.arange(W)
        rows = down[:, None] + rows
        columns = right[:, None] + cupy.where(mirror[:, None] != 0, columns[::-1], columns)
        return padded[cupy.arange(N)[:, None, None, None], cupy.arange(C)[:, None, None], rows[:, None, :, None],
                      columns[:, None, None, :]]

    padded = workspace.empty((N, C, H + 2 * pad, W + 2 * pad), images.dtype)
    padded[...] = 0
    padded[:, :, pad:pad + H, pad:pad + W] = images
    if reflect:
        _reflect(padded, pad)
    # Every window as a view (N, C, 2 pad + 1, 2 pad + 1, H, W): picking one a picture copies whole rows, which is ten
    # times faster than taking each pixel by its index.
    out = sliding_window_view(padded, (H, W), axis=(2, 3))[np.arange(N), :, down, right]
    out[mirror != 0] = out[mirror != 0, :, :, ::-1]
    return out


def _reflect(padded: np.ndarray, pad: int) -> None:
    """Fill the edge of `padded` (N, C, H + 2 pad, W + 2 pad), whose middle is the picture: as np.pad's mode "reflect"."""
    for i in range(1, pad + 1):
        padded[:, :, pad - i], padded[:, :, i - pad - 1] = padded[:, :, pad + i], padded[:, :, -pad - 1 - i]
    for i in range(1, pad + 1):
        padded[..., pad - i], padded[..., i - pad - 1] = padded[..., pad + i], padded[..., -pad - 1 - i]


def cutout(images: np.ndarray, rng: np.random.Generator, *, side: int) -> np.ndarray:
    """Set a square of `side` x `side` pixels of each picture to 0, the mean colour, so that no single part is relied on.

    images (N, C, H, W), already normalised -> a fresh array like it. The centre of the square is anywhere in the picture, so the
    square may hang over the edge. Raises InputError if images is not 4-dimensional or side is negative.
    DeVries and Taylor 2017, section 3.2: 16 pixels for CIFAR-10.
    """
    if images.ndim != 4 or side < 0:
        raise InputError(f"cutout: expected images (N, C, H, W) and side >= 0, got {images.shape} and {side}")
    return blank_squares(images, like(draw_centres(rng, len(images), images.shape[2], images.shape[3]), images), side)


def draw_centres(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """int64 (2, N): the row and the column of a pixel in each picture."""
    return np.stack((rng.integers(0, height, count), rng.integers(0, width, count)))


def blank_squares(images: np.ndarray, centres: np.ndarray, side: int) -> np.ndarray:
    """images (N, C, H, W) and what `draw_centres` drew -> a fresh array like images."""
    xp, (H, W) = namespace(images), images.shape[2:]
    top, left = centres[:, :, None] - side // 2  # (N, 1) each
    rows, columns = xp.arange(H), xp.arange(W)
    row_hit, column_hit = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    hole = row_hit[:, None, :, None] & column_hit[:, None, None, :]  # (N, 1, H, W)
    if on_device(images):
        return xp.where(hole, images.dtype.type(0), images)
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
    share, other = draw_pairs(rng, len(images), alpha)
    return blend(images, like(labels, images), share, like(other, images), classes)


def draw_pairs(rng: np.random.Generator, count: int, alpha: float) -> tuple[float, np.ndarray]:
    """The share s, and int64 (N,): the other picture of each. Raises InputError unless alpha > 0."""
    if not 0 < alpha < np.inf:
        raise InputError(f"mixup: alpha must be a number above 0, got {alpha}")
    return rng.beta(alpha, alpha), rng.permutation(count)


def blend(
    images: np.ndarray, labels: np.ndarray, share: float, other: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """images (N, C, H, W), labels int64 (N,) and what `draw_pairs` drew -> images like them, targets (N, K)."""
    share = images.dtype.type(share)
    one_hot = namespace(labels).eye(classes, dtype=images.dtype)[labels]
    targets = one_hot * share + one_hot[other] * (1 - share)
    if on_device(images):
        return images * share + images[other] * (1 - share), targets
    mixed = workspace.empty(images.shape, images.dtype)
    np.multiply(images, share, out=mixed)
    mixed += (1 - share) * images[other]
    return mixed, targets
