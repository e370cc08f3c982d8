"""Parameter: an array that is learned, with its gradient."""

from collections.abc import Callable

import numpy as np

from resnet_np.backend import namespace


class Parameter:
    """An array and its gradient, both of one shape and dtype.

    data    the values
    grad    d loss / d data. Backward passes add to it (`accumulate`); the training step clears it (`zero_grad`). It is made when it
            is first asked for: a net that only answers needs half the memory.
    decay   tag: True for the weights of convolutions and linear layers, which every recipe decays; False for biases and
            batch norm's gamma and beta, which only the paper's recipe decays (He et al. 2015, section 3.4).
    fixed   the parameter is never learned: the filters of a whitening, the gamma of a batch norm that has none. It is saved and
            loaded like the others, and no thawing sets it free.
    frozen  the optimiser leaves a frozen parameter as it is.
    """

    def __init__(self, data: np.ndarray, *, decay: bool, fixed: bool = False) -> None:
        self.data = data
        self._grad: np.ndarray | None = None
        self.decay = decay
        self.fixed = fixed
        self._frozen = False

    @property
    def frozen(self) -> bool:
        return self.fixed or self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._frozen = frozen

    @property
    def grad(self) -> np.ndarray:
        if self._grad is None:
            self._grad = namespace(self.data).zeros_like(self.data)
        return self._grad

    @grad.setter
    def grad(self, gradient: np.ndarray) -> None:
        self._grad = gradient

    def accumulate(self, gradient: np.ndarray) -> None:
        """Add `gradient` (same shape and dtype) to `grad`, which of a fixed parameter stays 0."""
        if not self.fixed:
            self.grad += gradient

    def zero_grad(self) -> None:
        if self._grad is not None:
            self._grad[...] = 0

    def convert(self, convert: Callable[[np.ndarray], np.ndarray]) -> None:
        """Give values and gradient another dtype, or another place."""
        self.data = convert(self.data)
        if self._grad is not None:
            self._grad = convert(self._grad)
