import numpy as np
import pytest

from resnet_np.data import some_of_all, train_validation_split
from resnet_np.errors import InputError

pytestmark = pytest.mark.nojit


@pytest.mark.parametrize(("count", "held_back"), [(50_000, 5_000), (10_000, 1_000), (10, 1), (99, 9)])
def test_every_picture_is_on_exactly_one_side(count, held_back):
    train, validation = train_validation_split(count)
    assert len(validation) == held_back
    assert train.dtype == validation.dtype == np.int64
    assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(count))


def test_training_pictures_are_those_of_the_yardstick():
    """shared/peers/torch_train.py keeps the first 45,000 of this permutation."""
    train, _ = train_validation_split(50_000, split_seed=0)
    assert np.array_equal(train, np.sort(np.random.default_rng(0).permutation(50_000)[:45_000]))


def test_split_depends_on_its_seed_alone():
    first, again, other = (train_validation_split(1000, split_seed=seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("labels", "count", "expected"), [
    ([0, 1, 1, 0, 1, 0], 3, [0, 1, 2]),  # the first ones are of all classes
    ([0, 0, 0, 1, 1, 1], 3, [0, 2, 4]),  # class by class
    ([0] * 5 + [1] * 5 + [2] * 5, 6, [0, 2, 5, 7, 10, 12]),
    ([0, 0, 1], 7, [0, 1, 2]), ([0, 0, 1], 3, [0, 1, 2]), ([0, 1], 0, []),
])
def test_some_are_of_all_classes(labels, count, expected):
    chosen = some_of_all(np.array(labels), count)
    assert chosen.dtype == np.int64 and chosen.tolist() == expected


def test_nothing_may_be_held_back():
    train, validation = train_validation_split(100, validation=0)
    assert len(train) == 100 and len(validation) == 0


def test_too_few_pictures():
    with pytest.raises(InputError, match="got 9 pictures, expected at least 10"):
        train_validation_split(9)
    with pytest.raises(InputError, match="negative"):
        train_validation_split(100, validation=-1)
