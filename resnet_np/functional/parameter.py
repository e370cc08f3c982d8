"""Parameter: an array that is learned, with its gradient."""

import numpy as np

from resnet_np.backend import namespace


class Parameter:
    """An array and its gradient, both of one shape and dtype.

    data    the values
    grad    d loss / d data. Backward passes add to it (`accumulate`); the training step clears it (`zero_grad`).
    decay   tag: True for the weights of convolutions and linear layers, which every recipe decays; False for biases and
            batch norm's gamma and beta, which only the paper's recipe decays (He et al. 2015, section 3.4).
    frozen  the optimiser leaves a frozen parameter as it is.
    """

    def __init__(self, data: np.ndarray, *, decay: bool) -> None:
        self.data = data
        self.grad = namespace(data).zeros_like(data)
        self.decay = decay
        self.frozen = False

    def accumulate(self, gradient: np.ndarray) -> None:
        """Add `gradient` (same shape and dtype) to `grad`."""
        self.grad += gradient

    def zero_grad(self) -> None:
        self.grad[...] = 0
