"""A net that only answers: batch norm folded into filters, filters laid out once, memory planned, one call of a kernel a picture.

    answer = net.prepare()
    logits = answer(x)                      x: normalised pictures, float32 (N, 3, H, W)

The logits are the net's but for rounding. What the net learns later is not in them: prepare it again.
"""

from collections.abc import Iterable
from typing import cast

import numpy as np

from resnet_np.backend import on_device
from resnet_np.errors import InputError
from resnet_np.functional import checks
from resnet_np.kernels.answer import Convolution, answer
from resnet_np.layers import Layer
from resnet_np.models.folding import fold


class PreparedNet:
    """What `ResNet.prepare` returns. Several threads of Python may call it at once: each waits for its own pictures alone.

    With the backend numba, the first call for pictures of a size lays out all weights for them and plans the memory, and, once for
    this machine and version, compiles a kernel; call it once with zeros before you serve. The last four sizes are kept. Of several
    pictures each thread answers some; a large one alone is shared among all threads where Python's main thread asks, and answered
    by the thread that asks elsewhere. The other backends do the folded steps one after the other.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self._steps = fold(layers)
        self._on_device = on_device(cast(Convolution, self._steps.steps[0]).weight)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x float32 (N, 3, H, W), normalised, of any size that the strides leave a pixel of -> logits float32 (N, K).

        Raises InputError for anything else, and if x is not where the net was when it was prepared, on the device or in memory.
        """
        if x.ndim != 4 or x.shape[1] != 3 or x.dtype != np.float32:
            raise InputError(f"prepared net: got {x.dtype} {x.shape}, expected normalised pictures, float32 (N, 3, H, W)")
        if on_device(x) != self._on_device:
            here, there = ("on the device", "in memory") if on_device(x) else ("in memory", "on the device")
            raise InputError(f"prepared net: the pictures are {here}, but the net was {there} when it was prepared; move the "
                             "pictures with backend.to_device or to_host, or prepare the net again")
        return answer(self._steps, checks.ready(x))
