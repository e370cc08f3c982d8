"""Memory is handed out again when nobody holds it, and never before."""

import threading

import numpy as np
import pytest

from resnet_np.workspace import Workspace, empty

pytestmark = pytest.mark.nojit


def address(array):
    return array.ctypes.data


def test_memory_returns_when_the_last_reference_dies():
    with Workspace():
        first = empty((3, 4), np.float32)
        where, view = address(first), first[1:].reshape(-1)
        del first
        second = empty((3, 4), np.float32)
        assert address(second) != where  # the view still holds it
        del view
        assert address(empty((4, 3), np.float32)) == where


def test_live_arrays_never_share():
    with Workspace():
        arrays = [empty((5,), np.float64) for _ in range(20)]
        for i, array in enumerate(arrays):
            array[...] = i
        assert [array[0] for array in arrays] == list(range(20))
        assert all(address(array) % 64 == 0 and array.flags.c_contiguous and array.flags.writeable for array in arrays)


def test_an_array_outlives_its_workspace():
    workspace = Workspace()
    with workspace:
        array = empty((1000,), np.float32)
        array[...] = 7
    with workspace:
        other = empty((1000,), np.float32)
        other[...] = 0
    del workspace
    assert address(other) != address(array) and (array == 7).all()


def test_without_a_workspace_every_array_is_new():
    first = empty((2, 2), np.float32)
    assert first.base is None
    workspace, seen = Workspace(), []
    with workspace:
        thread = threading.Thread(target=lambda: seen.append(empty((2, 2), np.float32).base))
        thread.start()
        thread.join()
    assert seen == [None]  # a workspace serves the thread that entered it
