"""The Numba tiles: adjoint to each other, equal to the array code, and never a byte beyond their arrays."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set: the tiles cannot be compiled", allow_module_level=True)

from resnet_np.kernels import simd  # noqa: E402
from resnet_np.kernels.conv import array, jit  # noqa: E402
from resnet_np.kernels.conv.tiles import (  # noqa: E402
    col2im_tile,
    im2col_row,
    im2col_tile,
    multiply_column,
    multiply_tall,
    multiply_tile,
    pad_image,
)

# C, H, W, KH, KW, stride, pad: rows longer, shorter and no multiple of a vector
CASES = [(3, 16, 16, 3, 3, 1, 1), (2, 7, 5, 3, 3, 1, 1), (2, 9, 11, 3, 3, 2, 1), (1, 8, 8, 5, 5, 1, 2), (3, 6, 20, 1, 1, 1, 0),
         (2, 5, 5, 1, 1, 2, 0), (2, 8, 9, 2, 3, 3, 1)]


def shape_of(case):
    channels, height, width, kh, kw, stride, pad = case
    return (height + 2 * pad - kh) // stride + 1, (width + 2 * pad - kw) // stride + 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_tiles_are_im2col_and_its_adjoint(rng, case, dtype):
    channels, height, width, kh, kw, stride, pad = case
    oh, ow = shape_of(case)
    tile = 2 * simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    image = rng.standard_normal((channels, height, width)).astype(dtype)
    padded = np.empty((channels, height + 2 * pad, width + 2 * pad), dtype)
    pad_image(image, pad, pad, padded)
    np.testing.assert_array_equal(padded, np.pad(image, ((0, 0), (pad, pad), (pad, pad))))
    whole = array.im2col(image[None], kh, kw, stride=stride, pad=pad)[0]
    rows = np.full((channels * kh * kw, 3 * ow + 2), np.nan, dtype)
    for oy in range(oh):
        im2col_row(padded, kh, kw, stride, oy, ow, ow + 1, rows)
        np.testing.assert_array_equal(rows[:, ow + 1:2 * ow + 1], whole[:, oy * ow:(oy + 1) * ow])
    assert np.isnan(rows[:, :ow + 1]).all() and np.isnan(rows[:, 2 * ow + 1:]).all()
    there, back, gathered = 0.0, np.zeros_like(padded), np.zeros_like(padded)
    for first in range(0, oh * ow, tile):
        columns = np.full((channels * kh * kw, tile), np.nan, dtype)
        im2col_tile(padded, kh, kw, stride, oh, ow, first, columns)
        count = min(tile, oh * ow - first)
        np.testing.assert_array_equal(columns[:, :count], whole[:, first:first + count])
        assert not columns[:, count:].any()
        other = rng.standard_normal(columns.shape).astype(dtype)
        there += float(np.vdot(columns.astype(np.float64), other))
        col2im_tile(other, kh, kw, stride, oh, ow, first, back)
        col2im_tile(np.ones_like(other), kh, kw, stride, oh, ow, first, gathered)
    exact = 1e-4 if dtype == np.float32 else 1e-12
    assert there == pytest.approx(float(np.vdot(padded.astype(np.float64), back)), rel=exact, abs=exact)
    assert gathered.sum() == channels * kh * kw * oh * ow  # every entry lands once, overlaps add


@pytest.mark.parametrize(("multiply", "rows", "vectors"), [(multiply_tile, 4, 2), (multiply_tall, 8, 2), (multiply_column, 8, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products(rng, dtype, multiply, rows, vectors):
    n = vectors * simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    a, b, out = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, 37), (37, n), (rows, n)))
    before = out.copy()
    multiply(a, 0, 37, 1, b, 0, n, 37, out, 0, n, True)
    np.testing.assert_allclose(out, before + a @ b, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-5)
    turned = np.ascontiguousarray(a.T)
    multiply(turned, 0, 1, rows, b, 0, n, 37, out, 0, n, False)
    np.testing.assert_allclose(out, a @ b, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-5)


@pytest.mark.parametrize("case", [(1, 3, 7, 5, 5, 3, 1, 1), (9, 37, 5, 3, 19, 3, 1, 1), (4, 300, 3, 3, 33, 3, 2, 1),
                                  (40, 17, 3, 3, 5, 1, 1, 0), (2, 16, 3, 150, 5, 5, 1, 2), (19, 20, 9, 9, 70, 2, 2, 0)], ids=str)
def test_weight_gradient_in_blocks_of_channels(rng, case):
    """One block and many, the last of them not full; images that share a chunk of pixels, and rows longer than a chunk."""
    images, channels, height, width, filters, k, stride, pad = case
    x, w_shape = rng.standard_normal((images, channels, height, width)), (filters, channels, k, k)
    dout = rng.standard_normal((images, filters, *shape_of((channels, height, width, k, k, stride, pad))))
    expected = array.weight_grad(dout, x, w_shape=w_shape, stride=stride, pad=pad)
    dw = jit.weight_grad(dout, x, w_shape=w_shape, stride=stride, pad=pad)
    np.testing.assert_allclose(dw, expected, rtol=0, atol=1e-13 * abs(expected).max() * np.sqrt(dout.size))


@numba.njit
def _every_intrinsic(a, out):
    n = simd.lanes(a)
    v = simd.load(a, 1)
    simd.store(out, 0, simd.multiply_add(simd.broadcast(a, 0), v, simd.add(v, simd.subtract(v, simd.zero(a)))))
    simd.store(out, n + 1, simd.positive(v))
    simd.store(out, 2 * n + 2, simd.add_scaled(simd.scale(v, 0.75), -2.25, simd.broadcast(a, 0)))
    return n


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_intrinsics(rng, dtype):
    n = simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    a, out = rng.standard_normal(n + 3).astype(dtype), np.zeros(3 * n + 3, dtype)
    assert _every_intrinsic(a, out) == n
    np.testing.assert_allclose(out[:n], a[0] * a[1:n + 1] + 2 * a[1:n + 1], rtol=1e-5)
    np.testing.assert_array_equal(out[n + 1:2 * n + 1], np.maximum(a[1:n + 1], 0))
    np.testing.assert_allclose(out[2 * n + 2:3 * n + 2], 0.75 * a[1:n + 1] - 2.25 * a[0], rtol=1e-5, atol=1e-6)
    assert not out[[n, 2 * n + 1, 3 * n + 2]].any()


@numba.njit
def _every_shuffle(a, out):
    n = simd.lanes(a)
    x, y = simd.load(a, 0), simd.load(a, n)
    simd.store(out, 0, simd.evens(x, y))
    simd.store(out, n, simd.odds(x, y))
    simd.store(out, 2 * n, simd.lower(x, y))
    simd.store(out, 3 * n, simd.upper(x, y))
    simd.store_two(out, 5 * n, 4 * n, simd.load_two(a, n, 1))


@numba.njit
def _transpose(a, first, row, out, to, across):
    simd.transpose(a, first, row, out, to, across)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shuffles(rng, dtype):
    n = simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    a, out = rng.standard_normal(2 * n).astype(dtype), np.zeros(6 * n, dtype)
    _every_shuffle(a, out)
    pairs = np.stack([a[:n], a[n:]], axis=1).ravel()
    np.testing.assert_array_equal(out[:4 * n], np.concatenate([a[::2], a[1::2], pairs]))
    half, nothing = n // 2, np.zeros(n // 2)
    np.testing.assert_array_equal(out[4 * n:], np.concatenate([a[1:1 + half], nothing, a[n:n + half], nothing]))
    square, turned = rng.standard_normal((n, n + 3)).astype(dtype), np.zeros((n, n + 5), dtype)
    _transpose(square, 2, n + 3, turned, 1, n + 5)
    np.testing.assert_array_equal(turned[:, 1:n + 1], square[:, 2:n + 2].T)
    assert not turned[:, 0].any() and not turned[:, n + 1:].any()


GUARDED = """
    import ctypes, mmap
    import numpy as np
    from resnet_np.kernels.conv import dense, direct, jit, partials, winograd
    from resnet_np.kernels.fused import jit as fused

    libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
    kept = []

    def guarded(array):
        "A copy that ends where a page begins that may not be touched."
        pages = -(-array.nbytes // page)
        memory = mmap.mmap(-1, (pages + 1) * page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert libc.mprotect(ctypes.c_void_p(base + pages * page), page, 0) == 0
        view = np.frombuffer(memory, array.dtype, array.size, pages * page - array.nbytes).reshape(array.shape)
        view[...] = array
        kept.append(memory)
        return view

    for module in (dense, direct, fused, jit, partials, winograd):
        module.empty = lambda shape, dtype: guarded(  # outputs and scratch too
            np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 0, dtype))
    packed = direct._packed
    direct._packed = lambda w: guarded(packed(w))
    rng = np.random.default_rng(0)
    for n, c, h, w, f, k, stride, pad in ((1, 3, 7, 5, 5, 3, 1, 1), (1, 3, 9, 7, 6, 3, 2, 1), (2, 1, 5, 5, 1, 5, 1, 0),
                                          (1, 5, 8, 8, 7, 1, 1, 0), (3, 2, 6, 11, 3, 1, 2, 0), (2, 4, 8, 16, 4, 3, 1, 1),
                                          (1, 3, 5, 8, 5, 3, 1, 1), (1, 2, 16, 16, 3, 3, 2, 1), (2, 3, 4, 16, 6, 1, 2, 0),
                                          (1, 2, 16, 32, 4, 7, 2, 3), (1, 2, 9, 24, 2, 5, 3, 2), (1, 1, 1, 8, 1, 1, 1, 0),
                                          (9, 37, 5, 3, 19, 2, 1, 0), (2, 18, 3, 150, 5, 5, 1, 2),
                                          (1, 17, 2, 8, 18, 3, 1, 1), (3, 16, 6, 24, 16, 3, 1, 1), (2, 70, 10, 18, 19, 3, 1, 0),
                                          (9, 16, 3, 3, 40, 3, 1, 1), (2, 16, 31, 41, 16, 3, 1, 2), (9, 3, 2, 2, 5, 3, 1, 1),
                                          (40, 5, 1, 2, 17, 3, 1, 1)):
        x, weight = rng.standard_normal((n, c, h, w)), rng.standard_normal((f, c, k, k))
        for dtype in (np.float32, np.float64):
            X, W = guarded(x.astype(dtype)), guarded(weight.astype(dtype))
            out = jit.forward(X, W, stride=stride, pad=pad)
            dout = guarded(rng.standard_normal(out.shape).astype(dtype))
            dx = jit.input_grad(dout, W, x_shape=x.shape, stride=stride, pad=pad)
            dw = jit.weight_grad(dout, X, w_shape=weight.shape, stride=stride, pad=pad)
            y, mean, var = fused.conv_statistics(X, W, stride=stride, pad=pad)
            done = fused.conv_normalise(X, W, mean, var, mean, var, dout, relu=True, stride=stride, pad=pad)
            plus = fused.input_grad_plus(dout, W, X, x_shape=x.shape, stride=stride, pad=pad)
            assert (y == out).all() and np.isfinite(done).all() and np.isfinite(plus).all()
            assert np.isfinite(out).all() and np.isfinite(dx).all() and np.isfinite(dw).all()
    print("untouched")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
def test_guard_pages():
    """In a process of its own: a read beyond an array would kill it. One thread: its scratch is the last of the array."""
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(GUARDED)], capture_output=True, text=True, timeout=300,
                             env=os.environ | {"NUMBA_NUM_THREADS": "1"})
    assert process.returncode == 0 and "untouched" in process.stdout, process.stderr[-2000:]
