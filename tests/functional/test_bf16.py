"""The pairs on maps in bf16: every backend computes them, to the format's rounding, and what is wrong is refused."""

import os

import ml_dtypes
import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.precision import BF16, bits, rounded, widened

STEP = 2.0**-7  # between two bf16 numbers, at most, as a share of the smaller
N, C, H, W = 2, 16, 6, 5


@pytest.fixture(params=[pytest.param("loops", marks=pytest.mark.nojit), pytest.param("numpy", marks=pytest.mark.nojit), "numba"])
def backend(request):
    """Those that compute in bf16."""
    if request.param == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run")
    with using(request.param):
        yield request.param


@pytest.fixture
def maps(rng):
    """maps(*shape): bf16, no entry 0, compared with a copy when the test is over."""
    drawn = []

    def make(*shape):
        array = rounded((rng.uniform(0.1, 2, shape) * rng.choice([-1, 1], shape)).astype(np.float32))
        drawn.append((array, array.copy()))
        return array

    yield make
    for array, before in drawn:
        np.testing.assert_array_equal(array, before, err_msg="an argument was written")


def near(ours, exact, *, steps=1.0, extra=1e-5):
    """Of maps: within `steps` steps of the format, or a small share of the largest."""
    assert ours.dtype == BF16 and ours.shape == exact.shape and bits(ours).flags.c_contiguous
    limit = steps * STEP * np.abs(exact) + extra * np.abs(exact).max()
    assert (np.abs(ours.astype(np.float64) - exact) <= limit).all()


def test_rounding(backend, rng):
    x = rng.standard_normal((N, 3, H, W)).astype(np.float32)
    out = F.round_forward(x)
    np.testing.assert_array_equal(out.astype(np.float32), x.astype(ml_dtypes.bfloat16).astype(np.float32))
    assert F.round_forward(out) is out
    dx = F.round_backward(out)
    assert dx.dtype == np.float32 and dx.flags.c_contiguous
    np.testing.assert_array_equal(dx, out.astype(np.float32))
    with pytest.raises(InputError, match="round: x is float64, expected float32"):
        F.round_forward(x.astype(np.float64))


def test_relu_and_add(backend, maps):
    a, b = maps(N, C, H, W), maps(N, C, H, W)
    A, B = widened(a), widened(b)
    out, cache = F.relu_forward(a)
    near(out, np.maximum(A, 0), steps=0, extra=0)
    near(F.relu_backward(b, cache), np.where(A > 0, B, 0), steps=0, extra=0)
    near(F.add_forward(a, b), A.astype(np.float64) + B, steps=0.5, extra=1e-30)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("channels", [16, 24])
