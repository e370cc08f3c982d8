"""The linear layer compiled by Numba. No BLAS: OpenBLAS sums in another order with another number of threads.

    N image   I feature in   O feature out
"""

from numba import prange

from resnet_np.kernels.compile import parallel, reduction
from resnet_np.workspace import empty


def forward(x, w, b):
    """x (N, I), w (O, I), b (O,) -> out (N, O) = x w^T + b."""
    out = empty((len(x), len(w)), x.dtype)
    _forward(x, w, b, out)
    return out


def backward(dout, x, w):
    """dout (N, O) -> dx = dout w, dw = dout^T x, db = the sum of dout over images."""
    dx, dw, db = empty(x.shape, x.dtype), empty(w.shape, x.dtype), empty(w.shape[:1], x.dtype)
    _backward(dout, x, w, dx, dw, db)
    return dx, dw, db


@reduction
def _dot(a, b):
    total = a.dtype.type(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@parallel
def _forward(x, w, b, out):
    for n in prange(x.shape[0]):
        for o in range(w.shape[0]):
            out[n, o] = b[o] + _dot(x[n], w[o])


@parallel
def _backward(dout, x, w, dx, dw, db):
    images, features = x.shape
    outputs = w.shape[0]
    for n in prange(images):
        for i in range(features):
            dx[n, i] = 0
        for o in range(outputs):
            d = dout[n, o]
            for i in range(features):
                dx[n, i] += d * w[o, i]
    for o in prange(outputs):
        db[o] = 0
        for i in range(features):
            dw[o, i] = 0
        for n in range(images):
            d = dout[n, o]
            db[o] += d
            for i in range(features):
                dw[o, i] += d * x[n, i]
