import matplotlib.image
import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.overlap import overlaps
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def test_every_number_stands_in_its_pixel():
    grid = np.array([[1, 2, 3], [4, 5, 6.5]])
    grid.setflags(write=False)
    axes, = overlaps({"numbers": grid}).axes
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "1", (1, 0): "2", (2, 0): "3", (0, 1): "4", (1, 1): "5", (2, 1): "6.5"}
    assert axes.get_title() == "numbers"


def test_windows_lie_around_their_pixels():
    axes, = overlaps({"padded": np.ones((3, 3))}, {"padded": ((-1, -1, 3), (1, 0, 2))}).axes
    padded, inner = (patch.get_bbox() for patch in axes.patches)
    assert -1.5 < padded.x0 < -1 and 1 < padded.x1 < 1.5
    assert (-0.5 < inner.x0 < 0 and 1 < inner.x1 < 1.5) and (0.5 < inner.y0 < 1 and 2 < inner.y1 < 2.5)
    left, right = axes.get_xlim()
    assert left < padded.x0 and right > 2.5


@pytest.mark.filterwarnings("error")
def test_it_can_be_saved(tmp_path):
    save(overlaps({str(k): np.zeros((k, k)) for k in (1, 2, 3, 8, 9)}), tmp_path / "overlaps.png")
    assert matplotlib.image.imread(tmp_path / "overlaps.png").shape == (450, 1950, 4)


def test_wrong_arguments():
    for grids in ({}, {"a": np.ones(3)}, {"a": np.ones((0, 2))}, {str(i): np.ones((1, 1)) for i in range(6)}):
        with pytest.raises(InputError, match="expected one to 5 arrays"):
            overlaps(grids)
