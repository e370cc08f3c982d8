"""The fused pair is the separate pairs one after the other, on every backend."""

import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.errors import InputError

# x, w, stride, pad: tiles, rows of vectors, Winograd, a stride, a 1x1 kernel, maps of 2x2
CASES = [((2, 3, 4, 3), (4, 3, 3, 3), 1, 1), ((2, 2, 3, 8), (5, 2, 3, 3), 1, 1), ((1, 16, 2, 8), (17, 16, 3, 3), 1, 1),
         ((2, 2, 4, 16), (3, 2, 3, 3), 2, 1), ((3, 4, 5, 5), (6, 4, 1, 1), 2, 0), ((9, 3, 2, 2), (4, 3, 3, 3), 1, 1)]
cases = pytest.mark.parametrize("case", CASES, ids=str)
options = pytest.mark.parametrize(("adds", "relu"), [(False, False), (False, True), (True, False), (True, True)],
                                  ids=["plain", "relu", "same", "same relu"])


def arguments(draw, case, dtype):
    """x, w, gamma, beta, same, mean, var, dout, plus"""
    x_shape, w_shape, stride, pad = case
    out = (x_shape[0], w_shape[0], *((size + 2 * pad - w_shape[2]) // stride + 1 for size in x_shape[2:]))
    x, w, gamma, beta, same, mean, root, dout, plus = (
        draw(*shape, dtype=dtype) for shape in (x_shape, w_shape, *[w_shape[:1]] * 2, out, *[w_shape[:1]] * 2, out, x_shape))
    return x, w, gamma, beta, same, mean, np.square(root) + 0.5, dout, plus


def separately(case, adds, relu, frozen, x, w, gamma, beta, same, mean, var, dout, plus):
    y, conv_cache = F.conv2d_forward(x, w, stride=case[2], pad=case[3])
    out, norm_cache = F.batchnorm_frozen_forward(y, gamma, beta, mean, var) if frozen else F.batchnorm_forward(y, gamma, beta)
    if adds:
        out = F.add_forward(out, same)
    if relu:
        out, relu_cache = F.relu_forward(out)
        dout = F.relu_backward(dout, relu_cache)
    backward = F.batchnorm_frozen_backward if frozen else F.batchnorm_backward
    dy, dgamma, dbeta = backward(dout, norm_cache)
    dx, dw = F.conv2d_backward(dy, conv_cache)
    return [out, norm_cache.mean, F.add_forward(dx, plus), dw, dgamma, dbeta, *([dout] if adds else [])]


def together(case, adds, relu, frozen, x, w, gamma, beta, same, mean, var, dout, plus):
    given = {"relu": relu, "stride": case[2], "pad": case[3]}
    same = same if adds else None
    if frozen:
        out, cache = F.conv_batchnorm_frozen_forward(x, w, gamma, beta, mean, var, same, **given)
    else:
        out, cache = F.conv_batchnorm_forward(x, w, gamma, beta, same, **given)
    grads = F.conv_batchnorm_backward(dout, cache, plus=plus)
    assert (grads.dsame is not None) is adds
    return [out, cache.batchnorm.mean, grads.dx, grads.dw, grads.dgamma, grads.dbeta, *([grads.dsame] if adds else [])]


@cases
@options
@pytest.mark.parametrize("frozen", [False, True], ids=["training", "frozen"])
def test_it_is_the_separate_pairs(backend, case, adds, relu, frozen, dtype, draw, close, same_twice):
    """Against array code in float64, so that no ReLU's sign is decided by rounding in both."""
    arrays = arguments(draw, case, np.float64)
    with using("numpy"):
        oracle = separately(case, adds, relu, frozen, *arrays)
    ours = same_twice(lambda: together(case, adds, relu, frozen, *(array.astype(dtype) for array in arrays)))
    for a, b in zip(ours, oracle, strict=True):
        close(a, b.astype(dtype), float32=2e-5)


@cases
@options
def test_without_a_cache_the_output_is_the_same(backend, case, adds, relu, dtype, draw, close):
    x, w, gamma, beta, same, mean, var, *_ = arguments(draw, case, dtype)
    given = x, w, gamma, beta, mean, var, same if adds else None
    options = {"relu": relu, "stride": case[2], "pad": case[3]}
    out, cache = F.conv_batchnorm_frozen_forward(*given, **options)
    alone, nothing = F.conv_batchnorm_frozen_forward(*given, **options, keep_cache=False)
    assert nothing is None and cache is not None
    close(alone, out)


def test_the_gradient_of_pictures_is_left_out(backend, draw):
    x, w, gamma, beta, *_, dout, plus = arguments(draw, CASES[0], np.float32)
    _, cache = F.conv_batchnorm_forward(x, w, gamma, beta, relu=True, pad=1)
    assert F.conv_batchnorm_backward(dout, cache, need_dx=False).dx is None
    assert F.conv_batchnorm_backward(dout, cache).dw.any()


def test_statistics_survive_a_large_mean(backend, rng, close):
    """The one-pass float32 variance of 1000 + N(0, 1) is off by 6 %."""
    x = (1000 + rng.standard_normal((4, 8, 8, 8))).astype(np.float32)
    w = np.eye(8, dtype=np.float32)[:, :, None, None]  # the convolution changes nothing
    _, cache = F.conv_batchnorm_forward(x, w, np.ones(8, np.float32), np.zeros(8, np.float32), relu=True)
    close(cache.batchnorm.var, x.astype(np.float64).var(axis=(0, 2, 3)).astype(np.float32), float32=1e-6)


def test_nan_passes_through(backend, draw):
    x, w, gamma, beta, same, mean, var, dout, _ = arguments(draw, CASES[1], np.float32)
    bad = x.copy()
    bad[0, 0, 0, 0] = np.nan
    assert np.isnan(F.conv_batchnorm_forward(bad, w, gamma, beta, relu=True, pad=1)[0]).all()
    out, _ = F.conv_batchnorm_frozen_forward(bad, w, gamma, beta, mean, var, same, relu=True, pad=1, keep_cache=False)
    assert np.isnan(out[0, :, 0, 0]).all()


@pytest.mark.nojit
@pytest.mark.parametrize(("change", "message"), [
    ({"same": np.zeros((2, 4, 5, 5))}, r"same is float64 \(2, 4, 5, 5\), expected float64 \(2, 4, 5, 6\), like the output"),
    ({"same": np.zeros((2, 4, 5, 6), np.float32)}, "same is float32"),
    ({"gamma": np.zeros(3)}, "w has 4 filters but gamma expects 3"),
    ({"w": np.zeros((4, 2, 3, 3))}, "x has 3 channels but w expects 2"),
    ({"pad": -1}, "pad is -1"),
    ({"eps": 0.0}, "eps is 0.0"),
    ({"x": np.zeros((1, 3, 1, 1)), "w": np.zeros((4, 3, 1, 1)), "pad": 0}, "one value a channel"),
])
def test_bad_arguments_are_named(change, message):
    given = {"x": np.ones((2, 3, 5, 6)), "w": np.ones((4, 3, 3, 3)), "gamma": np.ones(4), "beta": np.ones(4), "pad": 1}
    with pytest.raises(InputError, match=f"conv_batchnorm.*{message}"):
        F.conv_batchnorm_forward(**given | change, relu=True)


@pytest.mark.nojit
def test_bad_statistics_and_gradients_are_named(draw):
    x, w, gamma, beta, _, mean, var, dout, plus = arguments(draw, CASES[0], np.float64)
    with pytest.raises(InputError, match=r"running_mean is float64 \(3,\), expected float64 \(4,\), like gamma"):
        F.conv_batchnorm_frozen_forward(x, w, gamma, beta, mean[:3], var[:3], relu=True, pad=1)
    with using("numpy"):
        _, cache = F.conv_batchnorm_forward(x, w, gamma, beta, relu=True, pad=1)
        with pytest.raises(InputError, match="dout is float64"):
            F.conv_batchnorm_backward(dout[:1], cache)
        with pytest.raises(InputError, match=r"plus is float64 \(1, .*, expected float64 \(2, 3, 4, 3\), like x"):
            F.conv_batchnorm_backward(dout, cache, plus=plus[:1])
        with pytest.raises(InputError, match="expected None where need_dx is False"):
            F.conv_batchnorm_backward(dout, cache, plus=plus, need_dx=False)
