"""Option A shortcut in array code. N image, C channel in, H W input, OH OW output; OH = ceil(H / stride).

(1) out[:, before + c, oh, ow] = x[:, c, oh stride, ow stride], 0 in the other channels.
(2) Every pixel of x is copied once or never, so d out / d x is 1 or 0 and the copies run backwards: no sum is needed.
"""

import numpy as np


def forward(x: np.ndarray, *, channels: int, stride: int, before: int) -> np.ndarray:
    N, C, H, W = x.shape
    out = np.zeros((N, channels, -(-H // stride), -(-W // stride)), x.dtype)
    out[:, before:before + C] = x[:, :, ::stride, ::stride]  # (1)
    return out


def backward(dout: np.ndarray, *, x_shape: tuple[int, ...], stride: int, before: int) -> np.ndarray:
    dx = np.zeros(x_shape, dout.dtype)
    dx[:, :, ::stride, ::stride] = dout[:, before:before + x_shape[1]]  # (2)
    return dx
