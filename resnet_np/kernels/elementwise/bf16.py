"""ReLU, addition and multiplication in bf16, compiled by Numba: maps, or arrays of any shape, computed in float32 and rounded."""

from numba import prange

from resnet_np.kernels import bfloat
from resnet_np.kernels.bfloat import LANES, narrow, to_bits, to_float, where_positive, widen
from resnet_np.kernels.compile import parallel
from resnet_np.kernels.elementwise import jit
from resnet_np.precision import bits, maps, through_float32


def relu_forward(x):
    """max(x, 0); NaN stays NaN."""
    out = maps(x.shape)
    _relu(_rows(x), _rows(x), _rows(out))
    return out


def relu_backward(dout, out):
    """dout where out > 0, else 0."""
    dx = maps(out.shape)
    _relu(_rows(dout), _rows(out), _rows(dx))
    return dx


def add(a, b):
    """a + b."""
    out = maps(a.shape)
    _add(_rows(a), _rows(b), _rows(out))
    return out


multiply = through_float32(jit.multiply)


def _rows(x):
    return bits(x).reshape(len(x), -1)


@parallel
def _relu(values, signs, out):
    """out = values, but 0 where signs are <= 0."""
    size = values.shape[1]
    for n in prange(values.shape[0]):
        whole = size // LANES * LANES
        for i in range(n * size, n * size + whole, LANES):
            narrow(out, i, where_positive(widen(signs, i), widen(values, i)))
        for i in range(whole, size):
            out[n, i] = 0 if to_float(signs[n, i]) <= 0 else values[n, i]


@parallel
def _add(a, b, out):
    size = a.shape[1]
    for n in prange(a.shape[0]):
        whole = size // LANES * LANES
        for i in range(n * size, n * size + whole, LANES):
            narrow(out, i, bfloat.add(widen(a, i), widen(b, i)))
        for i in range(whole, size):
            out[n, i] = to_bits(to_float(a[n, i]) + to_float(b[n, i]))
