"""Lookahead: a second set of weights that follows the first, and is now and then put in its place.

Zhang et al. 2019, "Lookahead optimizer: k steps forward, 1 step back", with a memory that grows in the course of a run (Jordan
2024, arXiv 2404.00498, section 3.4): at first the slow weights all but equal the fast ones, at the end they average many steps.
"""

from collections.abc import Mapping

import numpy as np

from resnet_np.backend import like, to_host
from resnet_np.errors import CheckpointError, InputError

DECAY = 0.95  # a step, at the end of a run; the share of the slow weights is DECAY^every (t / total)^3


class Lookahead:
    """Slow copies of named arrays, by which these are replaced every few steps.

    arrays   what is averaged: the parameters and the running statistics, which must fit each other. Written in place
    every    steps between two replacements
    total    steps of the run
    Raises InputError unless both are at least 1.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], *, every: int, total: int) -> None:
        if every < 1 or total < 1:
            raise InputError(f"Lookahead: every and total must be at least 1, got {every} and {total}")
        self._arrays = dict(arrays)
        self._every, self.total = every, total
        self._slow = {name: array.copy() for name, array in self._arrays.items()}

    def share(self, t: int) -> float:
        """What the slow weights keep of themselves after step t, counted from 1; the fast ones give the rest."""
        return float(DECAY**self._every * (t / self.total) ** 3)

    def step(self, t: int) -> None:
        """After step t: every `every` steps the slow weights move towards the fast ones, and both become the same; after the last
        step the fast ones become the slow ones, as these are."""
        if t % self._every == 0:
            share = self.share(t)
            for name, fast in self._arrays.items():
                self._slow[name] += (1 - share) * (fast - self._slow[name])
                fast[...] = self._slow[name]
        if t == self.total:
            for name, fast in self._arrays.items():
                fast[...] = self._slow[name]

    def state(self) -> dict[str, np.ndarray]:
        """A copy of the slow arrays, by name, in the computer's memory."""
        return {name: to_host(array.copy()) for name, array in self._slow.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state()` gave. Raises CheckpointError, and changes nothing, if it does not fit."""
        if state.keys() != self._slow.keys():
            raise CheckpointError(f"Lookahead: the saved averages belong to another net: {len(state)} saved, {len(self._slow)} "
                                  "expected")
        for name, slow in self._slow.items():
            if state[name].shape != slow.shape or state[name].dtype != slow.dtype:
                raise CheckpointError(f"Lookahead: the saved average of {name} is {state[name].dtype} {state[name].shape}, "
                                      f"expected {slow.dtype} {slow.shape}")
        for name, slow in self._slow.items():
            slow[...] = like(state[name], slow)
