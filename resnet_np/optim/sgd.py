"""Stochastic gradient descent with momentum, in PyTorch's convention."""

from collections.abc import Mapping

import numpy as np

from resnet_np.backend import like, namespace, on_device, to_host
from resnet_np.errors import CheckpointError, InputError
from resnet_np.functional.parameter import Parameter
from resnet_np.kernels import sgd


class SGD:
    """Momentum or Nesterov SGD over named parameters.

    momentum        weight of the old velocity in the new one, a step (He et al. 2015, section 4.2: 0.9)
    nesterov        look ahead: step along g + momentum * v instead of v
    weight_decay    added to the gradient, times the weight, a step (He et al. 2015, section 4.2: 1e-4)
    decay           "all" (the paper) or "weights": only parameters whose tag says so, convolutions and linear weights
    rates           what the learning rate is multiplied by, by parameter name; 1 for those it does not name
    decays          what weight_decay is multiplied by, in the same way
    Raises InputError for values outside their range, and for rates and decays of parameters that there are not.
    """

    def __init__(self, parameters: Mapping[str, Parameter], *, momentum: float = 0.9, nesterov: bool = False,
                 weight_decay: float = 1e-4, decay: str = "all", rates: Mapping[str, float] | None = None,
                 decays: Mapping[str, float] | None = None) -> None:
        if not 0 <= momentum < 1:
            raise InputError(f"SGD: momentum must be in [0, 1), got {momentum}")
        if nesterov and momentum == 0:
            raise InputError("SGD: nesterov needs a momentum above 0")
        if not 0 <= weight_decay < np.inf:
            raise InputError(f"SGD: weight_decay must be finite and not negative, got {weight_decay}")
        if decay not in ("all", "weights"):
            raise InputError(f"SGD: decay must be 'all' or 'weights', got {decay!r}")
        # Python floats: a NumPy float64 scalar would turn float32 arithmetic into float64, and give other bits.
        self._momentum, self._weight_decay = float(momentum), float(weight_decay)
        self._nesterov = nesterov
        self._decay = decay
        self._parameters = dict(parameters)
        self._rates, self._decays = self._factors("rate", rates), self._factors("decay", decays)
        self._velocities = {name: namespace(parameter.data).zeros(parameter.data.shape, parameter.data.dtype)
                            for name, parameter in self._parameters.items()}

    def _factors(self, what: str, given: Mapping[str, float] | None) -> dict[str, float]:
        factors = {name: float(factor) for name, factor in (given or {}).items()}
        if unknown := sorted(factors.keys() - self._parameters.keys()):
            raise InputError(f"SGD: there is a {what} for {unknown[0]!r}, but no such parameter")
        for name, factor in factors.items():
            if not 0 <= factor < np.inf:
                raise InputError(f"SGD: the {what} of {name} must be finite and not negative, got {factor}")
        return factors

    def step(self, lr: float) -> None:
        """Move every parameter that is not frozen, in place, along its gradient, which is left as it is: `kernels/sgd`."""
        lr = float(lr)
        for name, parameter in self._parameters.items():
            if parameter.frozen:
                continue
            check_alike("SGD", name, parameter, self._velocities[name])
            decays = self._decay == "all" or parameter.decay
            sgd.update(parameter.data, parameter.grad, self._velocities[name], lr=lr * self._rates.get(name, 1.0),
                       momentum=self._momentum, nesterov=self._nesterov,
                       weight_decay=self._weight_decay * self._decays.get(name, 1.0) if decays else 0.0)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of the velocities, by parameter name, in the computer's memory."""
        return {name: to_host(velocity.copy()) for name, velocity in self._velocities.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over velocities from `state()`. Raises CheckpointError, and changes nothing, if they do not fit."""
        if set(state) != set(self._velocities):
            different = sorted(set(state) ^ set(self._velocities))
            raise CheckpointError(f"SGD: the saved velocities belong to another net: {len(state)} saved, "
                                  f"{len(self._velocities)} expected, {different[0]!r} is only in one of them")
        for name, velocity in self._velocities.items():
            if state[name].shape != velocity.shape or state[name].dtype != velocity.dtype:
                raise CheckpointError(f"SGD: the saved velocity of {name} is {state[name].dtype} {state[name].shape}, "
                                      f"expected {velocity.dtype} {velocity.shape}")
        for name, velocity in self._velocities.items():
            velocity[...] = like(state[name], velocity)


def check_alike(who: str, name: str, parameter: Parameter, velocity: np.ndarray) -> None:
    """The kernels index all three alike, and write into two of them. Raises InputError if that would go wrong."""
    for what, array in ((name, parameter.data), (f"the gradient of {name}", parameter.grad)):
        if on_device(array) != on_device(velocity):
            raise InputError(f"{who}: {what} was moved between the device and the computer's memory; make a new optimiser after "
                             "that")
        if array.shape != velocity.shape or array.dtype != velocity.dtype:
            raise InputError(f"{who}: {what} is {array.dtype} {array.shape}, but was {velocity.dtype} {velocity.shape} when "
                             "the optimiser was made; make a new one after changing a net")
        if not array.flags.c_contiguous:
            raise InputError(f"{who}: {what} is not C-contiguous, expected np.ascontiguousarray of it")
    if not on_device(parameter.data) and not parameter.data.flags.writeable:
        raise InputError(f"{who}: {name} is read-only; freeze it, or give it an array that can be written")
