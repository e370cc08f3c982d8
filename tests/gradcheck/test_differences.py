import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import batchnorm_backward, batchnorm_forward, softmax
from resnet_np.gradcheck import TensorReport, check_directions, check_entries, require

pytestmark = pytest.mark.nojit


def f(x, w):
    """Curved, and not symmetric in x and w."""
    return np.tanh(x) @ np.exp(w / 3)


def gradients(x, w, upstream):
    return {"x": upstream @ np.exp(w / 3).T * (1 - np.tanh(x) ** 2), "w": np.tanh(x).T @ upstream * np.exp(w / 3) / 3}


@pytest.fixture
def problem(rng):
    """The arguments, the right gradients and the upstream gradient."""
    arrays = {"x": rng.standard_normal((3, 4)), "w": rng.standard_normal((4, 2))}
    upstream = rng.standard_normal((3, 2))
    return arrays, gradients(**arrays, upstream=upstream), upstream


@pytest.fixture(params=[check_entries, check_directions], ids=lambda check: check.__name__)
def check(request, rng):
    if request.param is check_entries:
        return check_entries
    return lambda *args, **options: check_directions(*args, rng=rng, **options)


def test_a_right_gradient_passes_with_room_to_spare(check, problem):
    arrays, analytic, upstream = problem
    errors = check(f, arrays, analytic, upstream=upstream)
    assert [e.name for e in errors] == ["x", "w"]
    require(errors, 1e-8)


def test_one_per_mille_is_noticed(check, problem):
    arrays, analytic, upstream = problem
    analytic["w"] = analytic["w"] * 1.001
    x, w = check(f, arrays, analytic, upstream=upstream)
    assert x.error < 1e-8
    assert w.error == pytest.approx(1e-3, rel=1e-3)
    with pytest.raises(AssertionError, match=r"ok    x: relative error .*\n.*WRONG w: relative error 1.00e-03"):
        require([x, w])


def test_one_wrong_entry_is_found_and_named(problem):
    arrays, analytic, upstream = problem
    right = analytic["x"][2, 1]
    analytic["x"][2, 1] += 1e-3 * np.abs(analytic["x"]).max()
    x, _ = check_entries(f, arrays, analytic, upstream=upstream)
    assert x.error == pytest.approx(1e-3, rel=1e-5)
    assert x.index == (2, 1)
    assert x.analytic == analytic["x"][2, 1]
    assert x.numeric == pytest.approx(right, rel=1e-8)


@pytest.mark.parametrize("wrong", [np.zeros_like, np.negative, lambda g: g.T.reshape(g.shape), lambda g: g * np.nan])
def test_coarse_mistakes_are_noticed(check, problem, wrong):
    arrays, analytic, upstream = problem
    analytic["x"] = wrong(analytic["x"])
    with pytest.raises(AssertionError, match="WRONG x"):
        require(check(f, arrays, analytic, upstream=upstream))


def test_a_batch_norm_with_constant_statistics_is_noticed(check, rng):
    x, gamma, beta, upstream = (rng.standard_normal(shape) for shape in ((3, 2, 2, 3), 2, 2, (3, 2, 2, 3)))
    with using("numpy"):
        _, cache = batchnorm_forward(x, gamma, beta)
        right = batchnorm_backward(upstream, cache).dx
        wrong = upstream * (gamma * cache.inv_std)[:, None, None]

        def forward(x):
            return batchnorm_forward(x, gamma, beta)[0]

        require(check(forward, {"x": x}, {"x": right}, upstream=upstream))
        with pytest.raises(AssertionError, match="WRONG x"):
            require(check(forward, {"x": x}, {"x": wrong}, upstream=upstream))


def test_a_constant_upstream_gradient_is_refused(check, rng):
    """It would accept this wrong gradient, because each row of a softmax sums to 1."""
    logits = rng.standard_normal((3, 4))
    with using("numpy"), pytest.raises(InputError, match="upstream is 1 everywhere, expected random numbers"):
        check(softmax, {"logits": logits}, {"logits": np.zeros((3, 4))}, upstream=np.ones((3, 4)))


