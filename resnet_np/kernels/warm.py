"""Compile what a training step needs last, in a second process: `python -m resnet_np.kernels.warm`, started by `compile.get_help`.

A cold first step compiles some twenty kernels one after the other, in the order of their first call. Numba compiles one at a time
in a process, but two processes can share the work through the disk cache: this one starts at the other end.
"""

import numpy as np

from resnet_np.kernels.batchnorm import jit as batchnorm
from resnet_np.kernels.conv import jit as conv
from resnet_np.kernels.elementwise import jit as elementwise
from resnet_np.kernels.linear import jit as linear
from resnet_np.kernels.shortcut import jit as shortcut


def main() -> None:
    """Call the backward pass's kernels that are slow to compile once, on small arrays of the types that a net in float32 has."""
    x, wide, half = (np.zeros(shape, np.float32) for shape in ((1, 8, 8, 8), (1, 8, 8, 16), (1, 8, 4, 8)))
    w, channel = np.zeros((8, 8, 3, 3), np.float32), np.ones(8, np.float32)
    conv.weight_grad(half, wide, w_shape=w.shape, stride=2, pad=1)
    conv.input_grad(half, w, x_shape=wide.shape, stride=2, pad=1)
    conv.weight_grad(x, x, w_shape=w.shape, stride=1, pad=1)
    shortcut.backward(half, x_shape=wide.shape, stride=2, before=0)
    elementwise.add(x, x)
    batchnorm.relu_backward(x, x, channel, channel, channel, channel, frozen=False)
    elementwise.relu_backward(x, x)
    linear.backward(x[0, 0], x[0, 0], x[0, 0])


if __name__ == "__main__":
    main()
