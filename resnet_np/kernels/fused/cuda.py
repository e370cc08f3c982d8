"""The fused operations on the device: every kernel belongs to the operation that it does more with.

The convolution is a product of cuBLAS, so its output is read again for the statistics; what stands behind it is one sweep.
"""

import numpy as np

from resnet_np.kernels.batchnorm import cuda as batchnorm
from resnet_np.kernels.conv import cuda as conv


def conv_statistics(x: np.ndarray, w: np.ndarray, *, stride: int, pad: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y = conv.forward(x, w, stride=stride, pad=pad)
    return y, *batchnorm.statistics(y)


def conv_normalise(
    x: np.ndarray, w: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray,
    same: np.ndarray | None, *, relu: bool, stride: int, pad: int,
) -> np.ndarray:
    return normalise(conv.forward(x, w, stride=stride, pad=pad), mean, inv_std, gamma, beta, same, relu=relu)


def normalise(
    y: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray, same: np.ndarray | None, *,
    relu: bool,
) -> np.ndarray:
    return batchnorm.normalise_add_relu(y, mean, inv_std, gamma, beta, same, relu=relu)


def normalise_relu_backward(
    dout: np.ndarray, out: np.ndarray, y: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *,
    frozen: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`out` is not read."""
    return batchnorm.relu_backward(dout, y, mean, inv_std, gamma, beta, frozen=frozen)


def input_grad_plus(
    dy: np.ndarray, w: np.ndarray, plus: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int
) -> np.ndarray:
    return conv.input_grad_plus(dy, w, plus, x_shape=x_shape, stride=stride, pad=pad)
