"""One step of gradient descent with momentum for one parameter; unlike other kernels it writes into its arguments: w and v."""

import numpy as np

from resnet_np.backend import kernels


def update(
    w: np.ndarray, grad: np.ndarray, v: np.ndarray, *, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> None:
    """w, grad and the velocity v of one shape and dtype, C-contiguous; w and v take their step in place, grad stays.

    (1) g = grad + weight_decay w
    (2) v = momentum v + g; v starts at 0, so the first v is g
    (3) w = w - lr v, or with nesterov w - lr (g + momentum v): where the velocity would take the next step
    """
    kernels(__name__, w).update(w, grad, v, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
