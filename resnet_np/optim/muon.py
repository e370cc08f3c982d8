"""Muon: filters move by the nearest orthogonal matrix to their velocity.

Jordan 2024, "Muon: an optimizer for hidden layers in neural networks". A gradient of filters is dominated by a few directions. With
all of its singular values made 1 the rare ones count as much, and a step changes what a layer computes as much in every direction.
What is no filter (biases, the head) learns by SGD, as in airbench94_muon, whose settings these are.
"""

from collections.abc import Mapping

import numpy as np

from resnet_np.backend import like, namespace, to_host
from resnet_np.errors import CheckpointError, InputError
from resnet_np.functional.parameter import Parameter
from resnet_np.kernels import conv
from resnet_np.optim.sgd import SGD, check_alike

MOMENTUM = 0.6  # weight of the old velocity in the new one, a step
STEPS = 3  # of Newton and Schulz: singular values come out between 0.5 and 1.2 or so, which is near enough
ROW = 8  # pixels, a multiple of which a row has if it can: direct.py reads such rows where they lie
# The quintic polynomial a s + b s^3 + c s^5 that pulls small singular values up fastest (Jordan 2024)
A, B, C = 3.4445, -4.7750, 2.0315


class Muon:
    """Nesterov momentum whose step is made orthogonal, for filters; SGD for everything else.

    filters   by name: (F, C, KH, KW), each taken as a matrix (F, C KH KW). Before a step it is scaled to the norm sqrt(F), so that
              it needs no decay. Frozen ones stay as they are
    others    the optimiser of the other parameters
    rate      the filters' learning rate as a multiple of the one that `step` is given
    Raises InputError for parameters that are no filters, and unless rate is above 0.
    """

    def __init__(self, filters: Mapping[str, Parameter], others: SGD, *, rate: float) -> None:
        if not 0 < rate < np.inf:
            raise InputError(f"Muon: rate must be a number above 0, got {rate}")
        for name, parameter in filters.items():
            if parameter.data.ndim != 4:
                raise InputError(f"Muon: {name} {parameter.data.shape} is no set of filters, expected (F, C, KH, KW)")
        self._filters, self._others, self._rate = dict(filters), others, float(rate)
        self._velocities = {name: namespace(parameter.data).zeros_like(parameter.data) for name, parameter in filters.items()}

    def step(self, lr: float) -> None:
        """Move every parameter that is not frozen, in place, along its gradient, which is left as it is."""
        self._others.step(lr)
        for name, parameter in self._filters.items():
            if parameter.frozen:
                continue
            w, velocity = parameter.data, self._velocities[name]
            check_alike("Muon", name, parameter, velocity)
            velocity *= MOMENTUM
            velocity += parameter.grad
            ahead = (parameter.grad + MOMENTUM * velocity).reshape(len(w), -1)
            w *= len(w) ** 0.5 / (_norm(w) + 1e-30)  # filters of zeros stay what they are
            w -= float(lr) * self._rate * orthogonalised(ahead).reshape(w.shape)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of the velocities, by parameter name, in the computer's memory."""
        return self._others.state() | {name: to_host(velocity.copy()) for name, velocity in self._velocities.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over velocities from `state()`. Raises CheckpointError, and changes nothing, if they do not fit."""
        for name, velocity in self._velocities.items():
            saved = state.get(name)
            if saved is None or saved.shape != velocity.shape or saved.dtype != velocity.dtype:
                found = "missing" if saved is None else f"{saved.dtype} {saved.shape}"
                raise CheckpointError(f"Muon: the saved velocity of {name} is {found}, expected {velocity.dtype} {velocity.shape}")
        self._others.load_state({name: array for name, array in state.items() if name not in self._velocities})
        for name, velocity in self._velocities.items():
            velocity[...] = like(state[name], velocity)


def orthogonalised(matrix: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """matrix (M, K) -> about U V^T of its singular value decomposition U S V^T: the same directions, each as strong as the others.

    By the iteration of Newton and Schulz, which needs products alone: X <- P X with P = a + b G + c G^2 and G = X X^T leaves U and
    V as they are and sends each singular value s to a s + b s^3 + c s^5. It begins with X = matrix / |matrix|, where all s are at
    most 1. A matrix of zeros stays one.

    Only G is needed to know P, and it becomes P G P. So STEPS of them take two products with X, the largest of these matrices: G at
    the beginning, and at the end X times the product of all P. Then G is formed afresh: rounding makes it drift away from X X^T,
    and what has become a negative eigenvalue grows in every step.
    """
    x = matrix / (_norm(matrix) + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = _pictures(x.T if tall else x)  # the smaller of X X^T and X^T X
    for done in range(0, steps, STEPS):
        x = _times(_polynomials(_times_transposed(x), min(STEPS, steps - done)), x)
    x = _matrix(x)
    return namespace(x).ascontiguousarray(x.T) if tall else x


def _polynomials(gram: np.ndarray, steps: int) -> np.ndarray:
    """G (M, M) -> the product of the P of so many steps, at least one. All are symmetric and, but for rounding, commute."""
    diagonal, product = A * namespace(gram).eye(len(gram), dtype=gram.dtype), None
    for step in range(steps):
        pictures = _pictures(gram)
        p = diagonal + B * gram + C * _times_transposed(pictures)
        product = p if product is None else _matrix(_times(p, _pictures(product)))
        if step < steps - 1:
            gram = _matrix(_times(p, _times(p, pictures)))
    assert product is not None
    return product


def _norm(array: np.ndarray) -> np.ndarray:
    """The square root of the sum of the squares, summed in float64: an array of one number, for which nobody need wait."""
    return namespace(array).sqrt((array.astype(np.float64) ** 2).sum()).astype(array.dtype)


# A product of matrices is a convolution by filters of one pixel, for which there are kernels of every kind, in all threads and
# without BLAS, whose sums would depend on their number. The columns of X are the pixels, of M channels, of pictures one pixel high.


def _pictures(x: np.ndarray) -> np.ndarray:
    """x (M, K) -> (n, M, 1, K / n): nine pictures, a tap of a 3x3 filter each, or fewer, of rows of whole ROWs."""
    counts = [count for count in (9, 8, 4, 2, 1) if x.shape[1] % count == 0]
    count = next((count for count in counts if x.shape[1] // count % ROW == 0), counts[0])
    return namespace(x).ascontiguousarray(x.reshape(len(x), count, -1).transpose(1, 0, 2)[:, :, None])


def _matrix(pictures: np.ndarray) -> np.ndarray:
    """The inverse of `_pictures`."""
    matrix = pictures[:, :, 0].transpose(1, 0, 2).reshape(pictures.shape[1], -1)
    return namespace(matrix).ascontiguousarray(matrix)


def _times(a: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """a (M, M), X as pictures -> a X, as pictures."""
    return conv.forward(pictures, a[..., None, None], stride=1, pad=0)


def _times_transposed(pictures: np.ndarray) -> np.ndarray:
    """X as pictures -> X X^T (M, M): what the gradient of M filters would be, with X for input and for gradient."""
    channels = pictures.shape[1]
    return conv.weight_grad(pictures, pictures, w_shape=(channels, channels, 1, 1), stride=1, pad=0)[..., 0, 0]
