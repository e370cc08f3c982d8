"""What the notebooks of `tutorials/` call: `check` an exercise, read what was `recorded`."""

from resnet_np.tutor.checking import check, exercises
from resnet_np.tutor.records import recorded

__all__ = ["check", "exercises", "recorded"]
