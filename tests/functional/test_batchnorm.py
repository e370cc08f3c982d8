import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import (
    batchnorm_backward,
    batchnorm_forward,
    batchnorm_frozen_backward,
    batchnorm_frozen_forward,
    update_running,
)
from resnet_np.gradcheck import check_entries, require

SHAPES = [(2, 3, 4, 5), (1, 1, 1, 2), (7, 1, 3, 3), (2, 5, 1, 1), (1, 17, 5, 7)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def run(x, gamma, beta, dout):
    out, cache = batchnorm_forward(x, gamma, beta)
    return out, cache.mean, cache.var, *batchnorm_backward(dout, cache)


DX = 3  # the place of dx in what `run` returns


def dx_scale(x, gamma, dout):
    """What dx's error is a part of: its own maximum (None), but for channels of two values the size of dx's terms.

    Two values are normalised to +-1 whatever they are, so that dx is the difference of equal terms and next to nothing.
    """
    if x.size // x.shape[1] > 2:
        return None
    return np.abs(dout * (gamma / x.std(axis=(0, 2, 3)))[:, None, None]).max()


def run_frozen(x, gamma, beta, mean, var, dout):
    out, cache = batchnorm_frozen_forward(x, gamma, beta, mean, var)
    return out, *batchnorm_frozen_backward(dout, cache)


def arguments(draw, shape, dtype=np.float64):
    """x, gamma, beta, running mean, running variance, dout"""
    channels = shape[1]
    x, gamma, beta, mean, root, dout = (draw(*s, dtype=dtype) for s in (shape, *[(channels,)] * 4, shape))
    return x, gamma, beta, mean, np.square(root) + 0.5, dout


@shapes
def test_backends_agree(fast_backend, shape, dtype, draw, close, same_twice):
    x, gamma, beta, _, _, dout = arguments(draw, shape, dtype)
    ours = same_twice(lambda: run(x, gamma, beta, dout))
    with using("loops"):
        oracle = run(x, gamma, beta, dout)
    for i, (a, b) in enumerate(zip(ours, oracle, strict=True)):
        close(a, b, scale=dx_scale(x, gamma, dout) if i == DX else None)


@shapes
def test_backends_agree_frozen(fast_backend, shape, dtype, draw, close, same_twice):
    arrays = arguments(draw, shape, dtype)
    ours = same_twice(lambda: run_frozen(*arrays))
    with using("loops"):
        oracle = run_frozen(*arrays)
    for a, b in zip(ours, oracle, strict=True):
        close(a, b)


@pytest.mark.peer
@shapes
def test_pytorch_agrees(backend, shape, dtype, draw, close, torch):
    x, gamma, beta, _, _, dout = arguments(draw, shape, dtype)
    tx, tgamma, tbeta = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, gamma, beta))
    out = torch.nn.functional.batch_norm(tx, None, None, tgamma, tbeta, training=True, eps=1e-5)
    out.backward(torch.from_numpy(dout.copy()))
    ours, _, _, dx, dgamma, dbeta = run(x, gamma, beta, dout)
    close(ours, out.detach().numpy())
    close(dgamma, tgamma.grad.numpy())
    close(dbeta, tbeta.grad.numpy())
    close(dx, tx.grad.numpy(), scale=dx_scale(x, gamma, dout))


@pytest.mark.peer
@shapes
def test_pytorch_agrees_frozen(backend, shape, dtype, draw, close, torch):
    x, gamma, beta, mean, var, dout = arguments(draw, shape, dtype)
    tx, tgamma, tbeta = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, gamma, beta))
    tmean, tvar = torch.from_numpy(mean), torch.from_numpy(var)
    out = torch.nn.functional.batch_norm(tx, tmean, tvar, tgamma, tbeta, training=False)
    out.backward(torch.from_numpy(dout.copy()))
    theirs = (a.detach().numpy() for a in (out, tx.grad, tgamma.grad, tbeta.grad))
    for a, b in zip(run_frozen(x, gamma, beta, mean, var, dout), theirs, strict=True):
        close(a, b)


