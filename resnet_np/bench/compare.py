"""Training and inference of every side, in turns, round by round."""

import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any

from resnet_np import backend
from resnet_np.bench import agreement
from resnet_np.bench.ours import multiply_adds
from resnet_np.bench.process import PAUSE, BenchError, Worker
from resnet_np.bench.task import Task

LAYOUTS = ("NCHW", "channels_last")
SECONDS = {"train": 1.0, "infer": 0.5}  # of one side's turn in a round; at least three steps
SGEMM_SECONDS = 0.5
# glibc gives large blocks back to the system when they are freed, and the next step pays for their pages again. Kept is faster.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32), "MALLOC_TOP_PAD_": str(2**26)}
# Both distort NumPy's product, whose full speed is the ceiling.
CEILING_ENVIRONMENT = {"OPENBLAS_CORETYPE": None, "OPENBLAS_L2_SIZE": None}


@dataclass
class Side:
    """One way to run the net, and what was measured: seconds of every step, a list a round."""

    name: str
    kind: str  # of the worker
    precision: str = "float32"
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    seconds: dict[str, list[list[float]]] = field(default_factory=lambda: {work: [] for work in SECONDS})
    # Seconds from the start of the process to the end of its first step: "cold" (not measured with malloc tuned) and "warm".
    first_step: dict[str, float] = field(default_factory=dict)
    peak_mib: float | None = None  # of memory: on the device, if the side computes there, else of the process

    def median(self, work: str) -> float:
        """Of the rounds' medians: a slow round has fewer steps and counts as much. So a ratio lies within its spread."""
        return statistics.median(self.medians(work))

    def medians(self, work: str) -> list[float]:
        """One a round."""
        return [statistics.median(turn) for turn in self.seconds[work]]


@dataclass
class Comparison:
    task: Task
    macs: int  # of one image, forward
    ours: Side
    others: list[Side]  # PyTorch's modes, in float32 and in bf16; empty if nothing was compared
    sgemm: list[float]  # GFLOP/s
    agreement: agreement.Agreement | None
    on_device: bool = False  # both sides; else on the processor

    def images_per_second(self, side: Side, work: str) -> float:
        return self.task.batch / side.median(work)

    def gflops(self, side: Side, work: str) -> float:
        """A training step takes the products of the forward pass three times: output, input gradient, weight gradient."""
        return self.images_per_second(side, work) * self.macs * (6 if work == "train" else 2) / 1e9

    @property
    def ceiling(self) -> float:
        return statistics.median(self.sgemm)

    def best(self, work: str, *, any_precision: bool = False) -> Side | None:
        """Of PyTorch's modes in our precision, or in any, the quickest one; each kind of work has its own."""
        fair = [side for side in self.others if any_precision or side.precision == self.task.precision]
        return min(fair, key=lambda side: side.median(work), default=None)

    def ratio(self, work: str, *, any_precision: bool = False) -> float | None:
        """How many times as fast as PyTorch's best mode: ratio of medians."""
        best = self.best(work, any_precision=any_precision)
        return best.median(work) / self.ours.median(work) if best else None

    def spread(self, work: str, *, any_precision: bool = False) -> tuple[float, float] | None:
        """The lowest and the highest ratio of a round."""
        best = self.best(work, any_precision=any_precision)
        if best is None:
            return None
        ratios = [theirs / mine for mine, theirs in zip(self.ours.medians(work), best.medians(work), strict=True)]
        return min(ratios), max(ratios)


def compare(task: Task, vs: str | None, rounds: int, say: Callable[[str], None]) -> Comparison:
    """Check that the sides agree, then measure them. vs: None, or "torch": all of its modes, in both precisions.

    say is told what is going on. Raises BenchError if the sides disagree or a worker fails.
    """
    with tempfile.TemporaryDirectory(prefix="resnet-np-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        agreed, on_device = None, backend.current() == "cupy"
        ours = Side("resnet_np", "ours", task.precision, environment={
            "NUMBA_CACHE_DIR": str(folder / "kernels"), "CUPY_CACHE_DIR": str(folder / "cupy")})
        others: list[Side] = []
        if vs is not None:
            say("Do both sides compute the same thing? (Compiles our float64 kernels, once.)")
            agreed = agreement.check(task, LAYOUTS, folder)
            others = [_eager(layout, agreed) for layout in LAYOUTS]
        say("The first step of each side in an empty cache; kernels are compiled.")
        trials = {side.name: _cold(side, task) for side in [ours, *others]}
        if others and not on_device:
            keeps = platform.libc_ver()[0] == "glibc"
            if keeps:
                others.append(_with_kept_memory(min(others, key=lambda side: trials[side.name])))
            for side in _modes(agreed, folder):
                side = _with_kept_memory(side) if keeps else side
                try:
                    _cold(side, task)
                except BenchError as error:
                    say(f"{side.name} is left out: {error}")
                else:
                    others.append(side)
        say("Once more, in the cache that this has left.")
        workers: dict[str, Worker] = {}
        for side in [ours, *others]:
            workers[side.name] = stack.enter_context(Worker(side.kind, task, options=side.options, environment=side.environment))
            side.first_step["warm"] = workers[side.name].first_step()
            workers[side.name].ask("warm")
        machine = stack.enter_context(Worker("machine", task, environment=CEILING_ENVIRONMENT))
        sgemm: list[float] = []
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            sides = [ours, *others]
            start = number % len(sides)  # who comes first, the last one's noise behind it, changes
            for side in sides[start:] + sides[:start]:
                for work, seconds in SECONDS.items():
                    with _turn():
                        side.seconds[work].append(workers[side.name].ask(work, seconds=seconds))
            with _turn():
                sgemm += machine.ask("sgemm", seconds=SGEMM_SECONDS)
        for side in [ours, *others]:
            side.peak_mib = workers[side.name].ask("peak")
        return Comparison(task, multiply_adds(task), ours, others, sgemm, agreed, on_device)


def _eager(layout: str, agreed: agreement.Agreement) -> Side:
    options = {"architecture": agreed.architecture, "weights": agreed.weights, "layout": layout}
    return Side(f"PyTorch eager, {layout}", "torch", options=options)


def _modes(agreed: agreement.Agreement | None, folder: Path) -> list[Side]:
    """PyTorch's other modes, all channels last, which suits them: compiled, and under autocast."""
    assert agreed
    sides = []
    for precision, compiled in (("float32", True), ("bf16", False), ("bf16", True)):
        options = {"architecture": agreed.architecture, "weights": agreed.weights, "layout": "channels_last", "compiled": compiled,
                   "bf16": precision == "bf16"}
        name = f"{'torch.compile' if compiled else 'PyTorch eager'}{', bf16' * (precision == 'bf16')}"
        environment: dict[str, str | None] = {"TORCHINDUCTOR_CACHE_DIR": str(folder / f"inductor-{precision}")} if compiled else {}
        sides.append(Side(name, "torch", precision, options, environment))
    return sides


def _with_kept_memory(side: Side) -> Side:
    return Side(f"{side.name}, malloc tuned", side.kind, side.precision, side.options, {**side.environment, **KEPT_MEMORY})


def _cold(side: Side, task: Task) -> float:
    """Fill the side's cache; note when its first step was done -> median seconds of a step."""
    with Worker(side.kind, task, options=side.options, environment=side.environment) as worker:
        side.first_step["cold"] = worker.first_step()
        worker.ask("warm")
        return statistics.median(worker.ask("train", seconds=SECONDS["train"]))


@contextmanager
def _turn() -> Iterator[None]:
    """One side works; then its threads are given the time to fall asleep."""
    yield
    sleep(PAUSE)
