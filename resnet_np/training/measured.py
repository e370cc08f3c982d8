"""What came of recipes: the test accuracies of recorded runs, by which `plan.py` chooses.

All on the copy of CIFAR-10 whose pictures went through JPEG, 45,000 of them for training; on the official pixels expect some three
points more. The runs themselves, with command, machine and date: `tutorials/recorded/race.jsonl`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Measured:
    """A net, and what else differs from preset `fast`.

    accuracy   by epochs, that of every seed, each answer averaged over six views
    """

    name: str
    model: str
    width: int
    accuracy: Mapping[float, tuple[float, ...]]
    changes: Mapping[str, Any] = field(default_factory=dict)


MEASURED: tuple[Measured, ...] = ()
