import math

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import softmax, softmax_cross_entropy_backward, softmax_cross_entropy_forward
from resnet_np.gradcheck import check_entries, require

sizes = pytest.mark.parametrize(("images", "classes"), [(1, 1), (1, 2), (5, 10), (128, 10), (3, 1000)])


DLOGITS = 2  # the place of dlogits in what `run` returns


def run(logits, labels):
    loss, cache = softmax_cross_entropy_forward(logits, labels)
    return np.array([loss]), cache.probabilities, softmax_cross_entropy_backward(cache), softmax(logits)


@sizes
def test_backends_agree(fast_backend, images, classes, dtype, rng, draw, close, same_twice):
    logits, labels = draw(images, classes, dtype=dtype), rng.integers(0, classes, images)
    ours = same_twice(lambda: run(logits, labels))
    with using("loops"):
        oracle = run(logits, labels)
    for a, b in zip(ours, oracle, strict=True):
        close(a, b, float32=1e-6)


def test_the_cache_is_not_written(backend, rng, draw):
    _, cache = softmax_cross_entropy_forward(draw(4, 3), rng.integers(0, 3, 4))
    first, second = softmax_cross_entropy_backward(cache), softmax_cross_entropy_backward(cache)
    np.testing.assert_array_equal(first, second)


@pytest.mark.peer
@sizes
@pytest.mark.parametrize("scale", [1, 1e4])
def test_pytorch_agrees(backend, images, classes, scale, dtype, rng, draw, close, torch):
    logits, labels = draw(images, classes, dtype=dtype) * dtype.type(scale), rng.integers(0, classes, images)
    tlogits = torch.from_numpy(logits.copy()).requires_grad_()
    loss = torch.nn.functional.cross_entropy(tlogits, torch.from_numpy(labels))
    loss.backward()
    ours, probabilities, dlogits, again = run(logits, labels)
    close(ours, loss.detach().numpy().reshape(1))
    close(probabilities, torch.softmax(tlogits, 1).detach().numpy())
    close(dlogits, tlogits.grad.numpy())
    np.testing.assert_array_equal(again, probabilities)


def test_gradient(backend, rng, draw):
    logits, labels = draw(4, 5), rng.integers(0, 5, 4)
    _, cache = softmax_cross_entropy_forward(logits, labels)
    require(check_entries(lambda logits: softmax_cross_entropy_forward(logits, labels)[0],
                          {"logits": logits}, {"logits": softmax_cross_entropy_backward(cache)}, upstream=1.0))


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_loss_of_zero_logits_is_log_k(backend, classes, dtype):
    loss, _ = softmax_cross_entropy_forward(np.zeros((3, classes), dtype), np.array([0, 1, classes - 1]))
    assert loss.dtype == dtype
    assert float(loss) == pytest.approx(math.log(classes), rel=1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_large_logits(backend, dtype, size):
    """exp(1e4) overflows, and log(exp(-1e4)) is -inf: neither may be computed."""
    logits = np.array([[size, -size, 0], [-size, size, 0], [size, size, -size]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, cache = softmax_cross_entropy_forward(logits, np.array([0, 0, 1]))
        probabilities = softmax(logits)
    np.testing.assert_allclose(float(loss), (0 + 2 * size + math.log(2)) / 3, rtol=1e-6)
    np.testing.assert_array_equal(probabilities, [[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])
    dlogits = softmax_cross_entropy_backward(cache)
    np.testing.assert_allclose(dlogits, np.array([[0, 0, 0], [-1, 1, 0], [0.5, -0.5, 0]]) / 3, rtol=1e-6)


def test_gradient_is_that_of_the_mean(backend, dtype):
    """Two equal images have the loss of one, so each has half of its gradient."""
    logits = np.array([[0.0, 1.0, 2.0]], dtype)
    one = run(logits, np.array([1]))[DLOGITS]
    two = run(np.repeat(logits, 2, axis=0), np.array([1, 1]))[DLOGITS]
    np.testing.assert_allclose(two, np.repeat(one, 2, axis=0) / 2, rtol=1e-6)
    np.testing.assert_allclose(one.sum(), 0, atol=1e-6)
    assert one.argmin() == 1


def test_adding_a_number_to_all_logits_changes_nothing(backend, draw):
    logits = draw(4, 6)
    np.testing.assert_allclose(softmax(logits + 123.0), softmax(logits), rtol=1e-12)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type(backend, kind, draw):
    logits, labels = draw(3, 4), np.array([3, 0, 2])
    expected, _ = softmax_cross_entropy_forward(logits, labels)
    loss, cache = softmax_cross_entropy_forward(logits, labels.astype(kind))
    assert loss == expected
    np.testing.assert_array_equal(cache.targets.argmax(axis=1), labels)


def test_nan_logits_give_a_nan_loss(backend, dtype):
    logits = np.zeros((2, 3), dtype)
    logits[1, 1] = np.nan
    loss, _ = softmax_cross_entropy_forward(logits, np.array([0, 0]))
    assert np.isnan(loss)


LOGITS = np.ones((3, 10), np.float32)


@pytest.mark.nojit
@pytest.mark.parametrize(("logits", "labels", "message"), [
    (LOGITS, np.array([0, 10, 3]),
     "softmax_cross_entropy: labels run from 0 to 10, expected 0 to 9, as logits have 10 columns"),
    (LOGITS, np.array([-1, 1, 3]),
     "softmax_cross_entropy: labels run from -1 to 3, expected 0 to 9, as logits have 10 columns"),
    (LOGITS, np.array([0, 1]),
     "softmax_cross_entropy: labels (2,) for 3 rows of logits, expected (3,), one class number each"),
    (LOGITS, np.ones(3), "softmax_cross_entropy: labels are float64, expected a NumPy array of integers (int64)"),
    (LOGITS, [0, 1, 2], "softmax_cross_entropy: labels are list, expected a NumPy array of integers (int64)"),
    (LOGITS[0], np.array([0]), "softmax_cross_entropy: logits has 1 axes, expected 2 (N, K): logits (10,)"),
])
def test_errors_name_both_sides(logits, labels, message):
    with pytest.raises(InputError) as error:
        softmax_cross_entropy_forward(logits, labels)
    assert str(error.value) == message


def smoothed(logits, labels, smoothing=0.1):
    loss, cache = softmax_cross_entropy_forward(logits, labels, smoothing=smoothing)
    return np.array([loss]), softmax_cross_entropy_backward(cache)


def distributions(rng, images, classes, dtype):
    draws = rng.random((images, classes)).astype(dtype)
    return draws / draws.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "distributions"])
def test_smoothing_backends_agree(fast_backend, soft, dtype, rng, draw, close, same_twice):
    logits = draw(6, 10, dtype=dtype)
    labels = distributions(rng, 6, 10, dtype) if soft else rng.integers(0, 10, 6)
    ours = same_twice(lambda: smoothed(logits, labels))
    with using("loops"):
        oracle = smoothed(logits, labels)
    for a, b in zip(ours, oracle, strict=True):
        close(a, b, float32=1e-6)


@pytest.mark.peer
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "distributions"])
def test_smoothing_pytorch_agrees(backend, soft, smoothing, dtype, rng, draw, close, torch):
    logits = draw(6, 10, dtype=dtype)
    labels = distributions(rng, 6, 10, dtype) if soft else rng.integers(0, 10, 6)
    tlogits = torch.from_numpy(logits.copy()).requires_grad_()
    loss = torch.nn.functional.cross_entropy(tlogits, torch.from_numpy(labels), label_smoothing=smoothing)
    loss.backward()
    ours, dlogits = smoothed(logits, labels, smoothing)
    close(ours, loss.detach().numpy().reshape(1))
    close(dlogits, tlogits.grad.numpy())


