"""Compile what a training step needs last, in a second process: `python -m resnet_np.kernels.warm STEP`, which
`compile.get_help` starts.

A cold first step compiles some twenty kernels one after the other, in the order of their first call. Numba compiles one at a time
in a process, but two processes can share the work through the disk cache: this one starts at the other end.
"""

import sys

import numpy as np

from resnet_np.kernels.batchnorm import jit as batchnorm
from resnet_np.kernels.conv import bf16 as conv_bf16
from resnet_np.kernels.conv import jit as conv
from resnet_np.kernels.elementwise import bf16 as elementwise_bf16
from resnet_np.kernels.elementwise import jit as elementwise
from resnet_np.kernels.fused import bf16 as fused_bf16
from resnet_np.kernels.linear import jit as linear
from resnet_np.kernels.pooling import jit as pooling
from resnet_np.kernels.shortcut import bf16 as shortcut_bf16
from resnet_np.kernels.shortcut import jit as shortcut
from resnet_np.precision import rounded


def float32() -> None:
    """Call the backward pass's kernels that are slow to compile once, on small arrays of the types that a net has."""
    x, wide, half = (np.zeros(shape, np.float32) for shape in ((1, 16, 8, 8), (1, 16, 8, 16), (1, 16, 4, 8)))
    w, channel = np.zeros((16, 16, 3, 3), np.float32), np.ones(16, np.float32)
    conv.weight_grad(half, wide, w_shape=w.shape, stride=2, pad=1)
    conv.input_grad(half, w, x_shape=wide.shape, stride=2, pad=1)
    conv.weight_grad(x, x, w_shape=w.shape, stride=1, pad=1)
    shortcut.backward(half, x_shape=wide.shape, stride=2, before=0)
    elementwise.add(x, x)
    batchnorm.relu_backward(x, x, channel, channel, channel, channel, frozen=False)
    elementwise.relu_backward(x, x)
    linear.backward(x[0, 0], x[0, 0], x[0, 0])


def fast() -> None:
    """The same for a fast net that learns by Muon, whose products are 1x1 convolutions. Small pictures end in maps of 2x2."""
    x, half, row, least = (np.zeros(shape, np.float32) for shape in ((1, 16, 8, 8), (1, 16, 4, 4), (1, 16, 1, 8), (8, 16, 2, 2)))
    w, point, channel = np.zeros((16, 16, 3, 3), np.float32), np.zeros((16, 16, 1, 1), np.float32), np.ones(16, np.float32)
    conv.forward(row, point, stride=1, pad=0)
    conv.weight_grad(row, row, w_shape=point.shape, stride=1, pad=0)
    conv.weight_grad(x, x, w_shape=w.shape, stride=1, pad=1)
    conv.weight_grad(least, least, w_shape=w.shape, stride=1, pad=1)
    batchnorm.relu_backward(x, x, channel, channel, channel, channel, frozen=False)
    elementwise.relu_backward(x, x)
    pooling.max_backward(half, np.zeros(half.shape, np.int32), x_shape=x.shape)
    linear.backward(x[0, 0], x[0, 0], x[0, 0])


def bf16() -> None:
    """The same of the kernels for maps in bf16."""
    x, wide, half = (rounded(np.zeros(shape, np.float32)) for shape in ((1, 16, 8, 8), (1, 16, 8, 16), (1, 16, 4, 8)))
    w, channel = np.zeros((16, 16, 3, 3), np.float32), np.ones(16, np.float32)
    fused_bf16.normalise_relu_backward(x, x, x, channel, channel, channel, channel, frozen=False)
    conv_bf16.weight_grad(half, wide, w_shape=w.shape, stride=2, pad=1)
    conv_bf16.input_grad(half, w, x_shape=wide.shape, stride=2, pad=1)
    conv_bf16.weight_grad(x, x, w_shape=w.shape, stride=1, pad=1)
    shortcut_bf16.backward(half, x_shape=wide.shape, stride=2, before=0)
    elementwise_bf16.relu_backward(x, x)
    linear.backward(w[0, 0], w[0, 0], w[0, 0])


if __name__ == "__main__":
    {"float32": float32, "bf16": bf16, "fast": fast}[sys.argv[1]]()
