import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.diagonal import diagonal
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def test_points_and_the_line_between(tmp_path):
    figure = diagonal({"a": ([1, 2], [1.5, 2]), "b": ([3], [3])}, xlabel="expected", ylabel="measured")
    axes, = figure.axes
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    np.testing.assert_allclose(lines["a"], [[1, 1.5], [2, 2]])
    np.testing.assert_allclose(lines["b"], [[3, 3]])
    assert (lines["equal"][:, 0] == lines["equal"][:, 1]).all()
    assert axes.get_xlim() == axes.get_ylim()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("expected", "measured")
    save(figure, tmp_path / "diagonal.png")


def test_one_point_has_axes_of_some_width():
    low, high = diagonal({"a": ([1], [1])}, xlabel="x", ylabel="y").axes[0].get_xlim()
    assert low < 1 < high


@pytest.mark.parametrize("points", [{}, {"a": ([], [])}, {"a": ([1], [1, 2])}, dict.fromkeys("abcd", ([1], [1]))])
def test_what_does_not_fit(points):
    with pytest.raises(InputError, match="one to 3 sets"):
        diagonal(points, xlabel="x", ylabel="y")
