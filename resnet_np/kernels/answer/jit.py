"""Who answers: the program of run.py, for one picture or many, in one thread or all, for one thread of Python or several at once.

Of several pictures every thread answers some, by itself: that needs no more than threads of Python, which run.py leaves unlocked. A
large picture alone, or fewer pictures than threads, are shared step by step among Numba's threads; but only for Python's main
thread, as everywhere in this package: not every threading layer of Numba bears two callers. Others answer alone.
"""

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import get_num_threads

from resnet_np.kernels.answer import Steps
from resnet_np.kernels.answer.program import aligned, compile_steps
from resnet_np.kernels.answer.run import run, run_shared
from resnet_np.kernels.threads import most_threads

# Multiplications of the definition from which the steps of one picture are shared among threads. ResNet-20, 41 million: 0.66 to
# 0.67 ms alone, 0.54 to 0.62 by two threads; ResNet-18 with the CIFAR stem, 555 million: 11.6 and 5.9 (AMD EPYC, Zen 3,
# 2026-12-01).
SHARED_FROM = 30_000_000
TOGETHER = 32  # pictures at most that a thread answers in one call: Ctrl-C waits for it
KEPT = 4  # sizes of pictures for which weights and memory are kept

_one_at_a_time = threading.Lock()  # who plans, or starts threads
_pool: ThreadPoolExecutor | None = None


def answer(steps: Steps, x):
    """x (N, 3, H, W) -> logits (N, K)."""
    return _plan(steps, x.shape[1:])(x)


def _plan(steps: Steps, shape: tuple[int, int, int]) -> "Plan":
    with _one_at_a_time:
        plan = steps.plans.pop(shape, None) or Plan(steps, shape)
        steps.plans[shape] = plan  # the last used comes last
        while len(steps.plans) > KEPT:
            steps.plans.popitem(last=False)
    return plan


class _Desk(NamedTuple):
    """What is written while a picture is answered by one thread."""

    memory: np.ndarray
    scratch: np.ndarray
    places: np.ndarray


class Plan:
    """The program for pictures of a shape (3, H, W), and desks to run it at: one for everybody who answers at the same time."""

    def __init__(self, steps: Steps, shape: tuple[int, int, int]) -> None:
        self._rows = most_threads()
        self.program = compile_steps(steps, shape, self._rows)
        self._desks: list[_Desk] = []
        self._shared: tuple[np.ndarray, np.ndarray] | None = None  # scratch and places of all threads

    def __call__(self, x: np.ndarray) -> np.ndarray:
        logits = np.empty((len(x), self.program.classes), np.float32)
        threads = get_num_threads()
        if (threads > max(1, len(x) - 1) and self.program.products >= SHARED_FROM
                and threading.current_thread() is threading.main_thread()):
            for k in range(len(x)):
                self._run(x[k:k + 1], logits[k:k + 1], shared=True)
        else:
            self._by_turns(x, logits, threads)
        return logits

    def _by_turns(self, x: np.ndarray, logits: np.ndarray, threads: int) -> None:
        """Pictures are handed out, some at a time, to whoever is done with the last ones."""
        together = max(1, min(TOGETHER, len(x) // (4 * threads)))
        turns = deque(slice(start, start + together) for start in range(0, len(x), together))

        def work() -> None:
            while turns:
                try:
                    turn = turns.popleft()
                except IndexError:  # somebody else was quicker
                    return
                self._run(x[turn], logits[turn])

        helpers = [helping().submit(work) for _ in range(min(threads, len(turns)) - 1)]
        try:
            work()
        finally:
            turns.clear()  # after Ctrl-C nobody begins another
            for helper in helpers:
                helper.result()

    def _run(self, x: np.ndarray, logits: np.ndarray, *, shared: bool = False) -> None:
        p = self.program
        try:
            desk = self._desks.pop()
        except IndexError:
            desk = _Desk(aligned(p.memory), aligned(p.scratch), np.zeros((2, p.places), np.int64))
        if shared:
            if self._shared is None:
                self._shared = (aligned(self._rows * p.scratch).reshape(self._rows, -1),
                                np.zeros((self._rows, *desk.places.shape), np.int64))
            run_shared(x, p.entrance, p.table, p.weights, p.logits, desk.memory, *self._shared, logits)
        else:
            run(x, p.entrance, p.table, p.weights, p.logits, *desk, logits)
        self._desks.append(desk)


def helping() -> ThreadPoolExecutor:
    """The threads of Python that answer beside the caller; nothing waits within them."""
    global _pool
    with _one_at_a_time:
        if _pool is None:
            _pool = ThreadPoolExecutor(most_threads(), "answer")
        return _pool


def _after_fork() -> None:
    """A child has a copy of the pool, but none of its threads."""
    global _pool, _one_at_a_time
    _pool, _one_at_a_time = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
