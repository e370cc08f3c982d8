"""Ctrl-C waits until a kernel is compiled. Raised in a callback of LLVM it would be lost, and Numba would end in a RuntimeError."""

import signal
import threading

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled", allow_module_level=True)

from numba.core import event  # noqa: E402

import resnet_np.kernels.compile  # noqa: E402, F401  (it is what waits)


class Stop(event.Listener):
    """Ctrl-C, twice, as the compiler begins."""

    def on_start(self, event):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    def on_end(self, event):
        pass


def kernel(module):
    def double(x):
        return 2 * x

    double.__module__ = module
    return numba.njit(double)


def test_it_waits_for_our_kernel():
    double, before = kernel("resnet_np.kernels.test"), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), event.install_listener("numba:compile", Stop()):
        double(np.ones(2))
    assert len(double.signatures) == 1  # compiled, and only then stopped
    assert signal.getsignal(signal.SIGINT) is before
    np.testing.assert_array_equal(double(np.ones(2)), [2, 2])


def test_it_does_not_wait_for_another_kernel():
    double = kernel("somebody.else")
    with pytest.raises(KeyboardInterrupt), event.install_listener("numba:compile", Stop()):
        double(np.ones(2))
    assert not double.signatures


def test_a_second_thread_may_compile():
    """Where Python allows no signal handlers."""
    found = []
    thread = threading.Thread(target=lambda: found.append(kernel("resnet_np.kernels.test")(np.ones(2))))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], [2, 2])
