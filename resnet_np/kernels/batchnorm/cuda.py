"""Batch normalisation on the device, with the addition and the ReLU behind it where `kernels/fused` asks for them: cuda.cu.

N image, C channel, P = H*W pixels of a plane. Equations as in array.py.
"""

import numpy as np

from resnet_np.backend import namespace
from resnet_np.kernels.device import Kernels, channel_threads, plane_threads

BLOCKS = 256  # that sum over channels, together: two for each processor of a large GPU
PART_VALUES = 8192  # that a block sums at least: eight a thread

_kernels = Kernels(__file__)


def statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    (N, C, P), S = _planes(x), _parts(x)
    parts, mean, var = (namespace(x).empty(*of) for of in (((2, S, C), np.float64), (C, x.dtype), (C, x.dtype)))
    _kernels.blocks("moments", S * C, channel_threads(N * P // S), x, parts, N, C, P, S)
    _kernels.each("combine_moments", C, mean, var, parts, N, P, S)
    return mean, var


def normalise(x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    return normalise_add_relu(x, mean, inv_std, gamma, beta, None, relu=False)


def normalise_add_relu(
    x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray, same: np.ndarray | None, *,
    relu: bool,
) -> np.ndarray:
    """The same, plus `same` unless it is None, and 0 where that is <= 0 if `relu`: one sweep."""
    N, C, P = _planes(x)
    out = namespace(x).empty(x.shape, x.dtype)
    _kernels.blocks("normalise", N * C, plane_threads(P), out, x, mean, inv_std, gamma, beta, same, relu, C, P)
    return out


def backward(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _backward(dout, x, mean, inv_std, gamma, None, frozen=False)


def frozen_backward(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _backward(dout, x, mean, inv_std, gamma, None, frozen=True)


def relu_backward(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *, frozen: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same behind a ReLU of the normalised x -> dx, dgamma, dbeta. Its sign is computed again: x is read anyway."""
    return _backward(dout, x, mean, inv_std, gamma, beta, frozen=frozen)


def _backward(
    dout: np.ndarray, x: np.ndarray, mean: np.ndarray, inv_std: np.ndarray, gamma: np.ndarray, beta: np.ndarray | None, *,
    frozen: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """beta is None where no ReLU stands behind the batch norm."""
    (N, C, P), S = _planes(x), _parts(x)
    dx, dgamma, dbeta = (namespace(x).empty(shape, x.dtype) for shape in (x.shape, mean.shape, mean.shape))
    parts = namespace(x).empty((2, S, C), np.float64)
    _kernels.blocks(
        "parameter_grads", S * C, channel_threads(N * P // S), dout, x, mean, inv_std, gamma, beta, parts, N, C, P, S)
    _kernels.each("combine_grads", C, dgamma, dbeta, parts, S)
    _kernels.blocks("input_grad", N * C, plane_threads(P), dx, dout, x, mean, inv_std, gamma, beta, dgamma, dbeta, frozen, N, C, P)
    return dx, dgamma, dbeta


def _parts(x: np.ndarray) -> int:
    """Into how many parts of the batch the sum over a channel is split: enough to keep a large GPU busy, none too small."""
    N, C, P = _planes(x)
    return max(1, min(N, BLOCKS // C, N * P // PART_VALUES))


def _planes(x: np.ndarray) -> tuple[int, int, int]:
    N, C, H, W = x.shape
    return N, C, H * W
