"""One training step: it learns by heart, and its first losses are on record."""

import numpy as np
import pytest

from resnet_np.models import resnet_cifar
from resnet_np.optim import SGD
from resnet_np.training import training_step
from resnet_np.workspace import Workspace

pytestmark = pytest.mark.nojit


def steps(count, *, lr, images=16, seed=0):
    rng = np.random.default_rng(seed)
    x, labels = rng.standard_normal((images, 3, 16, 16)).astype(np.float32), rng.integers(0, 10, images)
    net, workspace = resnet_cifar(8, seed=seed), Workspace()
    optimiser = SGD(net.named_parameters(), momentum=0.9, weight_decay=1e-4)
    return net, [training_step(net, optimiser, x, labels, lr=lr, workspace=workspace) for _ in range(count)]


def test_sixteen_pictures_are_learned_by_heart():
    _, results = steps(40, lr=0.05)
    assert results[-1].correct == 16 and results[-1].loss < 0.1


def test_ten_recorded_losses():
    """Recorded with the numba backend on 2026-11-24; the backends and CPUs differ in the last digits."""
    _, results = steps(10, lr=0.01)
    np.testing.assert_allclose([result.loss for result in results], RECORDED, rtol=1e-3)


def test_every_dtype_stays_float32():
    net, _ = steps(2, lr=np.float64(0.1))
    arrays = [array for p in net.named_parameters().values() for array in (p.data, p.grad)] + list(net.named_buffers().values())
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


RECORDED = (2.41065, 2.38771, 2.34556, 2.2887, 2.22218, 2.15105, 2.07877, 2.00866, 1.94224, 1.87991)
