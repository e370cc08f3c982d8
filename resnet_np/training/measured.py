"""What came of recipes: the accuracies of recorded runs, by which `plan.py` chooses.

On 5,000 validation pictures of the copy of CIFAR-10 that went through JPEG, which costs some three points, after training on the
other 45,000. The runs themselves, with command, machine and date: `tutorials/recorded/race.jsonl`.
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


MEASURED = (  # the cheapest first
    Measured("fast8, width 32", "fast8", 32, {1: (0.7552,), 3: (0.8314,), 4: (0.8378,), 9: (0.8642,)}),
    Measured("fast8", "fast8", 64, {4: (0.8682,), 8: (0.8840,)}),
    Measured("fast8, batch 1,000", "fast8", 64, {8: (0.8926,)}, {"batch_size": 1000, "lr": 0.83}),
)
