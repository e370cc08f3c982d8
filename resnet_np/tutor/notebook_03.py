"""Checks of notebook 3, Batch norm."""

from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.tutor.checking import call, exercise, filled, same, wrong


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


@exercise("3.1")
def normalise(answer: Any) -> str:
    rng = np.random.default_rng(31)
    for shape in ((4, 3, 2, 2), (2, 1, 5, 3)):
        x, C = rng.standard_normal(shape) * 3 + 7, shape[1]
        expected, _ = F.batchnorm_forward(x, np.ones(C), np.zeros(C), eps=1e-3)
        same(call(answer, x, 1e-3), expected, given=f"x {shape}, eps=0.001", what="x_hat", tolerance=1e-9,
             hint="one mean and one variance a channel, over the axes 0, 2 and 3; eps is added to the variance, under the root")
    return "your x_hat is the library's, channel by channel"


@exercise("3.2")
def input_gradient(answer: Any) -> str:
    rng = np.random.default_rng(32)
    for shape in ((3, 2, 2, 2), (5, 4, 3, 1)):
        C = shape[1]
        x, gamma, beta = rng.standard_normal(shape), rng.standard_normal(C), rng.standard_normal(C)
        _, cache = F.batchnorm_forward(x, gamma, beta)
        dout = rng.standard_normal(shape)
        x_hat = (x - _column(cache.mean)) * _column(cache.inv_std)
        dx = call(answer, dout, x_hat, gamma, cache.inv_std)
        given = f"dout {shape}"
        if np.shape(dx) == shape and np.allclose(dx, _column(gamma * cache.inv_std) * dout):
            wrong(f"for {given} dx is gamma inv_std dout: the gradient with mean and variance held constant",
                  hint="in training x moves the mean and the variance too; step (5) subtracts what flows through them")
        same(dx, F.batchnorm_backward(dout, cache).dx, given=given, what="dx", tolerance=1e-7,
             hint="dbeta and dgamma are sums over N, H, W, one a channel; M is the number of values of a channel")
    return "your dx is the library's, through the mean and the variance too"


@exercise("3.3")
def update(answer: Any) -> str:
    for running, batch, count, momentum in ((1.0, 3.0, 5, 0.1), (0.0, 4.0, 2, 0.25), (2.0, 2.0, 1000, 0.01)):
        old, var = np.array([running]), np.array([batch])
        _, expected = F.update_running(np.zeros(1), old, np.zeros(1), var, count, momentum=momentum)
        given = f"running_var={running:g}, var={batch:g}, count={count}, momentum={momentum:g}"
        got = filled(call(answer, running, batch, count, momentum))
        if momentum * running + (1 - momentum) * batch * count / (count - 1) == got != expected.item():
            wrong(f"for {given} momentum is the weight of the old value in your answer",
                  hint="here, as in PyTorch, it is the weight of the new one")
        same(got, expected.item(), given=given, tolerance=1e-9,
             hint="momentum is the weight of the new batch, and what is stored is the unbiased variance: var count / (count - 1)")
    return "your running variance is unbiased, and momentum is the weight of the new batch"


@exercise("3.4")
def fold(answer: Any) -> str:
    rng = np.random.default_rng(34)
    for C in (1, 3):
        x, gamma, beta, mean = rng.standard_normal((2, C, 3, 3)), *rng.standard_normal((3, C))
        var = rng.uniform(0.5, 2, C)
        expected, _ = F.batchnorm_frozen_forward(x, gamma, beta, mean, var, eps=1e-3)
        result = call(answer, gamma, beta, mean, var, 1e-3)
        if not isinstance(result, tuple | list) or len(result) != 2:
            wrong("expected two arrays, (scale, shift)")
        scale, shift = (np.asarray(part, float) for part in filled(result))
        if scale.shape != (C,) or shift.shape != (C,):
            wrong(f"for {C} channels expected scale and shift of shape ({C},), got {scale.shape} and {shift.shape}")
        same(x * _column(scale) + _column(shift), expected, given=f"{C} channels", what="x * scale + shift", tolerance=1e-9,
             hint="sort gamma (x - mean) inv_std + beta into what is multiplied by x and what is not")
    return "x * scale + shift is the library's batch norm in evaluation"
