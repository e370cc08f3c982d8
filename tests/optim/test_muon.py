"""Muon's matrix is the nearest orthogonal one, by the singular value decomposition; its step is the published one."""

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import CheckpointError, InputError
from resnet_np.functional.parameter import Parameter
from resnet_np.optim import SGD, Muon
from resnet_np.optim.muon import A, B, C, orthogonalised

BACKENDS = [pytest.param(name, marks=pytest.mark.nojit if name != "numba" else ()) for name in ("loops", "numpy", "numba")]


@pytest.fixture(params=BACKENDS)
def backend(request):
    with using(request.param):
        yield request.param


def with_singular_values(rng, shape, values):
    u, _ = np.linalg.qr(rng.standard_normal((shape[0], len(values))))
    v, _ = np.linalg.qr(rng.standard_normal((shape[1], len(values))))
    return u * values @ v.T


def exactly(matrix, steps):
    """The oracle: U and V of the decomposition, and the polynomial on every singular value by itself -> U, its values, V^T."""
    u, s, vt = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    s /= np.sqrt((s**2).sum()) + 1e-7
    for _ in range(steps):
        s = A * s + B * s**3 + C * s**5
    return u, s, vt


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5), (1, 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [0, 1, 3, 8])
def test_each_singular_value_goes_its_own_way(backend, rng, shape, dtype, steps):
    matrix = rng.standard_normal(shape).astype(dtype)
    u, s, vt = exactly(matrix, steps)
    out = orthogonalised(matrix, steps)
    assert out.dtype == dtype and out.shape == shape
    np.testing.assert_allclose(out, u * s @ vt, rtol=0, atol=2e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("steps", [3, 12])
@pytest.mark.parametrize("running", BACKENDS[1:])
def test_weak_directions_are_not_drowned_by_rounding(rng, running, steps):
    """Singular values from 1 to 1e-4, whose squares float32 can hardly tell from 0 beside 1."""
    matrix = with_singular_values(rng, (64, 576), np.geomspace(1, 1e-4, 64)).astype(np.float32)
    u, s, vt = exactly(matrix, steps)
    with using(running):
        out = orthogonalised(matrix, steps).astype(np.float64)
    np.testing.assert_allclose(out, u * s @ vt, rtol=0, atol=2e-4)
    if steps == 3:  # each by itself
        assert (np.linalg.norm(u.T @ out - s[:, None] * vt, axis=1) < 1e-2 * s).all()


@pytest.mark.nojit
def test_what_rounding_puts_into_other_directions_stays_bounded(rng):
    """It grows as what is there grows, until it is as strong as the rest."""
    with using("numpy"):
        out = orthogonalised(with_singular_values(rng, (64, 576), np.array([1.0])).astype(np.float32), 30)
    assert np.linalg.svd(out, compute_uv=False).max() < 1.3


@pytest.mark.nojit
def test_what_was_weak_becomes_nearly_as_strong_as_the_rest(rng):
    with using("numpy"):
        matrix = with_singular_values(rng, (8, 20), np.array([100.0, 60, 30, 20, 10, 8, 6, 5]))
        s = np.linalg.svd(orthogonalised(matrix, steps=5), compute_uv=False)
        assert 0.5 < s.min() and s.max() < 1.3
        np.testing.assert_array_equal(orthogonalised(np.zeros((3, 4))), np.zeros((3, 4)))


@pytest.mark.peer
@pytest.mark.parametrize("shape", [(16, 8, 3, 3), (8, 24, 1, 1), (40, 2, 3, 3)], ids=str)
def test_steps_are_those_of_the_yardstick(backend, torch, rng, shape):
    """`../shared/peers/torch_airbench.py`, class Muon, written again: the same products by PyTorch, in float64."""
    if backend == "loops":
        shape = (4, 2, 3, 3)
    weight = Parameter(rng.standard_normal(shape), decay=True)
    theirs, buffer = torch.from_numpy(weight.data.copy()), torch.zeros(shape, dtype=torch.float64)
    ours = Muon({"w": weight}, SGD({}), rate=0.5)
    for lr in (0.4, 0.2):
        weight.grad[...] = rng.standard_normal(shape)
        gradient = torch.from_numpy(weight.grad.copy())
        buffer.mul_(0.6).add_(gradient)
        theirs.mul_(len(theirs) ** 0.5 / theirs.norm())
        x = (gradient + 0.6 * buffer).reshape(len(theirs), -1)
        x = x / (x.norm() + 1e-7)
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        for _ in range(3):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        theirs.add_((x.T if tall else x).reshape(shape), alpha=-0.5 * lr)
        ours.step(lr)
    np.testing.assert_allclose(weight.data, theirs.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.nojit
def test_others_by_sgd_and_frozen_ones_not_at_all(rng):
    with using("numpy"):
        w, frozen, b = (Parameter(rng.standard_normal(shape), decay=False) for shape in ((4, 2, 3, 3), (4, 2, 3, 3), (4,)))
        frozen.frozen = True
        for parameter in (w, frozen, b):
            parameter.grad[...] = rng.standard_normal(parameter.data.shape)
        before = [parameter.data.copy() for parameter in (w, frozen, b)]
        Muon({"w": w, "frozen": frozen}, SGD({"b": b}, momentum=0.0, weight_decay=0.0), rate=1.0).step(0.1)
        assert not np.array_equal(w.data, before[0])
        np.testing.assert_array_equal(frozen.data, before[1])
        np.testing.assert_allclose(b.data, before[2] - 0.1 * b.grad, rtol=1e-14)


@pytest.mark.nojit
def test_resumed_steps_are_the_same_bits():
    def made():
        rng = np.random.default_rng(1)
        w, b = (Parameter(rng.standard_normal(shape).astype(np.float32), decay=False) for shape in ((4, 2, 3, 3), (4,)))
        return w, b, Muon({"w": w}, SGD({"b": b}), rate=0.5)

    def steps(w, b, optimiser, seeds):
        for seed in seeds:
            rng = np.random.default_rng(seed)
            for parameter in (w, b):
                parameter.grad[...] = rng.standard_normal(parameter.data.shape)
            optimiser.step(0.1)

    with using("numpy"):
        whole, half = made(), made()
        steps(*whole, range(6))
        steps(*half, range(3))
        saved, again = half[2].state(), made()
        assert saved.keys() == {"w", "b"} and saved["w"].any()
        for parameter, old in zip(again[:2], half[:2], strict=True):
            parameter.data[...] = old.data
        again[2].load_state(saved)
        steps(*again, range(3, 6))
        for parameter, other in zip(again[:2], whole[:2], strict=True):
            np.testing.assert_array_equal(parameter.data, other.data)
        for wrong in ({}, {"b": saved["b"]}, {"w": saved["w"]}, saved | {"w": saved["w"][:2]}):
            with pytest.raises(CheckpointError):
                again[2].load_state(wrong)


@pytest.mark.nojit
def test_filters_that_are_zero_begin_to_move(rng):
    w = Parameter(np.zeros((4, 2, 3, 3), np.float32), decay=True)
    w.grad[...] = rng.standard_normal(w.data.shape)
    with using("numpy"):
        Muon({"w": w}, SGD({}), rate=1.0).step(0.1)
    assert np.isfinite(w.data).all() and w.data.any() and w.data.dtype == np.float32


@pytest.mark.nojit
def test_what_makes_no_sense(rng):
    with pytest.raises(InputError, match="no set of filters"):
        Muon({"fc": Parameter(rng.standard_normal((3, 4)), decay=True)}, SGD({}), rate=1.0)
    with pytest.raises(InputError, match="above 0"):
        Muon({}, SGD({}), rate=0.0)
    w = Parameter(rng.standard_normal((4, 2, 3, 3)), decay=True)
    optimiser = Muon({"w": w}, SGD({}), rate=1.0)
    w.convert(lambda array: array.astype(np.float32))
    with pytest.raises(InputError, match="Muon: w is float32"):
        optimiser.step(0.1)
