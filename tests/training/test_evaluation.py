"""Evaluation counts what it says it counts."""

import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.layers import Layer
from resnet_np.training import evaluate

pytestmark = pytest.mark.nojit


class Fixed(Layer):
    """Its input is its answer."""

    def forward(self, x, *, training, keep_cache=None):
        assert training is False
        return x


def test_against_a_count_by_hand(rng):
    logits, labels = rng.standard_normal((50, 7)), rng.integers(0, 7, 50)
    result = evaluate(Fixed(), [(logits[:30], labels[:30]), (logits[30:], labels[30:])], classes=7)
    order = np.argsort(-logits, axis=1)
    assert result.count == 50
    assert result.top1 == pytest.approx(np.mean(order[:, 0] == labels))
    assert result.top5 == pytest.approx(np.mean([label in row[:5] for label, row in zip(labels, order, strict=True)]))
    assert result.loss == pytest.approx(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(50), labels]))
    for true in range(7):
        for answer in range(7):
            assert result.confusion[true, answer] == np.sum((labels == true) & (order[:, 0] == answer))
        assert result.per_class[true] == pytest.approx(np.mean(order[labels == true, 0] == true))


def test_a_class_without_pictures_has_no_accuracy(rng):
    result = evaluate(Fixed(), [(np.eye(3), np.array([0, 1, 1]))], classes=3)
    assert result.per_class == [1.0, 0.5, None]
    assert result.top5 == 1.0  # of three classes, every one is among the five likeliest
    assert result.to_json(("a", "b", "c"))["per_class"] == {"a": 1.0, "b": 0.5, "c": None}


def test_no_pictures():
    with pytest.raises(InputError, match="no pictures"):
        evaluate(Fixed(), [], classes=3)
