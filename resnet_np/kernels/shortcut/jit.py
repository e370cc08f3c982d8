"""The parameter-free shortcut (option A) compiled by Numba: every stride-th pixel, new channels filled with zeros."""

from numba import prange

from resnet_np.kernels.compile import parallel
from resnet_np.workspace import empty


def forward(x, *, channels, stride, before):
    """x (N, C, H, W) -> out (N, channels, ceil(H / stride), ceil(W / stride)), `before` zero channels before x's own."""
    images, _, height, width = x.shape
    out = empty((images, channels, -(-height // stride), -(-width // stride)), x.dtype)
    _forward(x, stride, before, out)
    return out


def backward(dout, *, x_shape, stride, before):
    """dout -> dx of shape x_shape: zero where no pixel was taken."""
    dx = empty(x_shape, dout.dtype)
    _backward(dout, stride, before, dx)
    return dx


@parallel
def _forward(x, stride, before, out):
    for n in prange(out.shape[0]):
        out[n] = 0
        for c in range(x.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    out[n, before + c, i, j] = x[n, c, i * stride, j * stride]


@parallel
def _backward(dout, stride, before, dx):
    for n in prange(dx.shape[0]):
        dx[n] = 0
        for c in range(dx.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    dx[n, c, i * stride, j * stride] = dout[n, before + c, i, j]
