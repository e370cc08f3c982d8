"""The convolution of maps of up to 2x2 pixels: equal to the array code. Guard pages: test_tiles.py."""

import os

import numba
import numpy as np
import pytest

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    pytest.skip("NUMBA_DISABLE_JIT is set: the kernels cannot be compiled", allow_module_level=True)

from resnet_np.kernels import fused
from resnet_np.kernels.conv import array, dense, jit
from resnet_np.kernels.conv.finish import nothing

# N, C, F, H, W: of one channel and many, columns that panels divide or not, images in turns that are full or not, a panel's rows
# at once and in two pieces
CASES = [(2, 1, 1, 1, 1), (9, 3, 5, 2, 2), (4, 17, 4, 1, 2), (11, 4, 33, 2, 1), (70, 16, 16, 2, 2), (65, 70, 20, 2, 2),
         (300, 5, 3, 2, 2), (40, 300, 9, 1, 1)]


def drawn(rng, case, dtype):
    images, channels, filters, height, width = case
    shapes = (images, channels, height, width), (filters, channels, 3, 3), (images, filters, height, width)
    x, w, dout = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    assert dense.suits(w.shape, 1, 1, 1, x.shape)
    return x, w, dout


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_a_convolution(rng, case, dtype):
    x, w, dout = drawn(rng, case, dtype)
    turned = np.ascontiguousarray(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    bound = 2e-6 if dtype == np.float32 else 1e-14
    for ours, exact, by in (
        (dense.correlate(x, w, nothing(x.dtype)), array.forward(x, w, stride=1, pad=1), jit.forward(x, w, stride=1, pad=1)),
        (dense.correlate(dout, turned, nothing(x.dtype)), array.input_grad(dout, w, x_shape=x.shape, stride=1, pad=1),
         jit.input_grad(dout, w, x_shape=x.shape, stride=1, pad=1)),
        (dense.weight_grad(dout, x), array.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=1),
         jit.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=1))):
        assert ours.dtype == dtype and ours.shape == exact.shape
        np.testing.assert_allclose(ours, exact, rtol=0, atol=bound * np.abs(exact).max())
        np.testing.assert_array_equal(by, ours)


def test_it_is_what_the_backend_takes(rng, monkeypatch):
    x, w, dout = drawn(rng, (8, 3, 4, 2, 2), np.float32)
    taken = []
    monkeypatch.setattr(dense, "correlate", lambda *_: taken.append("correlate"))
    monkeypatch.setattr(dense, "weight_grad", lambda *_: taken.append("weight_grad"))
    jit.forward(x, w, stride=1, pad=1)
    jit.input_grad(dout, w, x_shape=x.shape, stride=1, pad=1)
    jit.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=1)
    assert taken == ["correlate", "correlate", "weight_grad"]


@pytest.mark.parametrize(("w_shape", "stride", "pad", "x_shape"), [
    ((4, 4, 3, 3), 1, 1, (9, 4, 3, 2)), ((4, 4, 3, 3), 1, 1, (9, 4, 2, 3)), ((4, 4, 3, 3), 2, 1, (9, 4, 2, 2)),
    ((4, 4, 3, 3), 1, 2, (9, 4, 2, 2)), ((4, 4, 1, 1), 1, 1, (9, 4, 2, 2)), ((4, 4, 3, 3), 1, 1, (7, 4, 2, 2))])
def test_what_does_not_suit_goes_another_way(w_shape, stride, pad, x_shape):
    """Larger maps, strides, other paddings and kernels, and so few images that to write the taps out costs more than it saves."""
    assert not dense.suits(w_shape, stride, pad, pad, x_shape)


@pytest.mark.parametrize("case", [(70, 17, 18, 2, 2), (33, 8, 5, 1, 2)], ids=str)
def test_an_image_is_finished_once(rng, case):
    """Statistics, and what is normalised in place, also of turns that are not full."""
    x, w, same = drawn(rng, case, np.float32)
    y, mean, var = fused.conv_statistics(x, w, stride=1, pad=1)
    np.testing.assert_allclose(mean, y.mean((0, 2, 3)), atol=1e-6 * np.abs(y).max())
    np.testing.assert_allclose(var, y.var((0, 2, 3)), rtol=1e-5)
    one, zero = np.ones_like(mean), np.zeros_like(mean)
    out = fused.conv_normalise(x, w, zero, 2 * one, one, one, same, relu=True, stride=1, pad=1)
    np.testing.assert_allclose(out, np.maximum(2 * y + 1 + same, 0), rtol=1e-6, atol=1e-6 * np.abs(y).max())


def test_nan_is_seen(rng):
    """In all outputs of its image, and in the taps of its channel that meet it; nowhere else."""
    x, w, dout = drawn(rng, (40, 3, 5, 2, 2), np.float32)
    x[33, 1, 0, 1] = np.nan
    out = jit.forward(x, w, stride=1, pad=1)
    assert np.isnan(out[33]).all() and np.isfinite(np.delete(out, 33, 0)).all()
    dw = jit.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=1).reshape(5, 3, 9)
    met = [1, 2, 4, 5]  # by the outputs to its lower left and right, and beside it
    assert np.isnan(dw[:, 1, met]).all() and np.isfinite(np.delete(dw[:, 1], met, 1)).all() and np.isfinite(dw[:, [0, 2]]).all()


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="there is one thread")
@pytest.mark.parametrize("case", [(40, 20, 18, 2, 2), (300, 5, 33, 2, 2)], ids=str)
def test_the_same_bits_for_any_number_of_threads(rng, case):
    """Turns of 32 images with one thread and of 20 with two; sums over the batch in two pieces."""
    x, w, dout = drawn(rng, case, np.float32)
    threads, bits = numba.get_num_threads(), []
    for count in (1, 2):
        numba.set_num_threads(count)
        try:
            bits.append((jit.forward(x, w, stride=1, pad=1).tobytes(),
                         jit.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=1).tobytes()))
        finally:
            numba.set_num_threads(threads)
    assert bits[0] == bits[1]
