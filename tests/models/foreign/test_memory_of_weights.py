"""Loading weights takes memory in proportion to the file, whatever it announces."""

import tracemalloc

import numpy as np
import pytest

from resnet_np.errors import CheckpointError
from resnet_np.models import load_weights
from resnet_np.models.checkpoint import net_arrays

pytestmark = pytest.mark.nojit


def memory_of(path, **wishes):
    """The most that loading takes, in bytes, and whether it is refused."""
    tracemalloc.start()
    try:
        try:
            imported = load_weights(None, path, **wishes)
            refused = ""
        except CheckpointError as error:
            imported, refused = None, str(error)
        return tracemalloc.get_traced_memory()[1], refused, imported
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype, save, share", [(np.float32, np.savez, 2), (np.float16, np.savez, 3),
                                                (np.float16, np.savez_compressed, 4)])
def test_the_memory_of_a_net(trained, tmp_path, dtype, save, share):
    """The numbers as they lie in the file, and the net: no gradients, which nobody asked for."""
    arrays = {name: array.astype(dtype) for name, array in net_arrays(trained("resnet18", width=40)).items()}
    for array in arrays.values():  # numbers that are rounded, so that they can be compressed, by a fifth
        array.view(np.uint16)[...] &= 0xffe0 if dtype == np.float16 else 0xffff
    save(tmp_path / "net.npz", **arrays)
    size = (tmp_path / "net.npz").stat().st_size
    peak, refused, imported = memory_of(tmp_path / "net.npz")
    assert not refused and size > 5 << 20 and peak < (8 << 20) + share * size
    assert all(parameter._grad is None for parameter in imported.checkpoint.net.named_parameters().values())


@pytest.mark.parametrize("kind", ["no width", "empty blocks", "classes"])
def test_a_file_that_announces_more_than_it_holds(trained, written, kind):
    """Names, shapes or texts of what the file does not hold must not be made."""
    arrays = dict(net_arrays(trained("resnet8", width=1)))
    if kind == "no width":
        arrays = {name: array[:0] for name, array in arrays.items()} | {"fc.bias": np.zeros(2_000_000, np.float16)}
        arrays["fc.weight"] = np.zeros((2_000_000, 0), np.float16)
    elif kind == "empty blocks":
        arrays |= {f"layer{stage}.{i}.conv1.weight": np.zeros(0, np.float32) for stage in (1, 2, 3) for i in range(300)}
    else:
        arrays |= {"fc.weight": np.zeros((1_000_000, 4), np.float16), "fc.bias": np.zeros(1_000_000, np.float16)}
    path = written(arrays)
    peak, refused, _ = memory_of(path)
    assert "make up no net that can be built" in refused and peak < (16 << 20) + 4 * path.stat().st_size
