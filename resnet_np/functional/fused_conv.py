"""Convolution, batch norm, addition and ReLU as one pair: what a residual net is made of, in fewer sweeps over memory.

    y   = conv2d(x, w)                  its statistics are taken while an image of it is in the cache
    out = relu(batchnorm(y) + same)     one sweep; `same`, what the shortcut brings, and the ReLU may be left out

The separate pairs (conv2d.py, batchnorm.py, add.py, relu.py) say the same in four steps, are the oracle of this one, and leave the
same caches; rounding differs. This is the one place where the mathematics is written twice, and it is written twice for speed.

N image, C channel in, F filter, H W input, KH KW kernel, OH OW output.
"""

from typing import NamedTuple

import numpy as np

from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.functional.batchnorm import BatchNormCache, BatchNormFrozenCache, check_count, inverse_deviation
from resnet_np.functional.conv2d import ConvCache, output_size
from resnet_np.functional.relu import ReLUCache
from resnet_np.kernels import batchnorm, conv, elementwise, fused


class ConvNormCache(NamedTuple):
    conv: ConvCache
    batchnorm: BatchNormCache | BatchNormFrozenCache
    relu: ReLUCache | None  # None: without ReLU
    adds: bool  # whether there was a `same`


class ConvNormGrads(NamedTuple):
    dx: np.ndarray | None  # (N, C, H, W); None where need_dx was False
    dw: np.ndarray  # (F, C, KH, KW)
    dgamma: np.ndarray  # (F,)
    dbeta: np.ndarray  # (F,)
    dsame: np.ndarray | None  # (N, F, OH, OW); None where there was no `same`


def conv_batchnorm_forward(
    x: np.ndarray, w: np.ndarray, gamma: np.ndarray, beta: np.ndarray, same: np.ndarray | None = None, *, relu: bool,
    stride: int = 1, pad: int = 0, eps: float = 1e-5,
) -> tuple[np.ndarray, ConvNormCache]:
    """conv2d_forward, batchnorm_forward with the statistics of the batch, add_forward of `same` (if any), relu_forward (if relu).

    x (N, C, H, W), w (F, C, KH, KW), gamma (F,), beta (F,), same (N, F, OH, OW), all float32 or all float64, or x and same bf16
    and the others float32 -> out (N, F, OH, OW), of x's dtype, and a ConvNormCache. Raises InputError as the separate functions do.
    """
    x, w, gamma, beta, same, stride, pad = _checked("conv_batchnorm", x, w, gamma, beta, same, stride, pad)
    check_count("conv_batchnorm: the convolution's output", (len(x), len(w), *output_size(x, w, stride, pad)))
    y, mean, var = fused.conv_statistics(x, w, stride=stride, pad=pad)
    inv_std = inverse_deviation("conv_batchnorm", var, eps)
    out = fused.normalise(y, mean, inv_std, gamma, beta, same, relu=relu)
    return out, ConvNormCache(ConvCache(x, w, stride, pad), BatchNormCache(y, mean, var, inv_std, gamma, beta),
                              ReLUCache(out) if relu else None, same is not None)


def conv_batchnorm_frozen_forward(
    x: np.ndarray, w: np.ndarray, gamma: np.ndarray, beta: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray,
    same: np.ndarray | None = None, *, relu: bool, stride: int = 1, pad: int = 0, eps: float = 1e-5, keep_cache: bool = True,
) -> tuple[np.ndarray, ConvNormCache | None]:
    """The same with statistics that are constants (F,): evaluation, and frozen layers in training.

    keep_cache=False returns None for the cache; then nobody will ask for y, and the numba backend normalises it in place, image by
    image.
    """
    x, w, gamma, beta, same, stride, pad = _checked("conv_batchnorm_frozen", x, w, gamma, beta, same, stride, pad)
    mean, var = checks.arrays("conv_batchnorm_frozen", running_mean=(running_mean, "C"), running_var=(running_var, "C"))
    if mean.shape != gamma.shape or mean.dtype != gamma.dtype:
        raise InputError(f"conv_batchnorm_frozen: running_mean is {mean.dtype} {mean.shape}, expected {gamma.dtype} {gamma.shape}, "
                         "like gamma")
    output_size(x, w, stride, pad)
    inv_std = inverse_deviation("conv_batchnorm_frozen", var, eps)
    if not keep_cache:
        return fused.conv_normalise(x, w, mean, inv_std, gamma, beta, same, relu=relu, stride=stride, pad=pad), None
    y = conv.forward(x, w, stride=stride, pad=pad)
    out = fused.normalise(y, mean, inv_std, gamma, beta, same, relu=relu)
    return out, ConvNormCache(ConvCache(x, w, stride, pad), BatchNormFrozenCache(y, mean, inv_std, gamma, beta),
                              ReLUCache(out) if relu else None, same is not None)


