"""Rounding maps to bf16, as a pair: where pictures enter a net that computes in it."""

import numpy as np

from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import elementwise
from resnet_np.precision import BF16, widened


def round_forward(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W) float32 -> bf16 (`ml_dtypes.bfloat16`), to nearest, ties to even; maps in bf16 are returned as they are.

    NaN and infinity stay what they are. Raises InputError for float64, which is for gradient checks.
    """
    x, = checks.arrays("round", x=(x, "N C H W"))
    if x.dtype == np.float64:
        raise InputError("round: x is float64, expected float32: bf16 is the upper half of a float32")
    return x if x.dtype == BF16 else elementwise.round_maps(x)


def round_backward(dout: np.ndarray) -> np.ndarray:
    """dout bf16 -> dx float32, the same numbers: the gradient of rounding is taken as 1, its size nearly everywhere on average."""
    return widened(dout)
