"""Which epoch's weights are kept: the one-standard-error rule.

Breiman, Friedman, Olshen and Stone 1984, "Classification and Regression Trees", section 3.4.3. An accuracy p that was measured on
n validation pictures is uncertain by its standard error, sqrt(p (1 - p) / n): one point at 90 % of 900 pictures, ten at 70 % of 20.
The highest of several such accuracies is partly luck, the more so the fewer pictures there are. So every epoch within one standard
error of the highest counts as its equal, and of equals the latest is kept, which has learned for longest.
"""

import math
from collections.abc import Sequence


def standard_error(accuracy: float, n: int) -> float:
    """Of an accuracy (a fraction) that was measured on n pictures, as a fraction."""
    return math.sqrt(accuracy * (1 - accuracy) / n)


def is_kept(accuracies: Sequence[float], n: int) -> bool:
    """Whether the last of these epochs is the one to keep, as far as the run has come.

    accuracies: of the epochs so far on n validation pictures, fractions. It is computed in whole pictures: no rounding decides.
    """
    right, highest = round(accuracies[-1] * n), round(max(accuracies) * n)
    # (highest - right) / n <= sqrt(p (1 - p) / n) with p = highest / n, squared and times n^3
    return (highest - right) ** 2 * n <= highest * (n - highest)


def kept_epoch(accuracies: Sequence[float], n: int) -> int:
    """The epoch to keep, counted from 1: the latest within one standard error of the highest. Arguments as for `is_kept`."""
    # The highest epoch is kept when it comes, so that no later one is judged by a lower bar than the final one.
    return max(epoch for epoch in range(1, len(accuracies) + 1) if is_kept(accuracies[:epoch], n))
