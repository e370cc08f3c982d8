"""Randomness without a state to save: what step t draws depends on the seed and on t alone.

So a batch may be made ahead of time or made again after a resume, and is the same batch, bit for bit.
"""

import numpy as np

from resnet_np.errors import InputError

# The numbers are part of what a seed means: never renumber.
PURPOSES = {"init": 0, "shuffle": 1, "augment": 2, "cutout": 3, "mixup": 4, "dropout": 5, "flip": 6}


def generator(seed: int, t: int, purpose: str) -> np.random.Generator:
    """The random generator of step (or epoch) t for one purpose: a key of PURPOSES.

    Each (seed, t, purpose) has its own stream. Raises InputError for a negative number or an unknown purpose.
    """
    if purpose not in PURPOSES:
        raise InputError(f"generator: unknown purpose {purpose!r}, expected one of {', '.join(PURPOSES)}")
    if seed < 0 or t < 0:
        raise InputError(f"generator: seed and t must not be negative, got {seed} and {t}")
    return np.random.Generator(np.random.Philox([seed, PURPOSES[purpose], t]))
