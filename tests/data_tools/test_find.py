"""From the word after --data to a data set: DESIGN section 5's order."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_tools import cifar, find, locate, shapes10
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit


@pytest.fixture
def said():
    return []


@pytest.fixture
def look(said):
    return lambda spec: find(spec, say=said.append, progress=False)


@pytest.fixture(autouse=True)
def small_shapes(monkeypatch):
    small = shapes10.make(train=50, test=20)
    monkeypatch.setattr(shapes10, "make", lambda: small)
    return small


@pytest.fixture
def folder(tmp_path, small_shapes):
    return cifar.write(small_shapes, tmp_path / "shapes", "bin")


class Fetch:
    """Stands for data_tools.fetch.fetch: an archive, or offline."""

    def __init__(self, archive=None):
        self.archive, self.calls = archive, 0

    def __call__(self, *, progress):
        self.calls += 1
        if self.archive is None:
            raise DataError("fetch: offline: no answer")
        return self.archive


@pytest.fixture
def fetched(monkeypatch):
    def install(archive):
        stand_in = Fetch(archive)
        monkeypatch.setattr(importlib.import_module("data_tools.fetch"), "fetch", stand_in)
        return stand_in
    return install


def test_a_path(look, folder, said, small_shapes):
    found = look(str(folder))
    assert found.name == "shapes10"
    assert found.origin == str(folder)
    np.testing.assert_array_equal(found.train_images, small_shapes.train_images)
    assert said == []


@pytest.mark.parametrize("spec", ["no/such/path", "resnet", "a\0b", "x" * 5000, ""])
def test_a_path_that_does_not_exist(look, spec):
    with pytest.raises(DataError, match=r"^'.*': no such file or folder; expected a path, cifar10 or shapes10$"):
        look(spec)


def test_shapes10_needs_no_network(look, fetched, said, small_shapes):
    stand_in = fetched(None)
    assert look("shapes10") is small_shapes
    assert stand_in.calls == 0
    assert said == []


def test_cifar10_is_the_fetched_archive(look, fetched, folder):
    fetched(folder)
    assert look("cifar10").origin == str(folder)


def test_cifar10_that_cannot_be_had_is_an_error(look, fetched, said):
    fetched(None)
    with pytest.raises(DataError, match="offline") as caught:
        look("cifar10")
    assert caught.value.exit_code == 2
    assert said == []


def test_nothing_said_offline_is_shapes10_with_one_loud_line(look, fetched, said, small_shapes):
    fetched(None)
    assert look(None) is small_shapes
    assert len(said) == 1
    assert "\n" not in said[0]
    assert "offline" in said[0]
    assert "Shapes-10" in said[0]


def test_nothing_said_online_is_cifar10(look, fetched, folder, said):
    fetched(folder)
    assert look(None).origin == str(folder)
    assert said == []


def test_the_variable_comes_before_the_network(look, fetched, folder, monkeypatch):
    stand_in = fetched(None)
    monkeypatch.setenv("RESNET_NP_DATA", str(folder))
    assert look(None).origin == str(folder)
    assert stand_in.calls == 0
    monkeypatch.setenv("RESNET_NP_DATA", "shapes10")
    assert look(None).origin.startswith("drawn here")


def test_what_was_asked_for_comes_before_the_variable(look, folder, monkeypatch, small_shapes):
    monkeypatch.setenv("RESNET_NP_DATA", str(folder))
    assert look("shapes10") is small_shapes


def test_a_variable_that_leads_nowhere_is_an_error(look, monkeypatch):
    monkeypatch.setenv("RESNET_NP_DATA", "no/such/path")
    with pytest.raises(DataError, match=r"^\$RESNET_NP_DATA: no/such/path"):
        look(None)


def test_where_the_data_would_come_from(fetched, folder, monkeypatch, empty_cache):
    stand_in = fetched(None)
    assert "not in the cache" in locate()
    fetching = importlib.import_module("data_tools.fetch")
    (fetching.cache_folder()).mkdir(parents=True)
    (fetching.cache_folder() / fetching.ARCHIVE).write_bytes(b"")
    assert locate() == f"CIFAR-10, {fetching.cache_folder() / fetching.ARCHIVE}"
    monkeypatch.setenv("RESNET_NP_DATA", str(folder))
    assert locate() == f"$RESNET_NP_DATA = {folder}"
    monkeypatch.setenv("RESNET_NP_DATA", "no/such/path")
    assert "MISSING" in locate()
    assert stand_in.calls == 0


def test_importing_is_light():
    code = ("import sys, data_tools; heavy = {'numba', 'matplotlib', 'requests', 'pooch', 'PIL'} & set(sys.modules); "
            "print(heavy); sys.exit(bool(heavy))")
    project = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=project)
