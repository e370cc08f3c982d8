"""Pooling in array code. N image, C channel, H W input, k side of the window, OH OW output.

Global average
(1) out[n, c] = sum over h, w of x[n, c, h, w] / (H W)
(2) d out[n, c] / d x[n, c, h, w] = 1 / (H W), so dx[n, c, h, w] = dout[n, c] / (H W)

Global max: as (3) and (4) below, with one window that is the map

Max: p runs over the k^2 places of a window; x_p[oh, ow] = x[oh stride + i - pad, ow stride + j - pad] is the map as place p sees it
(3) out = max over p of x_p; winner = the first p that reaches it. Padding is -inf: it never wins, as every window holds a pixel
(4) d out / d x_p = 1 where p is the winner, else 0: dx[winner] += dout, for every window

Average
(5) out = sum over p of x_p / k^2
(6) d out / d x_p = 1 / k^2: dx_p += dout / k^2, where dx_p is the same strided view of dx as x_p of x
"""

from collections.abc import Iterator

import numpy as np


def global_average_forward(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=(2, 3), dtype=np.float64).astype(x.dtype)  # (1)


def global_average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    H, W = x_shape[2:]
    return np.broadcast_to((dout / (H * W))[:, :, None, None], x_shape).copy()  # (2); a broadcast array is read-only


def global_max_forward(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = x.reshape(*x.shape[:2], -1)
    winners = flat.argmax(axis=2)  # (3); argmax takes the first of equals, and a NaN for larger than any number
    return np.take_along_axis(flat, winners[:, :, None], 2)[:, :, 0], winners.astype(np.int32)


def max_forward(x: np.ndarray, *, k: int, stride: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    H, W = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    out, winners = None, None
    for place, seen in _places(padded, k, stride):
        h = np.arange(seen.shape[2]) * stride + place[0] - pad
        w = np.arange(seen.shape[3]) * stride + place[1] - pad
        if out is None or winners is None:
            # Where all pixels of a window are -inf nothing beats the first place. If that is padding, the first pixel wins.
            first = np.maximum(h, 0)[:, None] * W + np.maximum(w, 0)
            out, winners = seen.copy(), np.broadcast_to(first, seen.shape).astype(np.int32)
            continue
        better = (seen > out) | (np.isnan(seen) & ~np.isnan(out))  # (3); > and not >=: of equals the first
        out = np.where(better, seen, out)
        winners = np.where(better, (h[:, None] * W + w).astype(np.int32), winners)
    assert out is not None and winners is not None  # k is at least 1
    return out, winners


def max_backward(dout: np.ndarray, winners: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    N, C, H, W = x_shape
    places = np.arange(N * C)[:, None] * (H * W) + winners.reshape(N * C, -1)
    # (4); bincount adds in float64 and, unlike dx[places] += dout, does not forget the second window that a pixel won
    dx = np.bincount(places.ravel(), weights=dout.ravel(), minlength=N * C * H * W)
    return dx.reshape(x_shape).astype(dout.dtype)


def average_forward(x: np.ndarray, *, k: int, stride: int) -> np.ndarray:
    OH, OW = ((size - k) // stride + 1 for size in x.shape[2:])
    total = np.zeros((*x.shape[:2], OH, OW))  # float64, whatever x is
    for _, seen in _places(x, k, stride):
        total += seen
    return (total / (k * k)).astype(x.dtype)  # (5)


def average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...], k: int, stride: int) -> np.ndarray:
    dx = np.zeros(x_shape, dout.dtype)
    for _, seen in _places(dx, k, stride):
        seen += dout / (k * k)  # (6); seen is a view of dx
    return dx


def _places(x: np.ndarray, k: int, stride: int) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """For every place (i, j) of a window: the view (N, C, OH, OW) of x that holds what all windows see there."""
    OH, OW = ((size - k) // stride + 1 for size in x.shape[2:])
    for i in range(k):
        for j in range(k):
            yield (i, j), x[:, :, i:i + stride * OH:stride, j:j + stride * OW:stride]
