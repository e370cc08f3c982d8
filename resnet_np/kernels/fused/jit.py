"""The fused operations compiled by Numba: every kernel belongs to the operation that it does more with."""

import numpy as np

from resnet_np.kernels.batchnorm import jit as batchnorm
from resnet_np.kernels.conv import jit as conv
from resnet_np.kernels.conv.finish import Finish, nothing
from resnet_np.kernels.elementwise import jit as elementwise
from resnet_np.workspace import empty


def conv_statistics(x, w, *, stride, pad):
    """The moments of a plane are taken when its image is done, out of the cache."""
    moments = empty((2, len(x), len(w)), np.float64)
    y = conv.correlate(x, w, stride, pad, pad, nothing(x.dtype)._replace(sums=moments))
    return y, *batchnorm.batch_statistics(moments, y.shape[2] * y.shape[3], x.dtype)


def conv_normalise(x, w, mean, inv_std, gamma, beta, same, *, relu, stride, pad):
    """An image is normalised when it is done, in place."""
    return conv.correlate(x, w, stride, pad, pad, _finish(batchnorm.affine_rows(mean, inv_std, gamma, beta), same, relu))


def normalise(y, mean, inv_std, gamma, beta, same, *, relu):
    """One sweep in place of three."""
    return batchnorm.normalise_add_relu(y, mean, inv_std, gamma, beta, same, relu=relu)


def normalise_relu_backward(dout, out, y, mean, inv_std, gamma, beta, *, frozen):
    """Two sweeps in place of three, and `out` is not read."""
    return batchnorm.relu_backward(dout, y, mean, inv_std, gamma, beta, frozen=frozen)


def input_grad_plus(dy, w, plus, *, x_shape, stride, pad):
    """Where dx is a correlation, an image's sum is taken when its dx is done; elsewhere, as with a stride, after all are."""
    if not conv.input_grad_correlates(w.shape, stride, pad):
        return elementwise.add(conv.input_grad(dy, w, x_shape=x_shape, stride=stride, pad=pad), plus)
    identity = np.zeros((3, x_shape[1]), dy.dtype)
    identity[1] = 1
    return conv.input_grad_correlation(dy, w, pad, _finish(identity, plus, False))


def _finish(affine, same, relu):
    done = nothing(affine.dtype)
    planes = done.same if same is None else same.reshape(*same.shape[:2], -1)
    return Finish(done.sums, affine, planes, relu)
