"""ReLU, addition and multiplication compiled by Numba. One image a loop turn: what a thread computes does not depend on
the others."""

from numba import prange

from resnet_np.kernels.bfloat import to_bits
from resnet_np.kernels.compile import parallel
from resnet_np.precision import bits, maps
from resnet_np.workspace import empty


def relu_forward(x):
    """max(x, 0); NaN stays NaN."""
    out = empty(x.shape, x.dtype)
    _relu_forward(_rows(x), _rows(out))
    return out


def relu_backward(dout, out):
    """dout where out > 0, else 0."""
    dx = empty(out.shape, out.dtype)
    _relu_backward(_rows(dout), _rows(out), _rows(dx))
    return dx


def add(a, b):
    """a + b."""
    out = empty(a.shape, a.dtype)
    _add(_rows(a), _rows(b), _rows(out))
    return out


def multiply(a, b):
    """a * b."""
    out = empty(a.shape, a.dtype)
    _multiply(_rows(a), _rows(b), _rows(out))
    return out


def round_maps(x):
    """x (N, C, H, W) float32 -> bf16, channels last."""
    out = maps(x.shape)
    _round_maps(x.reshape(*x.shape[:2], -1), bits(out).reshape(len(x), -1, x.shape[1]))
    return out


def _rows(x):
    return x.reshape(len(x), -1)


@parallel
def _relu_forward(x, out):
    for n in prange(x.shape[0]):
        for i in range(x.shape[1]):
            out[n, i] = 0 if x[n, i] <= 0 else x[n, i]  # asked this way round, NaN is kept


@parallel
def _relu_backward(dout, out, dx):
    for n in prange(out.shape[0]):
        for i in range(out.shape[1]):
            dx[n, i] = 0 if out[n, i] <= 0 else dout[n, i]


@parallel
def _add(a, b, out):
    for n in prange(a.shape[0]):
        for i in range(a.shape[1]):
            out[n, i] = a[n, i] + b[n, i]


@parallel
def _multiply(a, b, out):
    for n in prange(a.shape[0]):
        for i in range(a.shape[1]):
            out[n, i] = a[n, i] * b[n, i]


@parallel
def _round_maps(x, out):
    """x (N, C, P) -> out (N, P, C)."""
    for n in prange(x.shape[0]):
        for c in range(x.shape[1]):
            for p in range(x.shape[2]):
                out[n, p, c] = to_bits(x[n, c, p])
