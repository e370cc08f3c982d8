import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.features import features
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def rows(figure):
    """label -> the numbers of the channels drawn."""
    found, label = {}, None
    for axes in figure.axes:
        if axes.images:
            label = axes.get_ylabel().split("\n")[0] or label
            found.setdefault(label, []).append(axes.get_title())
    return found


def test_the_channels_that_differ_most_in_their_own_order(rng):
    maps = np.zeros((4, 2, 2))
    maps[3], maps[0], maps[1] = [[0, 9], [0, 0]], [[0, 2], [0, 0]], 100  # 1 is large, but flat: it says nothing
    maps.setflags(write=False)
    figure = features({"stem": maps}, channels=2)
    assert rows(figure) == {"stem": ["0", "3"]}
    first, second = (axes.images[0] for axes in figure.axes if axes.images)
    np.testing.assert_array_equal(first.get_array(), maps[0])
    assert first.get_clim() == second.get_clim() == (0, 9)  # one scale a row
    assert figure.axes[0].get_ylabel() == "stem\n4 x 2 x 2\n0 to 9"


def test_negative_values_lower_the_scale():
    figure = features({"a": np.array([[[-3.0, 1]], [[0, 0.5]]])})
    assert figure.axes[0].images[0].get_clim() == (-3, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 4, 10, 28])
def test_deep_nets_show_some_places(count, rng, tmp_path):
    maps = {f"layer{i}": rng.random((i % 3 + 1, 4, 4)) for i in range(count)}
    maps["layer0"] = np.zeros((3, 4, 4))  # a place where nothing stirs: no empty scale
    picture = rng.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    figure = features(maps, picture)
    found = list(rows(figure))
    assert found[:2] == ["picture", "layer0"] and found[-1] == f"layer{count - 1}" and len(found) == min(count, 10) + 1
    save(figure, tmp_path / "features.png")


def test_wrong_arguments():
    for maps in ({}, {"a": np.zeros((1, 3, 4, 4))}):
        with pytest.raises(InputError, match=r"expected maps \(C, OH, OW\)"):
            features(maps)
