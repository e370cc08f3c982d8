"""Convolution, batch norm, addition and ReLU in fewer sweeps over memory; the contract is in `kernels/__init__.py`.

N image, C channel in, F filter, H W input, OH OW output. y is a convolution's output (N, F, OH, OW); mean, inv_std, gamma and beta
are (F,). `same` (N, F, OH, OW), what the shortcut brings, may be None.
"""

import numpy as np

from resnet_np.backend import kernels


def conv_statistics(x: np.ndarray, w: np.ndarray, *, stride: int, pad: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (N, C, H, W), w (F, C, KH, KW) -> y, and its mean (F,) and biased variance (F,)."""
    return kernels(__name__, x).conv_statistics(x, w, stride=stride, pad=pad)


def conv_normalise(
    x: np.ndarray, w: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray,
    same: np.ndarray | None, *, relu: bool, stride: int, pad: int,
) -> np.ndarray:
    """x (N, C, H, W), w (F, C, KH, KW) -> `normalise` of y, which nobody else sees."""
    return kernels(__name__, x).conv_normalise(x, w, mean, inv_std, gamma, beta, same, relu=relu, stride=stride, pad=pad)


def normalise(
    y: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray, same: np.ndarray | None, *,
    relu: bool,
) -> np.ndarray:
    """-> out (N, F, OH, OW) = (y - mean) * inv_std * gamma + beta (+ same), and 0 where that is <= 0 if `relu`."""
    return kernels(__name__, y).normalise(y, mean, inv_std, gamma, beta, same, relu=relu)


def normalise_relu_backward(
    dout: np.ndarray, out: np.ndarray, y: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *,
    frozen: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The way back through `normalise` with ReLU and without `same` -> dy, dgamma (F,), dbeta (F,).

    out: what `normalise` returned. frozen: mean and inv_std are constants, and do not depend on y.
    """
    return kernels(__name__, dout).normalise_relu_backward(dout, out, y, mean, inv_std, gamma, beta, frozen=frozen)


def input_grad_plus(
    dy: np.ndarray, w: np.ndarray, plus: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int
) -> np.ndarray:
    """-> dx + plus (N, C, H, W): the convolution's input gradient, and that of the other branch which leaves x."""
    return kernels(__name__, dy).input_grad_plus(dy, w, plus, x_shape=x_shape, stride=stride, pad=pad)
