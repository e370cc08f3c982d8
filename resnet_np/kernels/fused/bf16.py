"""The fused operations in bf16, compiled by Numba: every kernel belongs to the operation that it does more with."""

import numpy as np

from resnet_np.kernels.batchnorm import bf16 as batchnorm
from resnet_np.kernels.batchnorm import jit as float32_batchnorm
from resnet_np.kernels.conv import bf16 as conv
from resnet_np.kernels.conv.bf16_finish import Finish, nothing
from resnet_np.kernels.elementwise import bf16 as elementwise
from resnet_np.precision import bits
from resnet_np.workspace import empty


def conv_statistics(x, w, *, stride, pad):
    """The moments of a plane are taken when its image is done, out of the cache, of what is stored."""
    if not conv.suits(w.shape):
        y = conv.forward(x, w, stride=stride, pad=pad)
        return y, *batchnorm.statistics(y)
    moments = empty((2, len(x), len(w)), np.float64)
    y = conv.correlate(x, w, stride, pad, nothing()._replace(sums=moments))
    return y, *float32_batchnorm.batch_statistics(moments, y.shape[2] * y.shape[3], np.float32)


def conv_normalise(x, w, mean, inv_std, gamma, beta, same, *, relu, stride, pad):
    """A pixel is normalised before it is rounded, and rounded once."""
    if not conv.suits(w.shape):
        return normalise(conv.forward(x, w, stride=stride, pad=pad), mean, inv_std, gamma, beta, same, relu=relu)
    affine = float32_batchnorm.affine_rows(mean, inv_std, gamma, beta)
    return conv.correlate(x, w, stride, pad, Finish(nothing().sums, affine, _flat(same), relu))


def normalise(y, mean, inv_std, gamma, beta, same, *, relu):
    """One sweep in place of three."""
    return batchnorm.normalise_add_relu(y, mean, inv_std, gamma, beta, same, relu=relu)


def normalise_relu_backward(dout, out, y, mean, inv_std, gamma, beta, *, frozen):
    """Two sweeps in place of three, and `out` is not read."""
    return batchnorm.relu_backward(dout, y, mean, inv_std, gamma, beta, frozen=frozen)


def input_grad_plus(dy, w, plus, *, x_shape, stride, pad):
    """The sum is taken before dx is rounded."""
    if not conv.suits(w.shape, back=True):
        return elementwise.add(conv.input_grad(dy, w, x_shape=x_shape, stride=stride, pad=pad), plus)
    return conv.input_grad_finished(dy, w, x_shape, stride, pad, nothing()._replace(same=_flat(plus)))


def _flat(same):
    return nothing().same if same is None else bits(same).reshape(-1)
