"""The training pictures, parted into those that are learned and those on which the best checkpoint is chosen."""

import numpy as np

from resnet_np.errors import InputError


def train_validation_split(count: int, *, validation: int = 5000, split_seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Part `count` pictures at random -> (training indices, validation indices), both int64 and sorted.

    `validation` pictures are held back (He et al. 2015, section 4.2: 45k/5k), but never more than a tenth of them. The
    split depends on its own seed, so that runs with different seeds are judged on the same pictures.
    Raises InputError for fewer than ten pictures or a negative number.
    """
    if count < 10:
        raise InputError(f"split: got {count} pictures, expected at least 10, of which one is held back for validation")
    if validation < 0 or split_seed < 0:
        raise InputError(f"split: validation and split_seed must not be negative, got {validation} and {split_seed}")
    held_back = min(validation, count // 10)
    order = np.random.default_rng(split_seed).permutation(count)
    return np.sort(order[:count - held_back]), np.sort(order[count - held_back:])


def some_of_all(labels: np.ndarray, count: int) -> np.ndarray:
    """Choose `count` pictures of those with these labels (N,) -> indices (count,), int64, rising.

    The first ones; where these lack a class, as in a folder that is read class by class, as many at even distances.
    """
    if count >= len(labels) or len(np.unique(labels[:count])) == len(np.unique(labels)):
        return np.arange(min(count, len(labels)))
    return np.arange(count) * len(labels) // count
