import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.responses import responses
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


@pytest.mark.filterwarnings("error")
def test_in_order_and_sorted(tmp_path):
    plain, residual = np.array([[3.0, 1, 2], [1, 3, 2]]), np.array([0.5, 0.2, 0.9])
    plain.setflags(write=False)
    figure = responses({"plain": plain, "residual": residual})
    ordered, ranked = figure.axes
    lines = [[line.get_ydata().tolist() for line in axes.lines] for axes in (ordered, ranked)]
    assert lines == [[[2, 2, 2], [0.5, 0.2, 0.9]], [[3, 2, 1], [0.9, 0.5, 0.2]]]
    assert ordered.lines[0].get_xdata().tolist() == [1, 2, 3] and ordered.get_ylim()[0] == 0
    names = [text.get_text() for text in ordered.get_legend().get_texts()]
    assert names == ["plain (mean of 2 seeds, lowest to highest shaded)", "residual"]
    save(figure, tmp_path / "responses.png")


def test_wrong_arguments():
    for nets in ({}, {"a": np.zeros((1, 2, 3))}, {"a": []}, dict.fromkeys("abcde", np.ones(3))):
        with pytest.raises(InputError, match="one to 4 nets"):
            responses(nets)
