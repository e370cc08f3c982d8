"""How kernels are compiled, and where the compiled code is kept.

Compiling takes seconds a kernel, so Numba's disk cache is on. Numba looks at the file that holds a kernel, but not at the
files that the kernel calls: an edit in simd.py would leave stale machine code behind. So the cache lives in a folder whose
name is a hash of *all* kernel sources and of the versions that matter; an edit is a new folder, old folders are removed.

It lies in $NUMBA_CACHE_DIR, where set, else in the user's cache. Where no folder can be written, kernels are compiled afresh in
every process.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
import pooch
from numba.core import config as numba_config
from numba.core import event

from resnet_np.kernels import threads
from resnet_np.kernels.micro import MICRO_KERNEL, supported
from resnet_np.kernels.simd import VECTOR_BYTES

threads.spin_briefly()

config: Any = numba_config  # its settings are made at run time, where mypy cannot see them

# Kernels follow IEEE 754 to the letter. Given any freedom (to fuse a product and a sum, to add in another order) the process that
# compiles a kernel and those that load it from the cache were found to run code with other last bits (test_determinism.py). It
# costs nothing: what must be fused says so (simd.py). A `reduction` alone is free, for without that a sum is no vector code;
# never of "nnan" and "ninf": NaN and infinity must get through, so that they can be found and named.
SUM = {"contract", "nsz", "reassoc"}

# How hard LLVM tries. Numba asks for level 3 of every function, and again of every function that calls it. A function that only
# other kernels call is optimised within each of them once more, so that level 1 does for itself; a kernel gets level 2, provided
# that what it calls becomes part of it, which level 3 alone does not promise either. Measured with ResNet-20, batch 128, float32,
# 2026-11-29, both in turns: seconds of CPU of a cold first step and three more, and images/s in a warm cache.
#     CPU                       a call and a kernel     cold        images/s
#     AMD EPYC (Zen 3, AVX2)    3, 3 (Numba's)          77, 78, 79  332, 324, 370
#                               1, 2, all calls inlined 54, 58, 62  333, 341, 339
#     Intel Xeon (Ice Lake,     3, 3                    53, 55      404, 405, 393, 424
#     AVX-512)                  1, 2, all calls inlined 47, 42      419, 406, 401, 401
# Level 2 without the inlining trains at 0.9 of the rate. Training steps of the net gave the same bits at all levels of the table.
# On a CPU with instructions for bf16 Numba's levels stay: nobody has measured what the others do to those kernels.
LIGHT = "vdpbf16ps" not in supported() and int(config.OPT) == 3 and not config.OPT.is_opt_max and "NUMBA_OPT" not in os.environ
CALLED, KERNEL = 1, 2

KEPT_FOLDERS = 3  # a user who switches between two versions keeps both warm
HELP_SECONDS = 120  # after which nobody waits for the process that helps any more
DAYS_KEPT = 7  # since its last use: a younger folder may belong to a running process
WARM = "training-step-compiled"


class _Uninterrupted(event.Listener):
    """Ctrl-C and SIGTERM wait until our kernel is compiled: raised in a callback of LLVM, an exception is lost and Numba breaks."""

    def __init__(self) -> None:
        self._depth = 0
        self._before: dict[int, Any] = {}
        self._arrived: list[int] = []

    def on_start(self, event: event.Event) -> None:
        if _is_ours(event):
            self._depth += 1
            if self._depth == 1:
                self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_end(self, event: event.Event) -> None:
        if _is_ours(event) and self._depth:  # 0: the start was not heard of, for a listener before this one raised
            self._depth -= 1
            if self._depth == 0:
                for number, handler in self._before.items():
                    signal.signal(number, handler)
                arrived, self._arrived = self._arrived, []
                for number in arrived[:1]:
                    signal.raise_signal(number)

    def _note(self, number: int, _: Any) -> None:
        self._arrived.append(number)


class _Announced(event.Listener):
    """Says once that a kernel must be compiled, when one must: what the cache holds is not compiled."""

    say: Callable[[], None] | None = None

    def on_start(self, event: event.Event) -> None:
        if self.say and _is_ours(event):
            say, self.say = self.say, None
            say()

    def on_end(self, event: event.Event) -> None:
        pass


class _Lightly(event.Listener):
    """Our functions are optimised as far as `LIGHT` says; what the user compiles, as Numba has it."""

    def __init__(self) -> None:
        self._before: list[Any] = []

    def on_start(self, event: event.Event) -> None:
        if _is_of_the_package(event):
            self._before.append(config.OPT)
            called = event.data["dispatcher"].targetoptions.get("forceinline")
            config.OPT = type(config.OPT)(CALLED if called else KERNEL)

    def on_end(self, event: event.Event) -> None:
        if _is_of_the_package(event):
            config.OPT = self._before.pop()


def _is_of_the_package(event: event.Event) -> bool:
    return event.data["dispatcher"].py_func.__module__.startswith("resnet_np.kernels.")


def _is_ours(event: event.Event) -> bool:
    """Whether a kernel of this package is compiled, and where Python handles signals: in the main thread."""
    return _is_of_the_package(event) and threading.current_thread() is threading.main_thread()


_announced = _Announced()
if LIGHT:
    event.register("numba:compile", _Lightly())  # first: the others may raise, and then nobody after them is told
event.register("numba:compile", _announced)  # before the last: what says so may be interrupted
event.register("numba:compile", _Uninterrupted())


@contextlib.contextmanager
def announced(say: Callable[[], None]) -> Iterator[None]:
    """Inside the `with` block: call say() when a kernel must be compiled for the first time, if that happens."""
    before, _announced.say = _announced.say, say
    try:
        yield
    finally:
        _announced.say = before


def inline(function: Callable) -> Callable:
    """Compile a function that only other kernels call: it becomes part of them and needs no cache of its own."""
    return numba.njit(error_model="numpy", forceinline=LIGHT)(function)


def reduction(function: Callable) -> Callable:
    """As `inline`, for a function that only sums, and may do so several values at a time. It must not write into arrays."""
    return numba.njit(fastmath=SUM, error_model="numpy", forceinline=LIGHT)(function)


def parallel(function: Callable) -> Callable:
    """Compile a kernel whose `prange` runs on all threads. Nothing is compiled before the first call."""
    return _cached(function, parallel=True)


def serial(function: Callable) -> Callable:
    """Compile a kernel too small for threads."""
    return _cached(function, parallel=False)


def unlocked(*, parallel: bool) -> Callable[[Callable], Callable]:
    """A decorator for a kernel during which other threads of Python go on."""
    return functools.partial(_cached, parallel=parallel, nogil=True)


def _cached(function: Callable, *, parallel: bool, nogil: bool = False) -> Callable:
    folder = cache_folder()
    options: dict[str, Any] = {"error_model": "numpy", "parallel": parallel, "nogil": nogil}
    if folder is None:
        return numba.njit(**options)(function)
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        return numba.njit(cache=True, **options)(function)
    finally:
        config.CACHE_DIR = before


@functools.cache
def cache_folder() -> Path | None:
    """The folder of the compiled kernels, made if need be; None where none can be written."""
    root = os.environ.get("NUMBA_CACHE_DIR") or Path(pooch.os_cache("resnet_np")) / "kernels"
    folder = Path(root) / f"resnet_np-{_fingerprint()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    _prune(folder.parent)
    return folder


# A step below is a precision, "float32" or "bf16", or "fast": that of a fast net in float32.


def is_warm(step: str = "float32") -> bool:
    """Whether such a training step was compiled into the cache before."""
    folder = cache_folder()
    return folder is not None and (folder / f"{WARM}-{step}").exists()


def note_warm(step: str = "float32") -> None:
    """Remember that such a training step has been compiled, all of it."""
    folder = cache_folder()
    if folder is not None:
        with contextlib.suppress(OSError):
            (folder / f"{WARM}-{step}").touch()


def get_help(step: str = "float32") -> Callable[[], None]:
    """Where such a training step has yet to be compiled, let a second process compile half of it: see warm.py. Returns at once, a
    function that waits until that process is done: before that, nobody should time anything."""
    if is_warm(step) or cache_folder() is None or threads.count() < 2 or not sys.executable:
        return lambda: None
    nowhere, packages = subprocess.DEVNULL, Path(__file__).parents[2]  # where -m finds this very package
    with contextlib.suppress(OSError):  # then this process compiles all of it
        command = [sys.executable, "-m", "resnet_np.kernels.warm", step]
        helper = subprocess.Popen(command, cwd=packages, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        waiting = threading.Thread(target=helper.wait, daemon=True)  # so that it leaves no zombie
        waiting.start()
        return lambda: waiting.join(HELP_SECONDS)
    return lambda: None


def _fingerprint() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256(str(here).encode())  # Numba keys its files by path: another installation starts cold
    for source in sorted(here.rglob("*.py")):
        digest.update(source.read_bytes())
    versions = numba.__version__, llvmlite.__version__, np.__version__
    for version in (*versions, str(VECTOR_BYTES), MICRO_KERNEL, str(LIGHT), repr(config.OPT)):
        digest.update(version.encode())
    return digest.hexdigest()[:16]


def _prune(root: Path) -> None:
    with contextlib.suppress(OSError):  # another process may prune at the same moment
        folders = sorted(root.glob("resnet_np-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[KEPT_FOLDERS:]:
            if time.time() - folder.stat().st_mtime > DAYS_KEPT * 86_400:
                shutil.rmtree(folder)
