"""Global average pooling in plain loops. N image, C channel, H W pixel."""

import numpy as np


def global_average_forward(x: np.ndarray) -> np.ndarray:
    N, C, H, W = x.shape
    out = np.empty((N, C), x.dtype)
    for n in range(N):
        for c in range(C):
            total = 0.0
            for h in range(H):
                for w in range(W):
                    total += float(x[n, c, h, w])
            out[n, c] = total / (H * W)
    return out


# Every pixel has the same share 1 / (H W) in the mean.
def global_average_backward(dout: np.ndarray, *, x_shape: tuple[int, ...]) -> np.ndarray:
    N, C, H, W = x_shape
    dx = np.empty(x_shape, dout.dtype)
    for n in range(N):
        for c in range(C):
            for h in range(H):
                for w in range(W):
                    dx[n, c, h, w] = dout[n, c] / (H * W)
    return dx