@pytest.mark.peer
def test_pytorch_moves_its_running_statistics_the_same_way(fast_backend, dtype, draw, close, torch):
    layer = torch.nn.BatchNorm2d(3, dtype=getattr(torch, dtype.name))
    mean, var = np.zeros(3, dtype), np.ones(3, dtype)
    for _ in range(3):
        x = draw(4, 3, 5, 2, dtype=dtype)
        layer(torch.from_numpy(x))
        _, cache = batchnorm_forward(x, np.ones(3, dtype), np.zeros(3, dtype))
        mean, var = update_running(mean, var, cache.mean, cache.var, x.size // 3)
    close(mean, layer.running_mean.numpy())
    close(var, layer.running_var.numpy())


@pytest.mark.parametrize("shape", [(3, 2, 3, 2), (2, 1, 1, 3)], ids=str)
def test_gradient(backend, shape, draw):
    """Through the batch's mean and variance: a backward pass that took them for constants would not pass."""
    x, gamma, beta, _, _, dout = arguments(draw, shape)
    _, _, _, dx, dgamma, dbeta = run(x, gamma, beta, dout)
    require(check_entries(lambda x, gamma, beta: batchnorm_forward(x, gamma, beta)[0],
                          {"x": x, "gamma": gamma, "beta": beta},
                          {"x": dx, "gamma": dgamma, "beta": dbeta}, upstream=dout))


def test_gradient_frozen(backend, draw):
    x, gamma, beta, mean, var, dout = arguments(draw, (3, 2, 3, 2))
    _, dx, dgamma, dbeta = run_frozen(x, gamma, beta, mean, var, dout)
    require(check_entries(lambda x, gamma, beta: batchnorm_frozen_forward(x, gamma, beta, mean, var)[0],
                          {"x": x, "gamma": gamma, "beta": beta},
                          {"x": dx, "gamma": dgamma, "beta": dbeta}, upstream=dout))


def test_a_constant_and_x_hat_have_no_gradient(backend, draw):
    """Moving or scaling a whole channel changes nothing, so dx is orthogonal to 1 and (up to eps) to x_hat."""
    x, gamma, beta, _, _, dout = arguments(draw, (4, 3, 5, 5))
    _, cache = batchnorm_forward(x, gamma, beta, eps=1e-12)
    dx = batchnorm_backward(dout, cache).dx
    x_hat = (x - cache.mean[:, None, None]) * cache.inv_std[:, None, None]
    assert np.abs(dx.sum(axis=(0, 2, 3))).max() < 1e-12
    assert np.abs((dx * x_hat).sum(axis=(0, 2, 3))).max() < 1e-9


def test_statistics_are_over_images_and_pixels(backend, dtype, draw, close):
    x = draw(3, 2, 4, 5, dtype=dtype)
    out, cache = batchnorm_forward(x, np.ones(2, dtype), np.zeros(2, dtype))
    close(cache.mean, x.mean(axis=(0, 2, 3)))
    close(cache.var, x.var(axis=(0, 2, 3)))
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(out.var(axis=(0, 2, 3)), 1, atol=1e-4)


def test_variance_far_from_zero(backend, rng):
    """1000 + N(0, 1) in float32: E[x^2] - E[x]^2 summed in float32 is off by 6 %."""
    x = (1000 + rng.standard_normal((8, 2, 16, 16))).astype(np.float32)
    _, cache = batchnorm_forward(x, np.ones(2, np.float32), np.zeros(2, np.float32))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(cache.mean, exact.mean(axis=(0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(cache.var, exact.var(axis=(0, 2, 3)), rtol=1e-6)


def test_a_constant_channel_gives_beta(backend, dtype):
    x = np.full((2, 1, 3, 3), 0.1, dtype)
    out, cache = batchnorm_forward(x, np.full(1, 3, dtype), np.full(1, 7, dtype))
    np.testing.assert_allclose(out, 7, rtol=1e-4)
    assert np.isfinite(batchnorm_backward(np.ones_like(x), cache).dx).all()


def test_frozen_statistics_are_used(backend):
    x = np.arange(8.0).reshape(2, 1, 2, 2)
    out, _ = batchnorm_frozen_forward(x, np.full(1, 2.0), np.full(1, 1.0), np.full(1, 3.0), np.full(1, 4.0), eps=1e-15)
    np.testing.assert_allclose(out, x - 2, rtol=1e-12)  # 2 (x - 3) / 2 + 1


@pytest.mark.nojit
def test_running_variance_is_unbiased_and_momentum_weighs_the_new_batch():
    mean, var = update_running(np.full(1, 10.0), np.full(1, 2.0), np.full(1, 20.0), np.full(1, 3.0), 4, momentum=0.1)
    np.testing.assert_allclose(mean, 0.9 * 10 + 0.1 * 20)
    np.testing.assert_allclose(var, 0.9 * 2 + 0.1 * 3 * 4 / 3)


@pytest.mark.nojit
def test_running_statistics_keep_their_dtype_and_are_fresh(dtype):
    old = [np.ones(3, dtype) for _ in range(4)]
    for new in update_running(*old, np.int64(8), momentum=np.float64(0.1)):
        assert new.dtype == dtype
        assert not any(np.shares_memory(new, array) for array in old)
    assert all((array == 1).all() for array in old)


X, C3, C4 = np.ones((2, 3, 4, 4)), np.ones(3), np.ones(4)


@pytest.mark.nojit
@pytest.mark.parametrize(("call", "message"), [
    (lambda: batchnorm_forward(X, C4, C3),
     "batchnorm: x has 3 channels but gamma expects 4: x (2, 3, 4, 4), gamma (4,), beta (3,)"),
    (lambda: batchnorm_forward(X[:1, :, :1, :1], C3, C3),
     "batchnorm: x (1, 3, 1, 1) has one value a channel, expected at least 2 to take a variance of; "
     "train with a larger batch or larger maps, or use frozen statistics"),
    (lambda: batchnorm_forward(X, C3, C3, eps=0),
     "batchnorm: eps is 0, expected a number > 0; it keeps a constant channel from dividing by 0"),
    (lambda: batchnorm_frozen_forward(X, C3, C3, C3, C4),
     "batchnorm_frozen: x has 3 channels but running_var expects 4: "
     "x (2, 3, 4, 4), gamma (3,), beta (3,), running_mean (3,), running_var (4,)"),
    (lambda: update_running(C3, C3, C3, C3, 1), "update_running: count is 1, expected one whole number >= 2"),
])
def test_errors_name_both_sides(call, message):
    with using("numpy"), pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message


@pytest.mark.nojit
def test_an_upstream_gradient_that_does_not_fit_is_refused():
    with using("numpy"):
        caches = batchnorm_forward(X, C3, C3)[1], batchnorm_frozen_forward(X, C3, C3, C3, C3)[1]
    for backward, cache in zip((batchnorm_backward, batchnorm_frozen_backward), caches, strict=True):
        with pytest.raises(InputError, match=r"dout is float64 \(2, 3, 4\), expected float64 \(2, 3, 4, 4\)"):
            backward(X[..., 0], cache)


def test_frozen_gradients_do_not_depend_on_x(backend, dtype):
    """Also where x overflowed: 0 times infinity would be NaN."""
    x, one = np.array([np.inf, 1, 1, 1], dtype).reshape(1, 1, 2, 2), np.ones(1, dtype)
    _, cache = batchnorm_frozen_forward(x, one, one, one * 0, one, eps=1.0)
    np.testing.assert_allclose(batchnorm_frozen_backward(np.ones_like(x), cache).dx, np.sqrt(0.5), rtol=1e-6)
