"""How hard LLVM tries at our kernels is our affair; at what the user compiles, Numba's."""

import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled", allow_module_level=True)

from numba.core import config, event  # noqa: E402

from resnet_np.kernels import compile  # noqa: E402


class Levels(event.Listener):
    """The level at which each function is compiled."""

    def __init__(self):
        self.seen = {}

    def on_start(self, event):
        self.seen[event.data["dispatcher"].py_func.__name__] = int(config.OPT)

    def on_end(self, event):
        pass


@pytest.mark.skipif(not compile.LIGHT, reason="kernels are compiled at Numba's own level here")
def test_levels(monkeypatch):
    def called(x):
        return x + 1

    def kernel(x):
        return called(x)

    def users(x):
        return x - 1

    called.__module__ = kernel.__module__ = "resnet_np.kernels.made_up"
    monkeypatch.setattr(compile, "cache_folder", lambda: None)  # a function of a test has no file of its own to be kept under
    called, kernel, users = compile.inline(called), compile.serial(kernel), numba.njit(users)
    before = int(config.OPT)
    with event.install_listener("numba:compile", levels := Levels()):
        assert (kernel(1), users(1)) == (2, 0)
    assert levels.seen == {"called": compile.CALLED, "kernel": compile.KERNEL, "users": before}
    assert int(config.OPT) == before not in (compile.CALLED, compile.KERNEL)
