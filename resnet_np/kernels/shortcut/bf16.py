"""The parameter-free shortcut (option A) in bf16, compiled by Numba: every stride-th pixel, new channels filled with zeros."""

from numba import prange

from resnet_np.kernels.compile import parallel
from resnet_np.precision import bits, maps


def forward(x, *, channels, stride, before):
    """x (N, C, H, W) -> out (N, channels, ceil(H / stride), ceil(W / stride)), `before` zero channels before x's own."""
    images, _, height, width = x.shape
    out = maps((images, channels, -(-height // stride), -(-width // stride)))
    _forward(bits(x), stride, before, bits(out))
    return out


def backward(dout, *, x_shape, stride, before):
    """dout -> dx of shape x_shape: zero where no pixel was taken."""
    dx = maps(x_shape)
    _backward(bits(dout), stride, before, bits(dx))
    return dx


@parallel
def _forward(x, stride, before, out):
    channels = x.shape[3]
    for n in prange(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for c in range(out.shape[3]):
                    out[n, i, j, c] = 0
                for c in range(channels):
                    out[n, i, j, before + c] = x[n, i * stride, j * stride, c]


@parallel
def _backward(dout, stride, before, dx):
    for n in prange(dx.shape[0]):
        dx[n] = 0
        for i in range(dout.shape[1]):
            for j in range(dout.shape[2]):
                for c in range(dx.shape[3]):
                    dx[n, i * stride, j * stride, c] = dout[n, i, j, before + c]
