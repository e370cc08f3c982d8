"""The parameter-free shortcut (option A) compiled by Numba: every stride-th pixel, new channels filled with zeros."""

from numba import prange

from resnet_np.kernels.compile import parallel
from resnet_np.kernels.simd import evens, lanes, load, lower, store, upper, zero
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
    channels, height, width = x.shape[1:]
    lane_count = lanes(x)
    for n in prange(out.shape[0]):
        for c in range(out.shape[1]):
            if c < before or c >= before + channels:
                for i in range(out.shape[2]):
                    for j in range(out.shape[3]):
                        out[n, c, i, j] = 0
        for c in range(channels):
            for i in range(out.shape[2]):
                if stride == 2 and width % (2 * lane_count) == 0:  # every net of the paper
                    source = ((n * channels + c) * height + 2 * i) * width
                    to = ((n * out.shape[1] + before + c) * out.shape[2] + i) * out.shape[3]
                    for j in range(0, width, 2 * lane_count):
                        store(out, to + j // 2, evens(load(x, source + j), load(x, source + j + lane_count)))
                else:
                    for j in range(out.shape[3]):
                        out[n, before + c, i, j] = x[n, c, i * stride, j * stride]


@parallel
def _backward(dout, stride, before, dx):
    channels, height, width = dx.shape[1:]
    lane_count, nothing = lanes(dx), zero(dx)
    for n in prange(dx.shape[0]):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    dx[n, c, i, j] = 0
            for i in range(dout.shape[2]):
                if stride == 2 and width % (2 * lane_count) == 0:
                    source = ((n * dout.shape[1] + before + c) * dout.shape[2] + i) * dout.shape[3]
                    to = ((n * channels + c) * height + 2 * i) * width
                    for j in range(0, width, 2 * lane_count):
                        taken = load(dout, source + j // 2)
                        store(dx, to + j, lower(taken, nothing))
                        store(dx, to + j + lane_count, upper(taken, nothing))
                else:
                    for j in range(dout.shape[3]):
                        dx[n, c, i * stride, j * stride] = dout[n, before + c, i, j]
