import inspect
import os
import pkgutil
from importlib import import_module

import pytest

from resnet_np import kernels
from resnet_np.backend import FILES

PACKAGES = [f"resnet_np.kernels.{module.name}" for module in pkgutil.iter_modules(kernels.__path__) if module.ispkg]


def public_functions(package):
    return {name: function for name, function in inspect.getmembers(import_module(package), inspect.isfunction)
            if function.__module__ == package and not name.startswith("_")}


@pytest.mark.nojit
def test_every_folder_is_an_operation():
    assert "resnet_np.kernels.conv" in PACKAGES
    assert all(public_functions(package) for package in PACKAGES)


@pytest.mark.parametrize("backend", [pytest.param("loops", marks=pytest.mark.nojit),
                                     pytest.param("numpy", marks=pytest.mark.nojit), "numba",
                                     pytest.param("cupy", marks=pytest.mark.nojit)])
@pytest.mark.parametrize("package", PACKAGES)
def test_every_backend_has_every_function_with_the_same_arguments(package, backend):
    if backend == "numba" and os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run")
    module = import_module(f"{package}.{FILES[backend]}")
    for name, function in public_functions(package).items():
        expected = [(p.name, p.kind) for p in inspect.signature(function).parameters.values()]
        actual = [(p.name, p.kind) for p in inspect.signature(getattr(module, name)).parameters.values()]
        assert actual == expected, name
