"""float32 against float64 on the numba backend, at every shape that ResNet-20 trains with: 1e-5 of a tensor's maximum."""

import os

import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run", allow_module_level=True)

# channels in, filters, pixels a side, stride, kernel; the 1x1 ones are shortcut option B
CONVOLUTIONS = [(3, 16, 32, 1, 3), (16, 16, 32, 1, 3), (16, 32, 32, 2, 3), (32, 32, 16, 1, 3), (32, 64, 16, 2, 3),
                (64, 64, 8, 1, 3), (16, 32, 32, 2, 1), (32, 64, 16, 2, 1)]
BATCH = 128


def check(run, arrays, rng):
    """run(*arrays, dout) -> results; dout is drawn here, in the shape of run(*arrays)."""
    with using("numba"):
        dout = rng.standard_normal(run(*arrays)[0].shape).astype(np.float32)
        single = run(*arrays, dout)
        double = run(*(array.astype(np.float64) for array in (*arrays, dout)))
    assert len(single) == len(double) > 1
    for mine, exact in zip(single, double, strict=True):
        assert mine.dtype == np.float32 and exact.dtype == np.float64
        assert np.abs(mine - exact).max() <= 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_convolution(rng, shape):
    channels, filters, side, stride, kernel = shape
    x = np.maximum(rng.standard_normal((BATCH, channels, side, side)), 0).astype(np.float32)  # what comes out of a ReLU
    w = (rng.standard_normal((filters, channels, kernel, kernel)) * np.sqrt(2 / (filters * kernel**2))).astype(np.float32)

    def run(x, w, dout=None):
        out, cache = F.conv2d_forward(x, w, stride=stride, pad=kernel // 2)
        return (out,) if dout is None else (out, *F.conv2d_backward(dout, cache))

    check(run, (x, w), rng)


@pytest.mark.parametrize(("channels", "side"), [(16, 32), (32, 16), (64, 8)])
def test_batch_norm(rng, channels, side):
    x = rng.normal(1, 2, (BATCH, channels, side, side)).astype(np.float32)
    gamma, beta = rng.standard_normal((2, channels)).astype(np.float32)

    def run(x, gamma, beta, dout=None):
        out, cache = F.batchnorm_forward(x, gamma, beta)
        return (out,) if dout is None else (out, *F.batchnorm_backward(dout, cache))

    check(run, (x, gamma, beta), rng)


def test_pool_and_head(rng):
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((BATCH, 64, 8, 8), (10, 64), (10,)))

    def run(x, w, b, dout=None):
        pooled, pool_cache = F.global_average_pool_forward(x)
        out, cache = F.linear_forward(pooled, w, b)
        if dout is None:
            return (out,)
        dx, dw, db = F.linear_backward(dout, cache)
        return out, F.global_average_pool_backward(dx, pool_cache), dw, db

    check(run, (x, w, b), rng)
