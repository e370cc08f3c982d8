"""Which micro-kernel multiplies in bf16: the instruction that the compiled code is made of.

    amx         tiles of Intel's AMX: 16 x 16 sums of 32 products each. Denormal numbers count as 0
    vdpbf16ps   AVX-512's: 16 sums of two products each. Denormal numbers count as 0, and each step rounds as it likes
    portable    multiply-adds in float32, which every CPU has: slow; it agrees with the others within rounding

The best that the CPU has is taken; $RESNET_NP_MICRO_KERNEL chooses a lower one, so that one machine can test both.
"""

import ctypes
import functools
import os
import platform
import sys
from typing import Any

from llvmlite.binding import get_host_cpu_features, llvm_version_info
from numba.core import config as numba_config

from resnet_np.errors import BackendError

VARIABLE = "RESNET_NP_MICRO_KERNEL"
MICRO_KERNELS = ("amx", "vdpbf16ps", "portable")  # the best first
_AVX512 = ("avx512f", "avx512bw", "avx512bf16")
NEEDS = {"amx": (*_AVX512, "amx-tile", "amx-bf16"), "vdpbf16ps": _AVX512, "portable": ()}  # of the CPU, in LLVM's words

OLDEST_LLVM = (17, 0, 0)  # before that its intrinsics for bf16 had other types

config: Any = numba_config  # its settings are made at run time, where mypy cannot see them


def supported() -> tuple[str, ...]:
    """The micro-kernels that the CPU has for which Numba compiles, the best first."""
    if llvm_version_info < OLDEST_LLVM:
        return MICRO_KERNELS[-1:]
    if config.CPU_FEATURES is not None:  # they replace the host's own
        features = {feature[1:]: feature[0] == "+" for feature in config.CPU_FEATURES.split(",") if feature}
    else:
        features = get_host_cpu_features() if config.CPU_NAME in (None, "host") else {}
    able = [name for name in MICRO_KERNELS if all(features.get(feature) for feature in NEEDS[name])]
    return tuple(name for name in able if name != "amx" or tiles_granted())


@functools.cache
def tiles_granted() -> bool:
    """Ask Linux for the tile registers, which a process must do before it touches one; all its threads have them then.

    Linux documents it in "Using XSTATE features in user space applications" (Documentation/arch/x86/xstate.rst).
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


def chosen() -> str:
    """The micro-kernel in use. Raises BackendError where the one that was asked for is not to be had here."""
    wish = os.environ.get(VARIABLE) or supported()[0]
    if wish not in supported():
        raise BackendError(f"{VARIABLE}: got {wish!r}, expected one that this CPU has: {', '.join(supported())}")
    return wish


MICRO_KERNEL = chosen()
