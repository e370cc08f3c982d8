import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.gaps import gaps
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def test_a_row_a_recipe(tmp_path):
    figure = gaps({"nothing": ([1.0, 1.0], [0.3, 0.4]), "more": ([0.8], [0.7])}, chance=0.1)
    axes, = figure.axes
    bars, marks = [line for line in axes.get_lines() if line.get_linewidth() == 6], {}
    for line in axes.get_lines():
        if line.get_marker() in "os":
            marks.setdefault(line.get_marker(), []).append(line.get_xydata())
    np.testing.assert_allclose([bar.get_xdata() for bar in bars], [[35, 100], [70, 80]])
    np.testing.assert_allclose(marks["o"][0], [[100, 0], [100, 0]])
    np.testing.assert_allclose(marks["s"][0], [[30, 0], [40, 0]])
    np.testing.assert_allclose(marks["s"][1], [[70, 1]])
    assert [text.get_text() for text in axes.texts] == ["35.0", "70.0"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["nothing", "more"]
    legend, = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["test pictures", "training pictures", "guessing"]
    save(figure, tmp_path / "gaps.png")


def test_without_chance_no_line_for_it():
    legend, = gaps({"a": ([1], [0.5])}).legends
    assert len(legend.get_texts()) == 2


@pytest.mark.parametrize("recipes", [{}, {"a": ([], [])}, {"a": ([1], [1, 1])}])
def test_what_does_not_fit(recipes):
    with pytest.raises(InputError, match="one training and one test accuracy a run"):
        gaps(recipes)
