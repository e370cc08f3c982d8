"""What is measured, and the random batch that every side is given."""

from dataclasses import dataclass

import numpy as np

LR = 0.01  # low: hundreds of steps on one random batch must stay finite at any depth; no side's speed depends on it
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4  # He et al. 2015, section 4.2


@dataclass(frozen=True)
class Task:
    model: str  # a name that parse_name knows
    batch: int  # images
    threads: int
    image_size: int = 32  # pixels a side
    precision: str = "float32"  # of our side


def random_batch(images: int, classes: int, image_size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """x (N, 3, image_size, image_size) float32 and labels (N,) int64, the same ones in every process."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((images, 3, image_size, image_size), np.float32), rng.integers(0, classes, images)
