import importlib.util
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials"


def _load(path):
    """The Python file as a module: these lie outside every package."""
    spec = importlib.util.spec_from_file_location(f"_loaded_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="session")
def load():
    return _load


@pytest.fixture(scope="session")
def builder(notebook_tools):
    """The module tutorials/build.py."""
    return _load(TUTORIALS / "build.py")