def test_bias(backend, maps, rng, relu, channels):
    x, dout, b = maps(N, channels, H, W), maps(N, channels, H, W), rng.standard_normal(channels).astype(np.float32)
    total = widened(x).astype(np.float64) + b[:, None, None]
    passes = total > 0 if relu else np.ones(x.shape, bool)
    out, cache = F.bias_forward(x, b, relu=relu)
    near(out, np.where(passes, total, 0), steps=0.5)
    dx, db = F.bias_backward(dout, cache)
    near(dx, np.where(passes, widened(dout), 0), steps=0.5)
    assert db.dtype == np.float32
    np.testing.assert_allclose(db, np.where(passes, widened(dout).astype(np.float64), 0).sum((0, 2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.nojit
@pytest.mark.parametrize("backend", ["loops", "numpy"], indirect=True)  # the compiled kernels: tests/kernels/conv/test_bf16.py
@pytest.mark.parametrize("stride", [1, 2])
def test_conv2d(backend, maps, rng, stride):
    """The product of rounded factors; maps are rounded once more, the weight gradient is not."""
    x, w = maps(N, C, H, W), rng.standard_normal((8, C, 3, 3)).astype(np.float32)
    out, cache = F.conv2d_forward(x, w, stride=stride, pad=1)
    dout = maps(*out.shape)
    dx, dw = F.conv2d_backward(dout, cache)
    with using("numpy"):
        exact, cache = F.conv2d_forward(x.astype(np.float64), w.astype(BF16).astype(np.float64), stride=stride, pad=1)
        exact_dx, exact_dw = F.conv2d_backward(dout.astype(np.float64), cache)
    near(out, exact, steps=0.5)
    near(dx, exact_dx, steps=0.5)
    assert dw.dtype == np.float32 and np.abs(dw - exact_dw).max() <= 1e-5 * np.abs(exact_dw).max()


def test_pooling(backend, maps, rng):
    x = maps(N, C, H, W)
    out, cache = F.global_average_pool_forward(x)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, widened(x).astype(np.float64).mean((2, 3)), rtol=1e-6, atol=1e-7)
    dout = rng.standard_normal((N, C)).astype(np.float32)
    shares = np.broadcast_to(dout[:, :, None, None] / np.float64(H * W), x.shape)
    near(F.global_average_pool_backward(dout, cache), shares, steps=0.51)
    out, cache = F.global_max_pool_forward(x)
    assert out.dtype == np.float32
    with using("numpy"):
        want, exact_cache = F.global_max_pool_forward(widened(x))
        exact = F.global_max_pool_backward(dout, exact_cache)
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(cache.winners, exact_cache.winners)
    near(F.global_max_pool_backward(dout, cache), exact, steps=0.51)
    out, cache = F.max_pool_forward(x, k=3, stride=2, pad=1)
    with using("numpy"):
        want, exact_cache = F.max_pool_forward(widened(x), k=3, stride=2, pad=1)
        near(out, want, steps=0, extra=0)
        dout = maps(*out.shape)
        exact = F.max_pool_backward(widened(dout), exact_cache)
    near(F.max_pool_backward(dout, cache), exact, steps=0.51)


def test_shortcut(backend, maps):
    x = maps(N, C, H, W)
    out, cache = F.shortcut_forward(x, channels=2 * C, stride=2)
    with using("numpy"):
        want, exact_cache = F.shortcut_forward(widened(x), channels=2 * C, stride=2)
        near(out, want, steps=0, extra=0)
        dout = maps(*out.shape)
        exact = F.shortcut_backward(widened(dout), exact_cache)
    near(F.shortcut_backward(dout, cache), exact, steps=0, extra=0)


def statistics(x):
    X = widened(x).astype(np.float64)
    return X.mean((0, 2, 3)), X.var((0, 2, 3))


@pytest.mark.parametrize("channels", [C, 5])
def test_batchnorm(backend, maps, rng, channels):
    x, dout = maps(N, channels, H, W), maps(N, channels, H, W)
    gamma, beta = (rng.uniform(0.5, 1.5, channels).astype(np.float32) for _ in range(2))
    out, cache = F.batchnorm_forward(x, gamma, beta)
    mean, var = statistics(x)
    np.testing.assert_allclose(cache.mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cache.var, var, rtol=1e-5)
    with using("numpy"):
        want, exact = F.batchnorm_forward(widened(x).astype(np.float64), gamma.astype(np.float64), beta.astype(np.float64))
        grads = F.batchnorm_backward(widened(dout).astype(np.float64), exact)
    near(out, want)
    ours = F.batchnorm_backward(dout, cache)
    near(ours.dx, grads.dx, extra=1e-4)
    np.testing.assert_allclose(ours.dgamma, grads.dgamma, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.dbeta, grads.dbeta, rtol=1e-4, atol=1e-4)


def test_a_large_mean_does_not_cancel(backend, rng):
    """1,000 + N(0, 16), which bf16 still resolves: a one-pass variance in float32 would be off by a fifth."""
    x = rounded((1000 + 16 * rng.standard_normal((4, C, 8, 8))).astype(np.float32))
    _, cache = F.batchnorm_forward(x, np.ones(C, np.float32), np.zeros(C, np.float32))
    np.testing.assert_allclose(cache.var, statistics(x)[1], rtol=1e-5)


# x's channels, F, kernel, stride: by Winograd's sums, by im2col, and through float32
CONVOLUTIONS = [(16, 16, 3, 1), (16, 32, 3, 2), (16, 32, 1, 2), (3, 16, 3, 1), (5, 7, 3, 1)]
COMPILES_LONG = CONVOLUTIONS[:4]


@pytest.mark.parametrize(("backend", "channels", "filters", "kernel", "stride"), [
    *(pytest.param("numpy", *case, marks=pytest.mark.nojit) for case in CONVOLUTIONS),
    *(pytest.param("numba", *case, marks=[pytest.mark.slow] * (case in COMPILES_LONG)) for case in CONVOLUTIONS),
], indirect=["backend"])
@pytest.mark.parametrize("relu", [False, True])
def test_fused_is_the_separate_pairs(backend, maps, rng, channels, filters, kernel, stride, relu):
    """But for the last step of the format; one step may turn a ReLU, so that gradients agree on the whole only."""
    x, w = maps(N, channels, H, W), (rng.standard_normal((filters, channels, kernel, kernel)) / 8).astype(np.float32)
    gamma, beta = (rng.uniform(0.5, 1.5, filters).astype(np.float32) for _ in range(2))
    settings = {"stride": stride, "pad": kernel // 2}
    y, conv = F.conv2d_forward(x, w, **settings)
    norm_out, norm = F.batchnorm_forward(y, gamma, beta)
    same, dout, plus = maps(*y.shape), maps(*y.shape), maps(*x.shape)
    total = F.add_forward(norm_out, same)
    want = F.relu_forward(total)[0] if relu else total
    out, cache = F.conv_batchnorm_forward(x, w, gamma, beta, same, relu=relu, **settings)
    np.testing.assert_array_equal(bits(cache.conv.x), bits(x))
    near(cache.batchnorm.x, widened(y).astype(np.float64), extra=1e-3)
    limit = STEP * (np.abs(widened(norm_out)) + np.abs(widened(same)) + 1)
    assert out.dtype == BF16 and (np.abs(widened(out) - widened(want)) <= limit).all()
    grads = F.conv_batchnorm_backward(dout, cache, plus=plus)
    dsum = F.relu_backward(dout, F.relu_forward(total)[1]) if relu else dout
    dy, dgamma, dbeta = F.batchnorm_backward(dsum, norm)
    dx, dw = F.conv2d_backward(dy, conv)
    pairs = ((grads.dx, F.add_forward(dx, plus)), (grads.dw, dw), (grads.dgamma, dgamma), (grads.dbeta, dbeta), (grads.dsame, dsum))
    for ours, theirs in pairs:
        a, b = (array.astype(np.float64) for array in (ours, theirs))
        assert np.linalg.norm(a - b) <= 0.1 * np.linalg.norm(b)
    assert grads.dw.dtype == grads.dgamma.dtype == np.float32 and grads.dx.dtype == grads.dsame.dtype == BF16


@pytest.mark.parametrize("backend", [pytest.param("numpy", marks=pytest.mark.nojit), pytest.param("numba", marks=pytest.mark.slow)],
                         indirect=True)
def test_evaluating_rounds_once(backend, maps, rng):
    """Convolution, batch norm, addition and ReLU in one: of float64's answer with the same rounded factors, one step."""
    x, w = maps(N, C, H, W), (rng.standard_normal((C, C, 1, 1)) / 4).astype(np.float32)
    same = maps(N, C, H, W)
    channel = [rng.uniform(0.5, 1.5, C).astype(np.float32) for _ in range(4)]
    out, cache = F.conv_batchnorm_frozen_forward(x, w, *channel, same, relu=True, keep_cache=False)
    assert cache is None
    with using("numpy"):
        X, S = (widened(array).astype(np.float64) for array in (x, same))
        exact, _ = F.conv_batchnorm_frozen_forward(
            X, rounded(w).astype(np.float64), *(array.astype(np.float64) for array in channel), S, relu=True)
    limit = STEP * (np.abs(exact) + np.abs(exact - S) * (backend != "numba")) + 1e-4
    assert (np.abs(widened(out) - exact) <= limit).all()


@pytest.mark.nojit
def test_a_gradient_of_another_precision_is_refused(maps, rng):
    with using("numpy"):
        x = maps(N, C, H, W)
        w = rng.standard_normal((C, C, 3, 3)).astype(np.float32)
        out, cache = F.conv2d_forward(x, w, pad=1)
        with pytest.raises(InputError, match="dout is float32 .*, expected bfloat16"):
            F.conv2d_backward(widened(out), cache)
        with pytest.raises(InputError, match="expected maps in bfloat16 and the rest in float32: x bfloat16, gamma float64"):
            F.batchnorm_forward(x, np.ones(C, np.float64), np.ones(C, np.float32))


@pytest.mark.nojit
def test_filters_in_bf16_are_refused(maps, rng):
    with using("numpy"), pytest.raises(InputError, match="w is bfloat16, expected float32 or float64"):
        F.conv2d_forward(maps(N, C, H, W), rng.standard_normal((C, C, 3, 3)).astype(BF16), pad=1)


@pytest.mark.nojit
@pytest.mark.parametrize("order", ["C", "channels last", "read-only", "a piece"])
def test_any_order_in_memory_is_taken(maps, rng, order):
    with using("numpy"):
        x, w = maps(N, C, H, W), rng.standard_normal((C, C, 3, 3)).astype(np.float32)
        given = {"C": np.ascontiguousarray(x), "channels last": x, "read-only": x.view(), "a piece": np.concatenate([x, x])[:N]}
        given = given[order]
        given.setflags(write=order != "read-only")
        out, cache = F.conv2d_forward(given, w, pad=1)
        np.testing.assert_array_equal(bits(out), bits(F.conv2d_forward(x, w, pad=1)[0]))
        assert bits(cache.x).flags.c_contiguous
