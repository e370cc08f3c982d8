"""The fused operations one after the other, in array code: what the compiled ones must agree with."""

import numpy as np

from resnet_np.kernels.batchnorm import array as batchnorm
from resnet_np.kernels.conv import array as conv
from resnet_np.kernels.elementwise import array as elementwise


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
    out = batchnorm.normalise(y, mean, inv_std, gamma, beta)
    if same is not None:
        out = elementwise.add(out, same)
    return elementwise.relu_forward(out) if relu else out


def normalise_relu_backward(
    dout: np.ndarray, out: np.ndarray, y: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *,
    frozen: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    backward = batchnorm.frozen_backward if frozen else batchnorm.backward
    return backward(elementwise.relu_backward(dout, out), y, mean, inv_std, gamma)


def input_grad_plus(
    dy: np.ndarray, w: np.ndarray, plus: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int
) -> np.ndarray:
    return elementwise.add(conv.input_grad(dy, w, x_shape=x_shape, stride=stride, pad=pad), plus)
