"""Each operation of the step beside what the machine could do: Williams, Waterman and Patterson 2009, "Roofline"."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import sleep
from typing import Any

from matplotlib.figure import Figure

from resnet_np.bench.compare import CEILING_ENVIRONMENT, SGEMM_SECONDS
from resnet_np.bench.process import PAUSE, Worker
from resnet_np.bench.task import Task

SECONDS = 1.0  # of training steps a round
COPY_SECONDS = 0.3
# Okabe and Ito 2008: told apart by every common kind of colour vision; with a marker each, also without colours
LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))
GREY = "#595959"


@dataclass(frozen=True)
class Point:
    """An operation: `count` calls a step of `seconds` each."""

    name: str
    layer: str
    count: int
    seconds: float
    flops: int
    bytes: int

    @property
    def total(self) -> float:
        return self.count * self.seconds

    @property
    def gflops(self) -> float:
        return self.flops / self.seconds / 1e9

    @property
    def gigabytes_per_second(self) -> float:
        return self.bytes / self.seconds / 1e9

    @property
    def intensity(self) -> float:
        """FLOP a byte."""
        return self.flops / self.bytes


@dataclass(frozen=True)
class Roofline:
    task: Task
    sgemm: float  # GFLOP/s
    copy: float  # GB/s
    step: float  # seconds
    outside: float  # of the step's seconds, those in no operation
    points: tuple[Point, ...]  # slowest first

    def bound(self, point: Point) -> str:
        return "compute" if point.intensity * self.copy > self.sgemm else "memory"

    def share(self, point: Point) -> float:
        """Of what the roof allows. Above 1 where the caches, which no roof shows, held the arrays."""
        return point.gflops / min(self.sgemm, point.intensity * self.copy)


def measure(task: Task, rounds: int, say: Callable[[str], None]) -> Roofline:
    """Operations, matrix product and copying, in turns. Raises BenchError if a worker fails."""
    steps: list[float] = []
    outside: list[float] = []
    products: list[float] = []
    copies: list[float] = []
    found: dict[tuple, list[dict[str, Any]]] = {}
    say("The kernels are compiled, where the cache does not hold them yet.")
    with Worker("ours", task) as worker, Worker("machine", task, environment=CEILING_ENVIRONMENT) as machine:
        worker.ask("warm")
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            answer = worker.ask("operations", seconds=SECONDS)
            steps.append(answer["step"])
            outside.append(answer["outside"])
            for operation in answer["operations"]:
                found.setdefault((operation["name"], operation["layer"], operation["bytes"]), []).append(operation)
            sleep(PAUSE)
            products += machine.ask("sgemm", seconds=SGEMM_SECONDS)
            sleep(PAUSE)
            copies += machine.ask("copy", seconds=COPY_SECONDS)
            sleep(PAUSE)
    points = [_point(operations) for operations in found.values()]
    points.sort(key=lambda point: -point.total)
    median = statistics.median
    return Roofline(task, median(products), median(copies), median(steps), median(outside), tuple(points))


def _point(operations: Sequence[dict[str, Any]]) -> Point:
    """The same operation, measured once a round."""
    return Point(**operations[0] | {"seconds": statistics.median(operation["seconds"] for operation in operations)})


def draw(roofline: Roofline) -> Figure:
    """GFLOP/s over FLOP a byte, both logarithmic: under the slope memory bounds, under the flat roof arithmetic. Area: time."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.add_subplot()
    low = min(point.intensity for point in roofline.points) / 2
    high = max([point.intensity for point in roofline.points] + [roofline.sgemm / roofline.copy]) * 3
    ridge = roofline.sgemm / roofline.copy
    axes.plot([low, ridge, high], [low * roofline.copy, roofline.sgemm, roofline.sgemm], color=GREY, linewidth=1.5)
    axes.annotate(f"sgemm {roofline.sgemm:.0f} GFLOP/s", (high, roofline.sgemm), (-4, -14), textcoords="offset points", ha="right",
                  color=GREY)  # below: Winograd's convolutions stand above
    axes.annotate(f"copy {roofline.copy:.0f} GB/s", (math.sqrt(low * ridge), math.sqrt(low * ridge) * roofline.copy), (-6, 6),
                  textcoords="offset points", ha="right", color=GREY)
    times: dict[str, float] = {}
    for point in roofline.points:
        times[point.name] = times.get(point.name, 0.0) + point.total
    names = sorted(times, key=lambda name: -times[name])
    for i, name in enumerate(names):
        points = [point for point in roofline.points if point.name == name]
        colour, marker = LOOKS[i] if i < len(LOOKS) else (GREY, ".")
        label = f"{name}, {times[name] / roofline.step:.0%}" if i < len(LOOKS) else None
        axes.scatter([point.intensity for point in points], [point.gflops for point in points], color=colour, marker=marker,
                     s=[20 + 1500 * point.total / roofline.step for point in points], alpha=0.7, linewidths=0, label=label)
    if len(names) > len(LOOKS):
        others = sum(times[name] for name in names[len(LOOKS):])
        axes.scatter([], [], color=GREY, marker=".", label=f"{len(names) - len(LOOKS)} others, {others / roofline.step:.0%}")
    axes.set(xscale="log", yscale="log", xlabel="FLOP per byte of memory traffic", ylabel="GFLOP/s",
             title=f"{roofline.task.model}, batch {roofline.task.batch}, {roofline.task.threads} threads: "
                   f"a training step of {1000 * roofline.step:.0f} ms")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(frameon=False, loc="lower right", title="share of the step")
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set(sizes=[50])
    return figure
