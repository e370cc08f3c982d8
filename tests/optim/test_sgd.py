import os

import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import CheckpointError, InputError
from resnet_np.functional.parameter import Parameter
from resnet_np.optim import SGD

pytestmark = pytest.mark.nojit



@pytest.fixture(autouse=True, params=["loops", "numpy", "numba"])
def backend(request):
    if request.param == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run")
    with using(request.param):
        yield


SHAPES = {"conv.weight": (4, 3, 3, 3), "bn.gamma": (4,), "fc.weight": (10, 4), "fc.bias": (10,)}


def make(rng, dtype=np.float64):
    return {name: Parameter(rng.standard_normal(shape).astype(dtype), decay=name.endswith("weight"))
            for name, shape in SHAPES.items()}


def set_gradients(parameters, rng):
    for parameter in parameters.values():
        parameter.grad[...] = rng.standard_normal(parameter.data.shape)


@pytest.mark.peer
@pytest.mark.parametrize("decay", ["all", "weights"])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_five_steps_are_pytorch_s(torch, rng, momentum, nesterov, decay, dtype, tolerance):
    parameters = make(rng, dtype)
    theirs = {name: torch.nn.Parameter(torch.from_numpy(p.data.copy())) for name, p in parameters.items()}
    decays = {name: decay == "all" or p.decay for name, p in parameters.items()}
    groups = [{"params": [t for name, t in theirs.items() if decays[name]], "weight_decay": 0.05},
              {"params": [t for name, t in theirs.items() if not decays[name]], "weight_decay": 0.0}]
    peer = torch.optim.SGD([group for group in groups if group["params"]], lr=0.1, momentum=momentum, nesterov=nesterov)
    ours = SGD(parameters, momentum=momentum, nesterov=nesterov, weight_decay=0.05, decay=decay)
    for lr in (0.1, 0.3, 0.02, 0.2, 0.1):
        set_gradients(parameters, rng)
        for name, parameter in parameters.items():
            theirs[name].grad = torch.from_numpy(parameter.grad.copy())
        for group in peer.param_groups:
            group["lr"] = lr
        peer.step()
        ours.step(lr)
    for name, parameter in parameters.items():
        np.testing.assert_allclose(parameter.data, theirs[name].detach().numpy(), rtol=0, atol=tolerance)


def test_two_steps_by_hand():
    w = Parameter(np.array([1.0]), decay=True)
    optimiser = SGD({"w": w}, momentum=0.5, weight_decay=0.1, nesterov=True)
    w.grad[...] = 2
    optimiser.step(0.1)  # g = 2.1, v = 2.1, w = 1 - 0.1 (2.1 + 0.5 * 2.1)
    assert w.data[0] == pytest.approx(0.685)
    optimiser.step(0.1)  # g = 2.0685, v = 3.1185, w = 0.685 - 0.1 (2.0685 + 0.5 * 3.1185)
    assert w.data[0] == pytest.approx(0.322225)


@pytest.mark.peer
def test_rates_and_decays_of_their_own_are_pytorchs_groups(torch, rng):
    parameters = make(rng)
    theirs = {name: torch.nn.Parameter(torch.from_numpy(p.data.copy())) for name, p in parameters.items()}
    rates, decays = {"bn.gamma": 64.0, "fc.bias": 0.5}, {"bn.gamma": 1 / 64, "conv.weight": 3.0}
    peer = torch.optim.SGD([{"params": [t], "lr": 0.01 * rates.get(name, 1), "weight_decay": 0.05 * decays.get(name, 1)}
                            for name, t in theirs.items()], momentum=0.85, nesterov=True)
    ours = SGD(parameters, momentum=0.85, nesterov=True, weight_decay=0.05, rates=rates, decays=decays)
    for _ in range(4):
        set_gradients(parameters, rng)
        for name, parameter in parameters.items():
            theirs[name].grad = torch.from_numpy(parameter.grad.copy())
        peer.step()
        ours.step(0.01)
    for name, parameter in parameters.items():
        np.testing.assert_allclose(parameter.data, theirs[name].detach().numpy(), rtol=1e-13)


@pytest.mark.parametrize("kind", ["rates", "decays"])
@pytest.mark.parametrize("factors, words", [({"nobody": 1.0}, "'nobody'"), ({"fc.bias": -1.0}, "got -1.0"),
                                            ({"fc.bias": float("nan")}, "got nan")])
def test_factors_that_make_no_sense(rng, kind, factors, words):
    with pytest.raises(InputError, match=words):
        SGD(make(rng), **{kind: factors})