def conv_batchnorm_backward(
    dout: np.ndarray, cache: ConvNormCache, *, need_dx: bool = True, plus: np.ndarray | None = None
) -> ConvNormGrads:
    """dout (N, F, OH, OW) -> the gradients of x, w, gamma, beta, and of `same` if there was one.

    plus (N, C, H, W): what else arrives at x, from the other branch; it is added to dx. gamma and beta must be what they were in
    the forward pass: the sign of the ReLU is computed again from them. Raises InputError if dout or plus does not have the shape
    and dtype of out or x, or if there is a plus for a dx that nobody needs.
    """
    (x, w, stride, pad), norm, relu, adds = cache
    dout = checks.gradient("conv_batchnorm_backward", dout, norm.x.shape, x.dtype)
    frozen = isinstance(norm, BatchNormFrozenCache)
    dsum = dout
    if relu and not adds:
        dy, dgamma, dbeta = fused.normalise_relu_backward(
            dout, relu.out, norm.x, norm.mean, norm.inv_std, norm.gamma, norm.beta, frozen=frozen)
    else:
        if relu:
            dsum = elementwise.relu_backward(dout, relu.out)
        backward = batchnorm.frozen_backward if frozen else batchnorm.backward
        dy, dgamma, dbeta = backward(dsum, norm.x, norm.mean, norm.inv_std, norm.gamma)
    dx = None
    if plus is not None:
        plus, = checks.arrays("conv_batchnorm_backward", plus=(plus, "N C H W"))
        if not need_dx or plus.shape != x.shape or plus.dtype != x.dtype:
            raise InputError(f"conv_batchnorm_backward: plus is {plus.dtype} {plus.shape}, expected "
                             + (f"{x.dtype} {x.shape}, like x" if need_dx else "None where need_dx is False"))
        dx = fused.input_grad_plus(dy, w, plus, x_shape=x.shape, stride=stride, pad=pad)
    elif need_dx:
        dx = conv.input_grad(dy, w, x_shape=x.shape, stride=stride, pad=pad)
    dw = conv.weight_grad(dy, x, w_shape=w.shape, stride=stride, pad=pad)
    return ConvNormGrads(dx, dw, dgamma, dbeta, dsum if adds else None)


def _checked(
    operation: str, x: np.ndarray, w: np.ndarray, gamma: np.ndarray, beta: np.ndarray, same: np.ndarray | None, stride: int,
    pad: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, int, int]:
    x, w, gamma, beta = checks.arrays(
        operation, x=(x, "N C H W"), w=(w, "F C KH KW"), gamma=(gamma, "F"), beta=(beta, "F"))
    stride = checks.whole(operation, "stride", stride, least=1)
    pad = checks.whole(operation, "pad", pad, least=0)
    if same is not None:
        same, = checks.arrays(operation, same=(same, "N F OH OW"))
        shape = (len(x), len(w), *output_size(x, w, stride, pad))
        if same.shape != shape or same.dtype != x.dtype:
            raise InputError(f"{operation}: same is {same.dtype} {same.shape}, expected {x.dtype} {shape}, like the output; a "
                             "block that changes the shape needs a shortcut that changes it too")
    return x, w, gamma, beta, same, stride, pad
