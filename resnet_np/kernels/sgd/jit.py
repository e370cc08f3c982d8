"""The step compiled by Numba: one sweep in place of four. A parameter is too small for threads to pay."""

from resnet_np.kernels.compile import serial


def update(w, grad, v, *, lr, momentum, nesterov, weight_decay):
    """(1), (2) and (3) of `__init__.py`, value by value."""
    number = w.dtype.type  # a Python float is a float64 to Numba, and would make float64 arithmetic of it
    _update(w.reshape(-1), grad.reshape(-1), v.reshape(-1), number(lr), number(momentum), nesterov, number(weight_decay))


@serial
def _update(w, grad, v, lr, momentum, nesterov, weight_decay):
    for i in range(w.shape[0]):
        g = grad[i] + weight_decay * w[i] if weight_decay else grad[i]
        v[i] = momentum * v[i] + g
        w[i] -= lr * (g + momentum * v[i] if nesterov else v[i])
