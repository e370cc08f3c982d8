"""Six views of a picture, and the average of what a net says of them."""

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.data import CIFAR10
from resnet_np.errors import InputError
from resnet_np.layers import Layer
from resnet_np.models import Checkpoint, resnet_cifar
from resnet_np.training import evaluate, views
from resnet_np.training.predict import predict

pytestmark = pytest.mark.nojit


class Told(Layer):
    """Its logits: the pictures' first pixel, and the last one."""

    def forward(self, x, *, training, keep_cache=None):
        assert training is False and x.flags.c_contiguous
        return np.stack([x[:, 0, 0, 0], x[:, 0, -1, -1]], axis=1)


@pytest.fixture
def x(rng):
    return rng.standard_normal((5, 3, 4, 6)).astype(np.float32)


def test_the_views_are_those_of_a_reflecting_pad(x):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    expected = [x, padded[:, :, 0:4, 0:6], padded[:, :, 2:6, 2:8]]
    expected = [view for shifted in expected for view in (shifted, shifted[..., ::-1])]
    found = list(views.six(x))
    assert sorted(weight for _, weight in found) == [1 / 8] * 4 + [1 / 4] * 2
    # A shift down and to the right shows the upper left of the padded picture.
    for k, (view, weight) in enumerate(found):
        np.testing.assert_array_equal(view, expected[{0: 0, 1: 1, 2: 4, 3: 5, 4: 2, 5: 3}[k]])
        assert view.dtype == x.dtype and weight == (1 / 4 if k < 2 else 1 / 8)


def test_the_average_is_that_of_the_logits(x):
    single = Told().forward(x, training=False)
    ours = views.average(lambda view: Told().forward(view, training=False), x, single)
    first, last = x[:, 0, 0, 0], x[:, 0, -1, -1]
    corner = [x[:, 0, 0, -1], x[:, 0, -1, 0]]
    shifted = [x[:, 0, 1, 1], x[:, 0, 1, -2], x[:, 0, -2, -2], x[:, 0, -2, 1]]  # what lies a pixel further in
    np.testing.assert_allclose(ours[:, 0], (2 * first + 2 * corner[0] + 2 * shifted[0] + 2 * shifted[1]) / 8, rtol=1e-6)
    np.testing.assert_allclose(ours[:, 1], (2 * last + 2 * corner[1] + 2 * shifted[2] + 2 * shifted[3]) / 8, rtol=1e-6)


def test_evaluation_reports_both(rng, x):
    labels = rng.integers(0, 2, 5)
    plain, both = (evaluate(Told(), [(x, labels)], classes=2, views=count) for count in (1, 6))
    assert plain.top1_views is None and "top1_views" not in plain.to_json(("a", "b"))
    mean = views.average(lambda view: Told().forward(view, training=False), x, Told().forward(x, training=False))
    assert both.top1_views == np.mean(mean.argmax(1) == labels) == both.to_json(("a", "b"))["top1_views"]
    assert {**both.to_json(("a", "b")), "top1_views": 0} == {**plain.to_json(("a", "b")), "top1_views": 0}


def test_what_there_is_not(x):
    with pytest.raises(InputError, match="views: got 3, expected 1 or 6"):
        evaluate(Told(), [(x, np.zeros(5, int))], classes=2, views=3)
    with pytest.raises(InputError, match="at least 2 x 2 pixels"):
        list(views.six(x[:, :, :1]))


def test_a_prediction_is_the_softmax_of_the_average(rng):
    net, pictures = resnet_cifar(8, width=4, seed=1), rng.integers(0, 256, (3, 3, 32, 32)).astype(np.uint8)
    checkpoint = Checkpoint(net, CIFAR10, tuple("abcdefghij"))
    with backend.using("numpy"):
        found = predict(checkpoint, pictures, top=10, views=6)
        x = CIFAR10(pictures)
        logits = [weight * net.forward(view, training=False).astype(np.float64) for view, weight in views.six(x)]
    shares = np.exp(sum(logits)) / np.exp(sum(logits)).sum(axis=1, keepdims=True)
    for answer, share in zip(found, shares, strict=True):
        assert dict(answer.top_views) == pytest.approx(dict(zip("abcdefghij", share, strict=True)), abs=1e-6)
        assert answer.top != answer.top_views