def test_a_function_that_returns_a_number(check):
    x = np.array([1.0, 2.0, 3.0])
    require(check(lambda x: np.sum(x**2), {"x": x}, {"x": 2 * x}, upstream=1.0))


def test_arguments_without_a_gradient_stay_as_they_are(check, problem):
    arrays, analytic, upstream = problem
    (error,) = check(f, arrays, {"w": analytic["w"]}, upstream=upstream)
    assert error.name == "w"
    require([error])


def test_large_and_small_values(check):
    """The step grows with the value; dividing by the step that was really made keeps the digits."""
    x = np.array([1e6, 3e6])
    require(check(lambda x: x**2, {"x": x}, {"x": 2 * x * np.array([1.0, -2.0])}, upstream=np.array([1.0, -2.0])))


def test_a_gradient_that_is_zero_passes(check, rng):
    require(check(lambda x: 0 * x, {"x": rng.standard_normal(5)}, {"x": np.zeros(5)}, upstream=rng.standard_normal(5)))


def test_a_net_whose_memory_is_reused(check, rng):
    """A layer may hand out the same memory every time; the checker must not compare an array with itself."""
    x, upstream, memory = rng.standard_normal(5), rng.standard_normal(5), np.empty(5)
    require(check(lambda x: np.multiply(x, x, out=memory), {"x": x}, {"x": 2 * x * upstream}, upstream=upstream))


def test_arrays_are_neither_changed_nor_lent_for_writing(check, problem):
    arrays, analytic, upstream = problem
    before = {name: array.copy() for name, array in arrays.items()}
    check(f, arrays, analytic, upstream=upstream)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])

    def writes(x):
        if not x.flags.writeable:
            x += 1
        return x

    with pytest.raises(ValueError, match="read-only"):
        check(writes, {"x": arrays["x"]}, {"x": analytic["x"]}, upstream=analytic["x"])


def test_some_entries_of_a_large_array(rng):
    x, upstream = rng.standard_normal(10_000), rng.standard_normal(10_000)
    calls = []

    def square(x):
        calls.append(1)
        return x**2

    (error,) = check_entries(square, {"x": x}, {"x": 2 * x * upstream}, upstream=upstream, entries=5, rng=rng)
    require([error])
    assert len(calls) == 1 + 2 * 5
    largest = 2 * x * upstream
    largest[np.argmax(np.abs(largest))] *= 1.001  # the largest is among the chosen ones
    (error,) = check_entries(square, {"x": x}, {"x": largest}, upstream=upstream, entries=5, rng=rng)
    assert error.error == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize(("change", "message"), [
    (lambda a, g, u: (a, {"y": g["x"]}, u), "a gradient for 'y', but the arrays are x, w"),
    (lambda a, g, u: (a, {"x": g["x"].T}, u), r"the gradient of x is \(4, 3\), expected \(3, 4\), like x"),
    (lambda a, g, u: ({**a, "x": a["x"].astype(np.float32)}, g, u),
     "x is float32 and its gradient float64, expected float64"),
    (lambda a, g, u: (a, {"w": g["w"].astype(np.float32)}, u),
     "w is float64 and its gradient float32, expected float64"),
    (lambda a, g, u: (a, g, u[0]), r"upstream is \(2,\), expected \(3, 2\), like the output of f"),
])
def test_errors_name_both_sides(check, problem, change, message):
    arrays, analytic, upstream = change(*problem)
    with pytest.raises(InputError, match=message):
        check(f, arrays, analytic, upstream=upstream)


def test_choosing_entries_needs_randomness(problem):
    arrays, analytic, upstream = problem
    with pytest.raises(InputError, match="entries without rng"):
        check_entries(f, arrays, analytic, upstream=upstream, entries=3)


def test_checking_nothing_does_not_pass():
    with pytest.raises(AssertionError, match="nothing was checked"):
        require([])


def test_nan_does_not_pass():
    with pytest.raises(AssertionError, match="WRONG x"):
        require([TensorReport("x", float("nan"), (0,), float("nan"), 1.0, 1)])
