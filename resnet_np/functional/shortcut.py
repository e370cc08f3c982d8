"""Option A shortcut, as a pair: the identity where the shape changes, without parameters.

N image, C channel, H W input, OH = ceil(H / stride), OW = ceil(W / stride).
"""

from typing import NamedTuple

import numpy as np

from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels import shortcut


class ShortcutCache(NamedTuple):
    x_shape: tuple[int, ...]  # (N, C, H, W)
    out_shape: tuple[int, ...]  # (N, channels, OH, OW)
    stride: int
    before: int  # zero channels in front of x's
    dtype: np.dtype


def shortcut_forward(
    x: np.ndarray, *, channels: int, stride: int, zero_pad: str = "both"
) -> tuple[np.ndarray, ShortcutCache]:
    """Take every stride-th pixel and add channels of zeros until there are `channels`.

    x (N, C, H, W), float32, float64 or bf16 -> out (N, channels, OH, OW) and a ShortcutCache.
    zero_pad: "both" puts half of the zero channels before x's and half after (the extra one of an odd number after),
    "end" all of them after. Raises InputError if channels < C or zero_pad is something else.
    He et al. 2015, section 3.3, option A, which does not say where the zeros go.
    """
    x, = checks.arrays("shortcut", x=(x, "N C H W"))
    channels = checks.whole("shortcut", "channels", channels, least=1)
    stride = checks.whole("shortcut", "stride", stride, least=1)
    if channels < x.shape[1]:
        raise InputError(f"shortcut: x has {x.shape[1]} channels but the output has {channels}, "
                         f"expected at least as many: x {x.shape}")
    if zero_pad not in ("both", "end"):
        raise InputError(f'shortcut: zero_pad is {zero_pad!r}, expected "both" or "end"')
    before = (channels - x.shape[1]) // 2 if zero_pad == "both" else 0
    out = shortcut.forward(x, channels=channels, stride=stride, before=before)
    return out, ShortcutCache(x.shape, out.shape, stride, before, x.dtype)


def shortcut_backward(dout: np.ndarray, cache: ShortcutCache) -> np.ndarray:
    """dout (N, channels, OH, OW) -> dx (N, C, H, W), 0 at the pixels that were skipped.

    Raises InputError if dout does not have the output's shape and dtype.
    """
    dout = checks.gradient("shortcut_backward", dout, cache.out_shape, cache.dtype)
    return shortcut.backward(dout, x_shape=cache.x_shape, stride=cache.stride, before=cache.before)
