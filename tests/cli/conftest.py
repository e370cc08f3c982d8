import pytest

from resnet_np import backend


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """A command chooses the backend for the rest of its process, which is not the rest of the tests."""
    monkeypatch.setattr(backend, "_chosen", backend._chosen)
