"""Is every gradient right? Finite differences of functions, layers and nets; `resnet-np gradcheck` checks them all.

differences.py  the comparison itself, of anything that is a function      subjects.py  pairs, layers and nets as such functions
causes.py       from a wrong gradient to what is likely wrong              table.py     every operation, layer, block, and two nets
rules.py        what must hold and shows in no gradient                    mutants.py   sixteen classic bugs
planting.py     plants them in a copy of the package, to check the checker
"""

from resnet_np.gradcheck.causes import Suspect, assigned, factors, is_forward, is_gradient
from resnet_np.gradcheck.differences import Evaluation, TensorReport, check_directions, check_entries, require
from resnet_np.gradcheck.subjects import check_layer, check_pair

__all__ = [
    "Evaluation",
    "Suspect",
    "TensorReport",
    "assigned",
    "check_directions",
    "check_entries",
    "check_layer",
    "check_pair",
    "factors",
    "is_forward",
    "is_gradient",
    "require",
]
