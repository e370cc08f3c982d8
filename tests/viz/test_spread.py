import matplotlib.image
import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.spread import spread
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def test_line_is_the_median_and_the_band_reaches_the_outermost():
    y = np.array([[1.0, 2], [5, 4], [2, 9]])
    y.setflags(write=False)
    axes, = spread({"three seeds": {"net": ([1, 2], y)}}, xlabel="epoch", ylabel="loss").axes
    np.testing.assert_allclose(axes.get_lines()[0].get_xydata(), [[1, 2], [2, 4]])
    corners = axes.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in corners} == {(1, 1), (1, 5), (2, 2), (2, 9)}
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("epoch", "loss", "three seeds")


def test_panels_share_the_scale_and_the_looks():
    figure = spread({"a": {"8": ([1, 2], [1, 2])}, "b": {"20": ([1], [500]), "8": ([1], [3])}}, xlabel="x", ylabel="y",
                    levels={"chance": 2.3}, logy=True)
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim() and left.get_yscale() == right.get_yscale() == "log"
    colours = [{line.get_label(): line.get_color() for line in axes.get_lines()} for axes in (left, right)]
    assert colours[0]["8"] == colours[1]["8"] != colours[1]["20"]
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"8", "20", "chance"}


@pytest.mark.filterwarnings("error")
def test_it_can_be_saved(tmp_path, rng):
    lines = {str(i): (10.0 ** -np.arange(30), 10.0 ** rng.normal(size=(3, 30))) for i in range(4)}
    save(spread({"one": lines, "two": {}}, xlabel="step", ylabel="error", logx=True, logy=True), tmp_path / "spread.png")
    assert matplotlib.image.imread(tmp_path / "spread.png").shape == (555, 1290, 4)


def test_numbers_of_a_logarithmic_axis():
    """Written out on a short one, which may hold no power of ten."""
    for x, expected in (([12, 60], {"15", "20", "30", "50"}), ([1, 1000], {"$\\mathdefault{10^{0}}$", "$\\mathdefault{10^{2}}$"})):
        figure = spread({"": {"a": (x, [1, 2])}}, xlabel="minutes", ylabel="%", logx=True)
        figure.draw_without_rendering()
        assert expected <= {label.get_text() for label in figure.axes[0].get_xticklabels()}


def test_wrong_arguments():
    for panels in ({}, {"a": {}}, {"a": {str(i): ([1], [1]) for i in range(5)}}):
        with pytest.raises(InputError, match="expected one to 4 lines"):
            spread(panels, xlabel="", ylabel="")
    for x, y in (([1, 2], [1]), ([[1]], [1]), ([], []), ([1], np.ones((1, 1, 1)))):
        with pytest.raises(InputError, match="net: expected x"):
            spread({"a": {"net": (x, y)}}, xlabel="", ylabel="")
