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
    Measured("fast8, width 32", "fast8", 32, {2: (0.7984, 0.7948, 0.8042), 4: (0.8240, 0.8332, 0.8314), 8: (0.8562,)},
             {"batch_size": 500, "lr": 0.414, "start_share": 0.625}),
    Measured("fast8, 5/8 small", "fast8", 64, {4: (0.8582,), 6: (0.8740,), 8: (0.8834,), 12: (0.8896,)},
             {"start_share": 0.625}),
    Measured("fast8", "fast8", 64, {6: (0.8834, 0.8814, 0.8846), 9: (0.8932,), 11: (0.8952, 0.9008, 0.8952)}),
    Measured("fast8, width 96", "fast8", 96, {18: (0.9084,)}),
    Measured("fast8, 96, cutout", "fast8", 96, {20: (0.9106, 0.9104)}, {"cutout": 8}),
)
