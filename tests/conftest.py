"""What every test may ask for.

$RESNET_NP_REQUIRE, a comma list of `peers` (PyTorch), `shared` (the project's ../shared folder), `notebooks` (jupytext and
nbclient) and `compiler` (g++), turns the skip of a test that lacks one of them into a failure: CI sets it.
"""

import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from filelock import FileLock

SHARED = Path(__file__).resolve().parents[2] / "shared"
REQUIREMENTS = ("peers", "shared", "notebooks", "compiler")
TEMPORARY = pytest.StashKey[str]()

# Their tests compile the same kernels, which takes minutes: one of pytest's processes runs them all, so that it is done once.
TOGETHER = ("functional/test_conv2d.py", "functional/test_fused_conv.py", "gradcheck/test_table.py", "layers/test_layers.py",
            "tutorials/test_exercises.py")
assert all((Path(__file__).parent / file).is_file() for file in TOGETHER)

matplotlib.use("Agg")


def pytest_configure(config):
    unknown = _required() - set(REQUIREMENTS)
    if unknown:
        raise pytest.UsageError(f"RESNET_NP_REQUIRE: expected {', '.join(REQUIREMENTS)}; got {', '.join(unknown)}")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        os.environ.setdefault("RESNET_NP_BACKEND", "numpy")  # the default backend cannot run without the compiler
    # A job in the background, of CI or nohup, is born with Ctrl-C ignored, and so would be all that the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What Numba cannot keep would be compiled again in every process.
    config.addinivalue_line("filterwarnings", "error:Cannot cache compiled function")
    # Neither the user's cache nor her data set may decide a test, and no test may fill them. The folder outlives the
    # session, so that kernels are compiled once; a test that needs an empty one takes `empty_cache`.
    _move_cache(os.environ, _kept(config, "user-cache"))
    os.environ.pop("RESNET_NP_DATA", None)


def pytest_unconfigure(config):
    shutil.rmtree(config.stash.get(TEMPORARY, ""), ignore_errors=True)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """As `--dist loadfile`, except that all files of TOGETHER go to one process."""
    if config.getoption("dist") != "loadfile":
        return None
    scheduler = importlib.import_module("xdist.scheduler").LoadFileScheduling(config, log)
    of_a_test = scheduler._split_scope

    def scope(nodeid):
        file = of_a_test(nodeid)
        return "together" if file.endswith(TOGETHER) else file

    scheduler._split_scope = scope
    return scheduler


@pytest.hookimpl(tryfirst=True)  # before -m chooses among them
def pytest_collection_modifyitems(items):
    """What asks for PyTorch or the project's shared folder is marked so: .ci/run runs it where both are."""
    for item in items:
        for fixture, marker in (("torch", "peer"), ("shared", "shared")):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


def pytest_runtest_setup(item):
    if item.get_closest_marker("peer"):
        _torch()


@pytest.fixture(autouse=True, scope="module")
def no_backend_chosen_by_another_file():
    """A command chooses the backend for the rest of its process, which is not the rest of the tests, nor the fixtures of the next
    file. A patch of its own: a test may undo all that `monkeypatch` has done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("resnet_np.backend"), "_chosen", None)
        yield


@pytest.fixture(autouse=True)
def no_backend_chosen(no_backend_chosen_by_another_file):
    """Nor by another test, or by a fixture of the file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("resnet_np.backend"), "_chosen", None)
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared():
    """The folder ../shared of a project checkout."""
    if not SHARED.is_dir():
        _missing("shared", f"{SHARED} is missing")
    return SHARED


@pytest.fixture(scope="session")
def cifar10_copy(shared, tmp_path_factory):
    """A folder with the JPEG copy of CIFAR-10 in all four official forms, made once for all of pytest's processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cifar10-copy"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            build = [sys.executable, shared / "data" / "build_cifar10.py", f"{folder}.part", "--layout", "both", "--archives"]
            subprocess.run(build, check=True, capture_output=True, timeout=600)
            Path(f"{folder}.part").rename(folder)
    return folder


@pytest.fixture(scope="session")
def torch():
    """PyTorch on two threads."""
    return _torch()


@pytest.fixture(scope="session")
def notebook_tools():
    """Skips the test where notebooks cannot be built."""
    for package in ("jupytext", "nbclient", "nbformat", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            _missing("notebooks", f"{package} is not installed (python -m pip install '.[test]')")


@pytest.fixture(scope="session")
def standin():
    """The package tests/standin, to which no path leads."""
    if "standin" not in sys.modules:
        folder = Path(__file__).parent / "standin"
        spec = importlib.util.spec_from_file_location("standin", folder / "__init__.py", submodule_search_locations=[str(folder)])
        sys.modules["standin"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["standin"])
    return sys.modules["standin"]


@pytest.fixture
def cupy_standin(standin, request):
    """A CuPy that runs on the CPU: see tests/standin. `using("cupy")` works, and what crosses to and from it is counted."""
    with standin.installed(_standin_cache(standin, request)) as cupy:
        yield cupy


@pytest.fixture
def cupy(request):
    """CuPy on a GPU; where there is none, its stand-in."""
    backend = importlib.import_module("resnet_np.backend")
    try:
        return backend.cupy()
    except importlib.import_module("resnet_np.errors").BackendError:
        return request.getfixturevalue("cupy_standin")


@pytest.fixture
def cupy_everywhere(standin, request, monkeypatch):
    """The same in every process that the test starts, where PyTorch's GPU is the processor."""
    folder = str(Path(standin.__file__).parent / "path")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("CUPY_STANDIN", str(_standin_cache(standin, request)))


def _standin_cache(standin, request):
    """Where what g++ has compiled is kept. Skips the test where there is no g++."""
    if standin.gpu.compiler() is None:
        _missing("compiler", f"there is no {standin.gpu.COMPILER}, which compiles the CUDA kernels for the CPU")
    return _kept(request.config, "cupy-standin")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """An empty user cache for this test and the processes that it starts."""
    folder = tmp_path / "user-cache"
    folder.mkdir()
    environment = {}
    _move_cache(environment, folder)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return folder


def _kept(config, name):
    """A folder that outlives the session; where pytest has none (-p no:cacheprovider, a read-only checkout), one that does not."""
    try:
        return config.cache.mkdir(name)
    except (AttributeError, OSError):  # pytest has no cache, or nowhere to write it
        if TEMPORARY not in config.stash:
            config.stash[TEMPORARY] = tempfile.mkdtemp(prefix="resnet-np-tests-")
        folder = Path(config.stash[TEMPORARY]) / name
        folder.mkdir(exist_ok=True)
        return folder


def _move_cache(environment, folder):
    environment["XDG_CACHE_HOME"] = str(folder)
    environment["LOCALAPPDATA"] = str(folder)  # Windows
    environment["CUPY_CACHE_DIR"] = str(folder / "cupy")


def _required():
    return {name.strip() for name in os.environ.get("RESNET_NP_REQUIRE", "").split(",") if name.strip()}


def _missing(requirement, reason):
    if requirement in _required():
        pytest.fail(f"{reason}, and RESNET_NP_REQUIRE asks for it", pytrace=False)
    pytest.skip(reason)


def _torch():
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        _missing("peers", f"PyTorch cannot be imported ({error})")
    torch.set_num_threads(2)
    return torch
