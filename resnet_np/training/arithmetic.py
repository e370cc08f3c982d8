"""In which precision a net computes, and by which instruction: what may be trained, and what is to be said of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_np import backend
from resnet_np.errors import CheckpointError, InputError
from resnet_np.words import one_line

CUPY_WITH_BF16 = 14


def micro_kernel(precision: str) -> str | None:
    """What multiplies in bf16 with the backend numba, see kernels/micro.py; None in float32 and with other backends."""
    if precision != "bf16" or backend.current() != "numba":
        return None
    from resnet_np.kernels.micro import MICRO_KERNEL

    return MICRO_KERNEL


def check(precision: str) -> None:
    """Raises InputError where the backend cannot compute in that precision: CuPy knows bf16 since its version 14."""
    if precision == "bf16" and backend.current() == "cupy":
        version = backend.cupy().__version__
        if int(version.partition(".")[0]) < CUPY_WITH_BF16:
            raise InputError(f"bf16: CuPy {version} has no arrays of it, CuPy {CUPY_WITH_BF16} has; install that "
                             '(python -m pip install --upgrade ".[cuda13]", or ".[cuda12]"), or choose --precision float32')


def check_training(precision: str) -> None:
    """Raises InputError where training in that precision would only be slow: a CPU without an instruction for bf16.

    Whoever has chosen the micro-kernel by name may.
    """
    check(precision)
    if micro_kernel(precision) == "portable":
        from resnet_np.kernels.micro import VARIABLE

        if not os.environ.get(VARIABLE):
            raise InputError(f"bf16: {_why_portable()}, and would take several times as long; train in float32 "
                             f"(--precision float32), or, if it must be bf16, set {VARIABLE}=portable")


def check_resume(precision: str, metadata: Mapping[str, Any], folder: Path) -> None:
    """Raises CheckpointError where the run multiplies by an instruction that is not to be had here: other bits, as with another
    backend. metadata: the checkpoint's."""
    if micro_kernel(precision) is None or metadata.get("backend") != "numba":
        return
    from resnet_np.kernels import micro

    begun_with = metadata.get("micro_kernel", micro.MICRO_KERNEL)
    if begun_with in micro.supported() and begun_with != micro.MICRO_KERNEL:
        raise CheckpointError(f"--resume: the run multiplies in bf16 by {begun_with}, not by {micro.MICRO_KERNEL}; set "
                              f"{micro.VARIABLE}={begun_with}")
    if begun_with != micro.MICRO_KERNEL:
        raise CheckpointError(f"--resume: the run multiplies in bf16 by {one_line(begun_with)}, which is not to be had here; "
                              f"resume it where it is, or go on from its weights: resnet-np finetune {folder} --precision float32")


def describe(precision: str) -> str:
    """The precision, and what multiplies: for the line about the machine."""
    name = micro_kernel(precision)
    return precision if name is None else f"{precision} ({name})"


def remark(precision: str) -> str:
    """What stands behind a net's name where it computes in another precision than most; nothing for float32."""
    return "" if precision == "float32" else f", in {describe(precision)}"


def slow(precision: str) -> str:
    """What to say where answers in that precision are slow; nothing where they are not."""
    if micro_kernel(precision) != "portable":
        return ""
    return f"bf16: {_why_portable()}; the same arithmetic in float32 is slow (--precision float32 is not)"


def _why_portable() -> str:
    from resnet_np.kernels import micro

    if os.environ.get(micro.VARIABLE):
        return f"{micro.VARIABLE}=portable was asked for"
    if micro.llvm_version_info < micro.OLDEST_LLVM:
        return "this Numba compiles no instruction for it (python -m pip install --upgrade numba)"
    return "this CPU has no instruction for it (AMX, or AVX-512's vdpbf16ps)"
