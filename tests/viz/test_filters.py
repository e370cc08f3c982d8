import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.filters import as_pictures, filters
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def test_grey_is_nothing_and_the_largest_weight_is_full_colour():
    weight = np.zeros((2, 3, 1, 2))
    weight[0, :, 0, 0] = 4, -2, 0  # red, green, blue
    weight[0, :, 0, 1] = -4, 1, 0
    weight.setflags(write=False)
    found = as_pictures(weight)
    assert found.shape == (2, 1, 2, 3)
    np.testing.assert_array_equal(found[0, 0], [[1, 0.25, 0.5], [0, 0.625, 0.5]])
    np.testing.assert_array_equal(found[1], 0.5)  # a filter of zeros: no division by 0


def texts(figure):
    """What is written above and below every filter."""
    return [(axes.get_title(), axes.get_xlabel()) for axes in figure.axes if axes.images]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape, shown", [((1, 3, 3, 3), 1), ((16, 3, 3, 3), 16), ((10, 3, 1, 1), 10), ((100, 3, 7, 7), 64)])
def test_every_filter_has_its_number(shape, shown, rng, tmp_path):
    figure = filters(rng.standard_normal(shape))
    assert [title for title, _ in texts(figure)] == [str(f) for f in range(shown)]
    title = figure.get_suptitle()
    assert f"{shape[0]} filters of {shape[2]}x{shape[3]} pixels" in title and ("the first 64" in title) == (shape[0] > 64)
    save(figure, tmp_path / "filters.png")


def test_below_stands_what_full_colour_means():
    weight = np.zeros((2, 3, 3, 3))
    weight[1, 2, 1, 1] = -0.25
    assert texts(filters(weight)) == [("0", "±0"), ("1", "±0.25")]


@pytest.mark.parametrize("shape", [(16, 16, 3, 3), (3, 3, 3), (0, 3, 3, 3)])
def test_channels_further_in_are_no_colours(shape):
    with pytest.raises(InputError, match=r"first layer, \(F, 3, KH, KW\), got"):
        filters(np.zeros(shape))
