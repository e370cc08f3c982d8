import pytest

from resnet_np.errors import InputError
from resnet_np.viz.dots import dots

pytestmark = pytest.mark.nojit


def test_a_row_a_way():
    figure = dots({"slow": [1.0, 3.0], "fast": [5.0]}, quantity="accuracy (%)", title="T", chance=0.5)
    axes, = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["slow", "fast"]
    runs = [line for line in axes.lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in runs] == [[1, 3], [5]] and [list(line.get_ydata()) for line in runs] == [[0, 0], [1]]
    assert {"2.0", "5.0", "guessing"} == {text.get_text() for text in axes.texts}
    assert axes.get_ylim() == (1.5, -0.5), "the first row is the topmost"


def test_nothing_has_no_sign():
    axes, = dots({"a": [-0.01, 0.0]}, quantity="points").axes
    assert [text.get_text() for text in axes.texts] == ["0.0"]


@pytest.mark.parametrize("runs", [{}, {"a": [1.0], "b": []}])
def test_no_numbers(runs):
    with pytest.raises(InputError, match="dots: expected at least one number"):
        dots(runs, quantity="accuracy (%)")
