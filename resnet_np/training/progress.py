"""Where a run is; and where its steps stand in the schedule of its recipe, also when some of them are left out."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """Where a run is: saved with every checkpoint, so that a resumed run continues in the middle of an epoch.

    A recipe plans a number of steps. A run that would not end in time takes fewer: from then on each of its steps is a stride over
    more than one step of the schedule, so that the run still goes through all of it.
    """

    step: int = 0
    loss: float = 0.0  # sums over the steps of the current epoch
    correct: int = 0
    epoch_seconds: float = 0.0
    seconds: float = 0.0  # training and validation, all sessions together
    best_epoch: int = 0  # the one that is kept, in best.npz; 0: none yet
    best_accuracy: float = -1.0  # its accuracy on validation
    left_out: int = 0  # steps of the recipe that the run does without, to end in time
    cut: int = 0  # the step behind which that was last changed; 0: never
    place: float = 0.0  # where that step stood in the schedule
    small: float = 0.0  # since then: the first steps, with smaller pictures
    records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, default in vars(type(self)).items():
            if isinstance(default, int | float) and not isinstance(getattr(self, name), int | type(default)):
                raise TypeError(f"{name} is {getattr(self, name)!r}")
        if not isinstance(self.records, list) or not all(isinstance(record, dict) for record in self.records):
            raise TypeError("records is no list of objects")

    def place_of(self, t: int, planned: int) -> float:
        """Where step t, from the last cut on, stands in the schedule of `planned` steps."""
        return self.place + (t - self.cut) * (planned - self.place) / (planned - self.left_out - self.cut)

    def end_after(self, total: int, *, planned: int, start_steps: int) -> None:
        """From here on, take as many steps as make `total` in all: more than were taken, and no more than are left of the schedule.

        What is left of the `planned` steps, and of the `start_steps` with smaller pictures, changes by the same share.
        """
        share = (total - self.step) / (planned - self.left_out - self.step)
        small = self.small if self.cut else float(start_steps)
        self.small = self.step + (small - self.step) * share if small > self.step else small
        self.place, self.cut, self.left_out = self.place_of(self.step, planned), self.step, planned - total
