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


@pytest.mark.skipif(not compile.LIGHT, reason="kernels are compiled at Numba's own level here")
def test_an_interrupted_announcement_leaves_all_as_it_was(monkeypatch):
    """Ctrl-C while the command says that it compiles: what is raised is that, and the next kernel is compiled as ever."""
    def kernel(x):
        return x + 1

    def interrupt():
        raise KeyboardInterrupt

    kernel.__module__ = "resnet_np.kernels.made_up"
    monkeypatch.setattr(compile, "cache_folder", lambda: None)
    kernel, before = compile.serial(kernel), int(config.OPT)
    with pytest.raises(KeyboardInterrupt), compile.announced(interrupt):
        kernel(1)
    assert int(config.OPT) == before
    with event.install_listener("numba:compile", levels := Levels()):
        assert kernel(1) == 2
    assert levels.seen == {"kernel": compile.KERNEL} and int(config.OPT) == before
