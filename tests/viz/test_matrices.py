import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.matrices import matrices

pytestmark = pytest.mark.nojit


def test_one_scale_whose_middle_is_0(rng):
    before, after = rng.standard_normal((3, 5)), np.eye(2)
    before[1, 2] = -4.0
    for matrix in (before, after):
        matrix.setflags(write=False)
    figure = matrices({"before": before, "after": after}, quantity="covariance", rows={"before": ["a", "b", "c"]})
    *shown, bar = figure.axes
    assert [axes.get_title() for axes in shown] == ["before", "after"]
    assert [[label.get_text() for label in axes.get_yticklabels()] for axes in shown] == [["a", "b", "c"], ["0", "1"]]
    for axes, matrix in zip(shown, (before, after), strict=True):
        image, = axes.images
        np.testing.assert_array_equal(image.get_array(), matrix)
        assert image.get_clim() == (-4, 4)
    assert bar.get_ylabel() == "covariance"


@pytest.mark.filterwarnings("error")
def test_zeros_are_white():
    image, = matrices({"": np.zeros((2, 2))}, quantity="q").axes[0].images
    np.testing.assert_allclose(image.cmap(image.norm(0.0))[:3], 1, atol=0.05)


@pytest.mark.parametrize("panels", [{}, {str(i): np.eye(2) for i in range(5)}, {"a": np.zeros(3)}, {"a": np.zeros((0, 2))},
                                    {"a": np.full((2, 2), np.nan)}])
def test_no_matrix(panels):
    with pytest.raises(InputError, match="matrices: expected one to 4"):
        matrices(panels, quantity="q")


def test_names_that_do_not_fit():
    with pytest.raises(InputError, match="a name for each row"):
        matrices({"a": np.eye(2)}, quantity="q", rows={"a": ["one"]})
