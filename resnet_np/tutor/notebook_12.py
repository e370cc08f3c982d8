"""Checks of notebook 12, A good net soon."""

import statistics
from typing import Any

import numpy as np

from resnet_np.layers import Conv2d
from resnet_np.training import views
from resnet_np.tutor.checking import call, describe, exercise, same, wrong


@exercise("12.1")
def whitening_matrix(answer: Any) -> str:
    rng = np.random.default_rng(121)
    for shape in ([[3.0, 0.0], [0.0, 0.5]], [[1.0, 0.0], [0.9, 0.2]], [[2.0, -1.0, 0.0], [0.0, 1.0, 0.5], [0.1, 0.0, 1.0]]):
        points = rng.standard_normal((500, len(shape))) @ np.transpose(shape)
        points -= points.mean(0)
        size, given = points.shape[1], f"points of shape {points.shape}"
        W = np.asarray(call(answer, points))
        if W.dtype.kind not in "biuf" or W.shape != (size, size):
            wrong(f"for {given} expected a matrix of shape ({size}, {size}), got {describe(W)}")
        white = points @ W.T
        covariance = white.T @ white / len(white)
        variances, between = np.diag(covariance), covariance[~np.eye(size, dtype=bool)]
        if not np.abs(between).max() <= 1e-6 * max(1.0, np.abs(variances).max()):
            largest = between[np.abs(between).argmax()]
            wrong(f"for {given} two numbers of points @ W.T are still correlated: their covariance is {largest:.3g}",
                  hint="the rows of W are the eigenvectors of the covariance, each divided by something")
        same(variances, np.ones(size), given=given, what="the variances of points @ W.T", tolerance=1e-6,
             hint="a point's number along an eigenvector has the eigenvalue for variance: divide it by the deviation")
    return "your points are uncorrelated and have variance 1 in every direction"


@exercise("12.2")
def identity_filters(answer: Any) -> str:
    for C, k in ((2, 3), (3, 1), (4, 5)):
        expected = Conv2d(C, C, k, pad=k // 2, identity=True, rng=np.random.default_rng(0)).weight.data
        same(call(answer, C, k), expected, given=f"C={C}, k={k}",
             hint="filter c looks at channel c alone, and of that at the pixel in the middle of the window")
    return "these are the filters that the library starts with, as far as they are the identity"


@exercise("12.3")
def newton_schulz(answer: Any) -> str:
    rng = np.random.default_rng(123)
    for shape, (a, b, c) in (((2, 3), (3.4445, -4.7750, 2.0315)), ((4, 4), (1.5, -0.5, 0.0)), ((3, 7), (2.0, -1.5, 0.5))):
        X = rng.standard_normal(shape)
        X /= np.linalg.norm(X)
        u, s, vt = np.linalg.svd(X, full_matrices=False)
        same(call(answer, X, a, b, c), u * (a * s + b * s**3 + c * s**5) @ vt, given=f"X of shape {shape}, a={a}, b={b}, c={c}",
             tolerance=1e-9, hint="A = X @ X.T is (M, M); products of matrices are written @, and A A is A @ A")
    return "each singular value went its way, and the directions stayed"


@exercise("12.4")
def times_as_many(answer: Any) -> str:
    for share, ratio in ((0.5, 0.25), (0.625, 0.2), (0.0, 0.3), (1.0, 0.5)):
        steps = 1000
        seconds = round(share * steps) * ratio + round((1 - share) * steps)  # of so many steps; a step of full size takes 1
        same(call(answer, share, ratio), steps / seconds, given=f"share={share}, ratio={ratio}",
             hint="seconds add up, speeds do not: how long does a step take in the mean, if one of full size takes 1?")
    return "counted in the seconds of 1,000 steps"


@exercise("12.5")
def average_of_views(answer: Any) -> str:
    rng = np.random.default_rng(125)
    for N, K in ((1, 3), (5, 10)):
        x, head = rng.standard_normal((N, 3, 4, 4)), rng.standard_normal((48, K))

        def net(view: np.ndarray, head: np.ndarray = head) -> np.ndarray:
            return view.reshape(len(view), -1) @ head

        answers = np.stack([net(view) for view, _ in views.six(x)])
        same(call(answer, answers), views.average(net, x, net(x)), given=f"answers of shape {answers.shape}", tolerance=1e-9,
             hint="the weights of the six rows add up to 1; a picture and its mirror image share the weight of their shift")
    return "your average is that of `resnet-np evaluate --views 6`"


@exercise("12.6")
def paired(answer: Any) -> str:
    cases = (((80.0, 81.0, 79.0), (79.0, 80.5, 77.5)), ((70.0, 75.0), (71.0, 76.0)),
             ((60.0, 61.0, 62.0, 63.0), (62.0, 60.0, 64.0, 63.0)))
    for all_of_it, without in cases:
        given = f"all={describe(list(all_of_it))}, without={describe(list(without))}"
        got = call(answer, np.array(all_of_it), np.array(without))
        if not isinstance(got, tuple | list) or len(got) != 2:
            wrong(f"for {given} expected two numbers, the mean and the spread, got {describe(got)}")
        differences = [b - a for a, b in zip(all_of_it, without, strict=True)]
        same(got[0], statistics.mean(differences), given=given, what="the mean of the differences",
             hint="without minus all: a trick that pays leaves a number below 0")
        expected = statistics.stdev(differences)
        if expected == 0:
            if not abs(float(got[1])) <= 1e-9:
                wrong(f"for {given} every seed differs by the same, so the spread is 0, got {describe(got[1])}",
                      hint="take the difference of each seed first, and the deviation of these differences")
            continue
        same(got[1], expected, given=given, what="the spread",
             hint="take the difference of each seed first; then the sum of the squared distances from their mean, divided by n - 1 "
                  "(NumPy: ddof=1), and the root of that")
    return "mean and spread of the differences, seed by seed"
