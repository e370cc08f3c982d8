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


def kept_epoch(accuracies: Sequence[float], n: int) -> int:
    """The epoch to keep, counted from 1: the latest within one standard error of the highest.

    accuracies: of the epochs so far on n validation pictures, fractions. A run that asks after every epoch is answered that one, or
    the same as before. It is computed in whole pictures, so that no rounding decides.
    """
    right = [round(accuracy * n) for accuracy in accuracies]
    highest = max(right)
    # (highest - count) / n <= sqrt(p (1 - p) / n) with p = highest / n, squared and times n^3
    return max(epoch for epoch, count in enumerate(right, 1) if (highest - count) ** 2 * n <= highest * (n - highest))