def test_only_tagged_parameters_decay(rng):
    parameters = make(rng)
    before = {name: p.data.copy() for name, p in parameters.items()}
    SGD(parameters, weight_decay=0.5, decay="weights").step(0.1)  # every gradient is 0
    for name, parameter in parameters.items():
        np.testing.assert_allclose(parameter.data, before[name] * (0.95 if name.endswith("weight") else 1), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nesterov", [False, True])
def test_dtype_is_kept_with_float64_scalars(rng, dtype, nesterov):
    parameters = make(rng, dtype)
    live = {name: p.data for name, p in parameters.items()}
    optimiser = SGD(parameters, momentum=np.float64(0.9), weight_decay=np.float64(1e-4), nesterov=nesterov)
    for _ in range(2):
        set_gradients(parameters, rng)
        optimiser.step(np.float64(0.1))
    for name, parameter in parameters.items():
        assert parameter.data is live[name]
        assert parameter.data.dtype == parameter.grad.dtype == optimiser.state()[name].dtype == dtype


def test_float64_scalars_give_the_bits_of_plain_floats():
    """In-place updates keep the dtype in any case; a float64 scalar would still compute in float64 on the way."""
    results = []
    for scalar in (float, np.float64):
        parameters = make(np.random.default_rng(1), np.float32)
        optimiser = SGD(parameters, momentum=scalar(0.9), weight_decay=scalar(0.01), nesterov=True)
        for seed in range(3):
            set_gradients(parameters, np.random.default_rng(seed))
            optimiser.step(scalar(0.1))
        results.append(np.concatenate([p.data.ravel() for p in parameters.values()]))
    assert np.array_equal(*results)


def test_gradients_are_only_read(rng):
    parameters = make(rng)
    set_gradients(parameters, rng)
    for parameter in parameters.values():
        parameter.grad.setflags(write=False)
    optimiser = SGD(parameters, nesterov=True)
    optimiser.step(0.1)
    first = {name: velocity.copy() for name, velocity in optimiser.state().items()}
    before = {name: p.data.copy() for name, p in parameters.items()}
    optimiser.step(0.1)
    for name, parameter in parameters.items():
        expected = 0.9 * first[name] + parameter.grad + 1e-4 * before[name]
        np.testing.assert_allclose(optimiser.state()[name], expected, rtol=1e-12)


def test_frozen_parameters_stay(rng):
    parameters = make(rng)
    set_gradients(parameters, rng)
    parameters["fc.weight"].frozen = True
    before = {name: p.data.copy() for name, p in parameters.items()}
    optimiser = SGD(parameters)
    optimiser.step(0.1)
    for name, parameter in parameters.items():
        assert np.array_equal(parameter.data, before[name]) == (name == "fc.weight")
    assert not optimiser.state()["fc.weight"].any()


def test_resumed_steps_are_the_same_bits(rng):
    """Momentum lost on resume is a classic bug."""
    through, resumed = make(np.random.default_rng(1), np.float32), make(np.random.default_rng(1), np.float32)
    optimiser, first = SGD(through), SGD(resumed)
    for o, parameters in ((optimiser, through), (first, resumed)):
        set_gradients(parameters, np.random.default_rng(2))
        o.step(0.1)
    saved = first.state()
    for velocity in saved.values():
        velocity.setflags(write=False)
    second = SGD(resumed)
    second.load_state(saved)
    for o, parameters in ((optimiser, through), (second, resumed)):
        set_gradients(parameters, np.random.default_rng(3))
        o.step(0.1)
    for name in SHAPES:
        assert np.array_equal(through[name].data, resumed[name].data)
        assert not np.array_equal(saved[name], second.state()[name])  # the saved state is a copy


def test_state_of_another_net_is_refused_and_nothing_changes(rng):
    optimiser = SGD(make(rng))
    state = optimiser.state()
    with pytest.raises(CheckpointError, match="4 expected, 'extra' is only in one"):
        optimiser.load_state(state | {"extra": np.zeros(3)})
    ones = {name: np.ones_like(velocity) for name, velocity in state.items()}
    with pytest.raises(CheckpointError, match=r"velocity of fc.bias is float64 \(9,\), expected float64 \(10,\)"):
        optimiser.load_state(ones | {"fc.bias": np.zeros(9)})
    with pytest.raises(CheckpointError, match="velocity of fc.bias is float32"):
        optimiser.load_state(ones | {"fc.bias": np.zeros(10, np.float32)})
    assert not any(velocity.any() for velocity in optimiser.state().values())


def test_wrong_arguments(rng):
    for options, message in [({"momentum": 1.0}, "momentum must be"), ({"weight_decay": -1.0}, "weight_decay must be"),
                             ({"nesterov": True, "momentum": 0.0}, "nesterov needs"), ({"decay": "no"}, "got 'no'")]:
        with pytest.raises(InputError, match=message):
            SGD(make(rng), **options)


def test_only_contiguous_parameters_are_moved(rng):
    parameter = Parameter(rng.standard_normal((3, 4)).T, decay=True)
    with pytest.raises(InputError, match="w is not C-contiguous"):
        SGD({"w": parameter}).step(0.1)


@pytest.mark.parametrize(("change", "message"), [
    (lambda p: (setattr(p, "data", np.ones(40)), setattr(p, "grad", np.ones(40))),
     r"w is float64 \(40,\), but was float64 \(4,\) when"),
    (lambda p: setattr(p, "grad", np.ones(4, np.float32)), "the gradient of w is float32"),
    (lambda p: p.data.setflags(write=False), "w is read-only; freeze it"),
])
def test_a_net_that_was_changed_is_not_moved(change, message):
    """The compiled kernel would write beyond the velocity."""
    parameter = Parameter(np.ones(4), decay=True)
    optimiser = SGD({"w": parameter})
    change(parameter)
    with pytest.raises(InputError, match=message):
        optimiser.step(0.1)


def test_without_decay_an_infinite_weight_stays(rng):
    parameter = Parameter(np.array([np.inf, 1.0]), decay=True)
    parameter.grad[...] = 1
    SGD({"w": parameter}, weight_decay=0).step(0.1)
    np.testing.assert_array_equal(parameter.data, [np.inf, 0.9])
