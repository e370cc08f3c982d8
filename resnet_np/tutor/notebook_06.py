"""Checks of notebook 6, Train it."""

from typing import Any

import numpy as np

from resnet_np.functional.parameter import Parameter
from resnet_np.optim import SGD, CosineSchedule, selection
from resnet_np.training import Evaluation
from resnet_np.tutor.checking import call, exercise, same, wrong


@exercise("6.1")
def cosine(answer: Any) -> str:
    for T, lr in ((100, 0.1), (7, 0.4)):
        steps, schedule = (1, T // 2, T - 1, T), CosineSchedule(lr, T)
        # together: the last one is 0, which has no size to compare with
        same([call(answer, t, T, lr) for t in steps], [schedule(t) for t in steps], given=f"t={steps}, T={T}, lr={lr}",
             hint="cos(0) = 1 and cos(pi) = -1: move and scale it so that it goes from lr to 0")
    return "your rates are the library's at the start, in the middle and at the end"


@exercise("6.2")
def momentum_step(answer: Any) -> str:
    rng = np.random.default_rng(62)
    for lr, momentum in ((0.1, 0.9), (0.5, 0.0), (0.02, 0.5)):
        parameter = Parameter(rng.standard_normal(4), decay=False)
        optimiser = SGD({"w": parameter}, momentum=momentum, weight_decay=0.0)
        optimiser.load_state({"w": rng.standard_normal(4)})
        parameter.grad = rng.standard_normal(4)
        given = f"lr={lr}, momentum={momentum}"
        got = call(answer, parameter.data, parameter.grad, optimiser.state()["w"], lr, momentum)
        if not isinstance(got, tuple | list) or len(got) != 2:
            wrong(f"for {given} expected two arrays, the weights and the velocity", hint="return w, velocity")
        optimiser.step(lr)
        same(got[1], optimiser.state()["w"], given=given, what="the velocity", tolerance=1e-9,
             hint="the old velocity times momentum, plus the gradient; the rate is not in it")
        same(got[0], parameter.data, given=given, what="the weights", tolerance=1e-9,
             hint="go along the new velocity, not the old one")
    return "weights and velocity are those of the library's SGD"


# Each differs from what a typical mistake gives. None lies exactly at the bar, where the last bit of a float would decide.
_ACCURACIES: tuple[tuple[tuple[float, ...], int], ...] = (
    ((0.4, 0.8, 0.76, 0.5), 25),  # the third: not the highest, not the last; with a forgotten root the error is 0.6 points, not 8
    ((0.5, 0.9, 0.87), 10_000),  # of n pictures: the second; with a forgotten n the third would count
    ((0.5, 0.9, 0.86), 100),  # the second: 4 points are more than one standard error, and less than two
    ((0.6, 0.96, 0.92), 25),  # the second: the error is that of the highest; that of 92 % would reach
    ((0.3, 0.6, 0.6, 0.5), 5000),  # of equal ones the later
    ((0.7,), 20), ((0.1, 0.2, 0.3), 1000), ((0.0, 0.0), 20), ((0.5, 1.0, 0.9), 20))


@exercise("6.3")
def kept_epoch(answer: Any) -> str:
    for accuracies, n in _ACCURACIES:
        records = [{"epoch": epoch, "train_accuracy": 0.1 * epoch, "validation_accuracy": value, "validation_count": n}
                   for epoch, value in enumerate(accuracies, 1)]
        p = max(accuracies)
        same(call(answer, records), selection.kept_epoch(accuracies, n), tolerance=1e-9,
             given=f"validation accuracies {accuracies} on {n:,} pictures",
             hint=f"the highest is p = {p:g} and its standard error {selection.standard_error(p, n):.4f}: which epochs reach "
                  "p minus that, and which of them is the latest? Epochs are counted from 1")
    return "of the epochs within one standard error of the highest it finds the latest, for few pictures and for many"


@exercise("6.4")
def accuracies(answer: Any) -> str:
    for matrix in (np.array([[8, 2], [1, 4]]), np.array([[3, 0, 1], [2, 5, 3], [0, 1, 1]])):
        truth = Evaluation(0.0, float(np.trace(matrix) / matrix.sum()), 1.0, matrix)
        given = f"the matrix {matrix.tolist()}"
        got = call(answer, matrix)
        if not isinstance(got, tuple | list) or len(got) != 2:
            wrong(f"for {given} expected two things, the accuracy and an array", hint="return accuracy, shares")
        same(got[0], truth.top1, given=given, what="the accuracy", hint="right answers lie on the diagonal")
        same(got[1], np.array(truth.per_class), given=given, what="the shares",
             hint="a row is a true class: divide the diagonal by the sums of the rows, axis 1")
    return "both are what Evaluation says"
