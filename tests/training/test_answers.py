import numpy as np
import pytest

from resnet_np import functional as F
from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.models import resnet_cifar
from resnet_np.training.answers import Answers, answers

pytestmark = pytest.mark.nojit


def test_mistakes_begin_with_the_most_confident():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8], [0.05, 0.95]])
    probabilities.setflags(write=False)
    found = Answers(probabilities, np.array([1, 1, 0, 1, 0]))
    assert found.mistakes().tolist() == [4, 0, 1, 2]  # 3 is right
    assert found.chosen.tolist() == [0, 0, 1, 1, 1] and found.confidence.tolist() == [0.9, 0.8, 0.7, 0.8, 0.95]
    np.testing.assert_array_equal(found.confusion, [[0, 2], [2, 1]])
    assert Answers(probabilities, np.array([0, 0, 1, 1, 1])).mistakes().tolist() == []
    equal = Answers(np.full((3, 2), 0.5), np.array([1, 0, 1]))
    assert equal.mistakes().tolist() == [0, 2]


def test_every_picture_once_in_order(rng):
    net = resnet_cifar(8, classes=3)
    x = rng.standard_normal((5, 3, 8, 8)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1])
    with using("numpy"):
        found = answers(net, [(x[:2], labels[:2]), (x[2:4], labels[2:4]), (x[4:], labels[4:])])
        expected = F.softmax(net.forward(x, training=False))
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.labels, labels)
    with pytest.raises(InputError, match="no pictures"):
        answers(net, [])
