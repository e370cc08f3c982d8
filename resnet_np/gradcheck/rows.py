"""A line of the table: what is checked, and how it went."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnet_np import backend
from resnet_np.gradcheck.differences import TensorReport

SINGLE, NET = 1e-6, 1e-5  # bars: the largest relative error of an operation, layer or block; of a whole net

Check = Callable[[np.random.Generator], list[TensorReport]]


@dataclass(frozen=True)
class Subject:
    """One line of the table: a name, the bar, and the check itself, which is given its own random numbers."""

    name: str
    mode: str  # "every entry" or "directions"
    bar: float
    check: Check


@dataclass(frozen=True)
class Row:
    """How the check of a subject went."""

    name: str
    mode: str
    bar: float
    kernels: tuple[str, ...]  # the files that ran: "conv/jit"
    reports: tuple[TensorReport, ...]
    failure: str  # why there are no reports
    seconds: float

    @property
    def passes(self) -> bool:
        return not self.failure and bool(self.reports) and all(report.passes(self.bar) for report in self.reports)

    @property
    def worst(self) -> TensorReport:
        """The report that failed, or else the one with the largest error."""
        return max(self.reports, key=lambda report: (not report.passes(self.bar), report.error))

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"passes": self.passes, "reports": [vars(report) for report in self.reports]}


def run(subject: Subject) -> Row:
    """Check one subject on the backend in use, with random numbers that depend on its name alone."""
    start = time.perf_counter()
    reports: list[TensorReport] = []
    failure = ""
    with backend.recorded() as kernels:
        try:
            reports = subject.check(np.random.default_rng(list(subject.name.encode())))
        except (AssertionError, ValueError, IndexError, TypeError) as error:  # what wrong code does when it meets the checker
            failure = str(error) or type(error).__name__
    seconds = time.perf_counter() - start
    return Row(subject.name, subject.mode, subject.bar, tuple(sorted(kernels)), tuple(reports), failure, seconds)
