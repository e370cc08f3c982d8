"""The residual addition, as a pair: where two branches of a block meet, and where a gradient forks."""

import numpy as np

from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import elementwise


def add_forward(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a, b of one shape and dtype (float32, float64, or maps in bf16) -> a + b.

    Nothing is broadcast: raises InputError if shapes or dtypes differ. He et al. 2015, equation 1.
    """
    a, b = checks.arrays("add", a=(a, "..."), b=(b, "..."))
    if a.shape != b.shape:
        raise InputError(f"add: a {a.shape} and b {b.shape} differ in shape; a block that changes the shape needs "
                         "a shortcut that changes it too")
    return elementwise.add(a, b)


def add_backward(dout: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dout -> (da, db), both dout: d(a + b)/da = d(a + b)/db = 1.

    It is the same array twice, so nobody may write into it.
    """
    return dout, dout
