import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.descent import descent
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit

PATH = np.array([[4.0, 1.0], [2.0, -0.5], [1.0, 0.2]])


def test_a_panel_a_path(tmp_path):
    figure = descent((1, 20), {"one": PATH, "other": PATH / 2})
    assert [axes.get_title() for axes in figure.axes] == ["one", "other"]
    for axes, factor in zip(figure.axes, (1, 0.5), strict=True):
        way, start, bottom = axes.get_lines()
        np.testing.assert_allclose(way.get_xydata(), factor * PATH)
        np.testing.assert_allclose(start.get_xydata(), factor * PATH[:1])
        np.testing.assert_allclose(bottom.get_xydata(), [[0, 0]])
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    save(figure, tmp_path / "descent.png")


@pytest.mark.parametrize(("curvature", "paths"), [
    ((1, 2), {}), ((1, 0), {"a": PATH}), ((1, 2), {"a": PATH[:0]}), ((1, 2), {"a": np.zeros((3, 3))}),
    ((1, 2), {"a": np.zeros(2)})])
def test_what_is_no_path(curvature, paths):
    with pytest.raises(InputError, match="expected curvatures above 0 and paths"):
        descent(curvature, paths)