def test_smoothing_gradient(backend, rng, draw):
    logits, labels = draw(4, 5), rng.integers(0, 5, 4)
    require(check_entries(lambda logits: softmax_cross_entropy_forward(logits, labels, smoothing=0.2)[0],
                          {"logits": logits}, {"logits": smoothed(logits, labels, 0.2)[1]}, upstream=1.0))


def test_the_least_smoothed_loss_is_the_entropy_of_the_targets(backend, dtype):
    """Reached where the probabilities are the targets: 0.9 + 0.1 / 4 at the label, 0.1 / 4 elsewhere."""
    targets = np.array([[0.925, 0.025, 0.025, 0.025]])
    loss, dlogits = smoothed(np.log(targets).astype(dtype), np.array([0]))
    np.testing.assert_allclose(loss, -(targets * np.log(targets)).sum(), rtol=1e-6)
    np.testing.assert_allclose(dlogits, 0, atol=1e-7)


def test_a_logit_of_minus_infinity(backend, dtype):
    """A class that is ruled out costs nothing where it has no target."""
    loss, cache = softmax_cross_entropy_forward(np.array([[0, 0, -np.inf]], dtype), np.array([0]))
    np.testing.assert_allclose(loss, math.log(2), rtol=1e-6)
    np.testing.assert_allclose(softmax_cross_entropy_backward(cache), [[-0.5, 0.5, 0]], rtol=1e-6)


@pytest.mark.nojit
@pytest.mark.parametrize(("labels", "smoothing", "message"), [
    (np.zeros(3, np.int64), 1.0, "smoothing is 1.0, expected a number of at least 0 and below 1"),
    (np.zeros(3, np.int64), float("nan"), "smoothing is nan"),
    (np.full((3, 10), 0.2, np.float32), 0.0, "a row of labels is no distribution"),
    (np.full((3, 10), np.nan, np.float32), 0.0, "a row of labels is no distribution"),
    (np.full((3, 5), 0.2, np.float32), 0.0, r"labels (3, 5) for logits (3, 10), expected as many rows and columns"),
])
def test_errors_of_soft_labels(labels, smoothing, message):
    with pytest.raises(InputError) as error:
        softmax_cross_entropy_forward(LOGITS, labels, smoothing=smoothing)
    assert message in str(error.value)
