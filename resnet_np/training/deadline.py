"""A run that must end in time: where the machine is slower than it was measured, steps of those to come are left out."""

import time
from collections import deque
from collections.abc import Callable, Collection
from statistics import fmean, median_low

from resnet_np.training import plan
from resnet_np.training.run import Run

LEAST = 4  # steps with pictures of a size, before their pace is believed
LATELY = 30  # reports whose pace counts
WORTH = 1.02  # times as many steps as are left: so many more must have room before any are taken back


class Deadline:
    """When a run must have ended, test included.

    end     in seconds, by `clock`
    speed   of this machine for the run's recipe, as it was measured
    count   the pictures
    """

    def __init__(
        self, end: float, speed: plan.Speed, count: plan.Pictures, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._end, self._speed, self._count, self._clock = end, speed, count, clock
        self._paces = {small: deque[float](maxlen=LATELY) for small in (True, False)}  # seconds a step, of smaller pictures or not
        self._steps = {True: 0, False: 0}

    def took(self, run: Run, steps: int, seconds: float) -> None:
        """So many steps, up to the last one taken, took so many seconds; leave out what would take too long, or take it back.

        What is left of either size changes by the same share. The rest is expected to take what the last steps took, the mean of
        the middle half of their reports: a hiccup of the machine does not move it. What a slow minute has cost comes back when
        it is over.
        """
        done, left = run.progress.step, run.total - run.progress.step
        small = done <= run.start_steps
        paces = self._paces[small]
        paces.append(seconds / steps)
        self._steps[small] += steps
        if self._steps[small] < LEAST or not left:
            return
        quick = max(0, run.start_steps - done)
        needed = _middle(paces) * (quick + (left - quick) * (self._speed.growth if small else 1))
        slower = _middle(paces) / self._planned_pace(run, small)
        there = self._end - self._clock() - self._afterwards(run, slower)
        fit = max(1, min(int(left * there / needed), run.planned_left))
        if fit < left or fit > WORTH * left:
            run.end_after(done + fit)

    def _planned_pace(self, run: Run, small: bool) -> float:
        """Seconds of a step, by the speed that was measured."""
        share = run.planned_start / run.planned
        quick = self._speed.training * run.batch_size / (share + (1 - share) * self._speed.growth)
        return quick if small else quick * self._speed.growth

    def _afterwards(self, run: Run, slower: float) -> float:
        """Seconds for all that is no step: validation, the test, what is typical. A picture takes what it has taken mostly, or as
        many times what was measured as a step does now (`slower`)."""
        records, steps = run.progress.records, run.loader.steps_per_epoch
        validations = [(record["seconds"] - record["training_seconds"]) / self._count.validation for record in records]
        picture = max(median_low([self._speed.evaluating, *validations]), self._speed.evaluating * slower)
        return plan.other_seconds(picture, -(-run.total // steps) - len(records), run.total / steps, self._count)


def _middle(values: Collection[float]) -> float:
    """The mean without the lowest and the highest quarter. The interquartile mean."""
    quarter = len(values) // 4
    return fmean(sorted(values)[quarter:len(values) - quarter])
