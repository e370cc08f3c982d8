"""Winograd's convolution: equal to the array code and as exact as the direct one. Guard pages: test_tiles.py."""

import os

import numpy as np
import pytest

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    pytest.skip("NUMBA_DISABLE_JIT is set: the kernels cannot be compiled", allow_module_level=True)

from resnet_np.kernels import fused
from resnet_np.kernels.conv import array, direct, jit, winograd
from resnet_np.kernels.conv.finish import nothing

# N, C, F, H, W, pad: one and several images, channels and filters that no block divides, an odd number of vectors, no padding
CASES = [(1, 8, 8, 2, 8, 1), (3, 9, 10, 6, 8, 1), (2, 16, 16, 32, 32, 1), (5, 13, 8, 4, 24, 1), (2, 8, 17, 10, 18, 0),
         (19, 8, 8, 4, 8, 1), (2, 64, 64, 8, 8, 1),
         (3, 8, 9, 4, 8, 1), (7, 8, 16, 2, 8, 1)]


def drawn(rng, case, dtype):
    images, channels, filters, height, width, pad = case
    x, w = rng.standard_normal((images, channels, height, width)), rng.standard_normal((filters, channels, 3, 3))
    dout = rng.standard_normal((images, filters, height + 2 * pad - 2, width + 2 * pad - 2))
    return x.astype(dtype), w.astype(dtype), dout.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_a_convolution(rng, case, dtype):
    x, w, dout = drawn(rng, case, dtype)
    pad = case[-1]
    assert winograd.suits(w.shape, 1, *dout.shape[2:], dtype)
    bound = 2e-6 if dtype == np.float32 else 1e-14
    for ours, exact in ((jit.forward(x, w, stride=1, pad=pad), array.forward(x, w, stride=1, pad=pad)),
                        (jit.input_grad(dout, w, x_shape=x.shape, stride=1, pad=pad),
                         array.input_grad(dout, w, x_shape=x.shape, stride=1, pad=pad)),
                        (jit.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=pad),
                         array.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=pad))):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, exact, rtol=0, atol=bound * np.abs(exact).max())


@pytest.mark.parametrize(("w_shape", "stride", "oh", "ow"), [
    ((16, 16, 1, 1), 1, 8, 8), ((16, 16, 3, 3), 2, 8, 8), ((16, 3, 3, 3), 1, 32, 32), ((4, 16, 3, 3), 1, 32, 32),
    ((16, 16, 3, 3), 1, 7, 8), ((16, 16, 3, 3), 1, 8, 10)])
def test_what_does_not_suit_goes_another_way(w_shape, stride, oh, ow):
    assert not winograd.suits(w_shape, stride, oh, ow, np.float32)


@pytest.mark.parametrize(("channels", "side"), [(16, 32), (32, 16), (64, 8)])
def test_it_is_as_exact_as_the_direct_convolution(rng, channels, side):
    """On what the nets see: a ReLU's output, He's weights, batch 128. The direct kernel errs by rounding alone."""
    x = np.maximum(rng.standard_normal((128, channels, side, side)), 0).astype(np.float32)
    w = (rng.standard_normal((channels, channels, 3, 3)) * np.sqrt(2 / (9 * channels))).astype(np.float32)
    exact = direct.correlate(x.astype(np.float64), w.astype(np.float64), 1, 1, 1, nothing(np.dtype(np.float64)))
    dw_exact = direct.weight_grad(exact, x.astype(np.float64), w_shape=w.shape, stride=1, pad=1)
    dout = exact.astype(np.float32)
    errors = [[np.abs(ours - truth).max() / np.abs(truth).max() for ours, truth in pairs] for pairs in (
        [(winograd.correlate(x, w, 1, 1, nothing(x.dtype)), exact), (winograd.weight_grad(dout, x, pad=1), dw_exact)],
        [(direct.correlate(x, w, 1, 1, 1, nothing(x.dtype)), exact),
         (direct.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=1), dw_exact)])]
    for ours, straight in zip(*errors, strict=True):
        assert ours < 5e-6 and ours < 10 * straight


def test_images_side_by_side_do_not_touch(rng):
    x, w, _ = drawn(rng, (4, 8, 8, 3, 3, 1), np.float32)
    before = jit.forward(x, w, stride=1, pad=1)
    x[1] = np.nan
    after = jit.forward(x, w, stride=1, pad=1)
    assert np.isnan(after[1]).all()
    np.testing.assert_array_equal(after[[0, 2, 3]], before[[0, 2, 3]])


def test_nan_is_seen(rng):
    x, w, dout = drawn(rng, (2, 8, 8, 8, 8, 1), np.float32)
    x[1, 3, 4, 5] = np.nan
    out = jit.forward(x, w, stride=1, pad=1)
    assert np.isfinite(out[0]).all() and np.isnan(out[1, :, 3:6, 4:7]).all() and np.isfinite(out[1, :, :2]).all()
    assert np.isnan(jit.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=1)[:, 3]).all()


# N, C, F, H, W, padding: rows and columns of zeros are needed, one of them, several maps fit side by side, so many channels for so
# few pixels that it does not pay, and with another padding than 1 the two sides of the convolution have other sizes
@pytest.mark.parametrize("case, pays", [((3, 9, 10, 4, 4, 1), True), ((2, 8, 8, 7, 7, 1), True), ((2, 8, 9, 14, 14, 1), True),
                                        ((2, 12, 8, 5, 6, 1), True), ((5, 9, 10, 3, 3, 1), True), ((8, 9, 10, 2, 2, 1), True),
                                        ((1, 40, 8, 4, 4, 1), False), ((2, 8, 9, 9, 9, 0), True), ((4, 8, 9, 6, 6, 0), True),
                                        ((2, 9, 8, 5, 5, 2), True), ((6, 8, 8, 5, 5, 0), None)], ids=str)
def test_maps_that_are_widened(rng, case, pays):
    """The same convolution, and the same statistics of what it gives: those of the zeros are left out."""
    images, channels, filters, height, width, pad = case
    x, w, dout = drawn(rng, (images, channels, filters, height, width, pad), np.float32)
    if pays is not None:  # None: by the size of a vector
        assert (jit._widening(w.shape, 1, pad, dout.shape, np.float32, 1) is not None) == pays
    for ours, exact in ((jit.forward(x, w, stride=1, pad=pad), array.forward(x, w, stride=1, pad=pad)),
                        (jit.input_grad(dout, w, x_shape=x.shape, stride=1, pad=pad),
                         array.input_grad(dout, w, x_shape=x.shape, stride=1, pad=pad)),
                        (jit.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=pad),
                         array.weight_grad(dout, x, w_shape=w.shape, stride=1, pad=pad))):
        assert ours.shape == exact.shape
        assert np.abs(ours - exact).max() <= 2e-6 * np.abs(exact).max()
    y, mean, var = fused.conv_statistics(x, w, stride=1, pad=pad)
    np.testing.assert_allclose(mean, y.mean((0, 2, 3)), atol=1e-6 * np.abs(y).max())
    np.testing.assert_allclose(var, y.var((0, 2, 3)), rtol=1e-5)
