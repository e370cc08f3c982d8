"""The fused operations one after the other, out of the separate ones: what the compiled ones must agree with."""

from types import ModuleType

import numpy as np


class Composed:
    """Over one implementation of the three folders: all loops.py, or all array.py."""

    def __init__(self, conv: ModuleType, batchnorm: ModuleType, elementwise: ModuleType) -> None:
        self._conv, self._batchnorm, self._elementwise = conv, batchnorm, elementwise

    def conv_statistics(self, x: np.ndarray, w: np.ndarray, *, stride: int, pad: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y = self._conv.forward(x, w, stride=stride, pad=pad)
        return y, *self._batchnorm.statistics(y)

    def conv_normalise(
        self, x: np.ndarray, w: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray,
        same: np.ndarray | None, *, relu: bool, stride: int, pad: int,
    ) -> np.ndarray:
        return self.normalise(self._conv.forward(x, w, stride=stride, pad=pad), mean, inv_std, gamma, beta, same, relu=relu)

    def normalise(
        self, y: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray, same: np.ndarray | None, *,
        relu: bool,
    ) -> np.ndarray:
        out = self._batchnorm.normalise(y, mean, inv_std, gamma, beta)
        if same is not None:
            out = self._elementwise.add(out, same)
        return self._elementwise.relu_forward(out) if relu else out

    def normalise_relu_backward(
        self, dout: np.ndarray, out: np.ndarray, y: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray,
        beta: np.ndarray, *, frozen: bool,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        backward = self._batchnorm.frozen_backward if frozen else self._batchnorm.backward
        return backward(self._elementwise.relu_backward(dout, out), y, mean, inv_std, gamma)

    def input_grad_plus(
        self, dy: np.ndarray, w: np.ndarray, plus: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int
    ) -> np.ndarray:
        return self._elementwise.add(self._conv.input_grad(dy, w, x_shape=x_shape, stride=stride, pad=pad), plus)
