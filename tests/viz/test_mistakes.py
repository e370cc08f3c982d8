import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.mistakes import mistakes
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("N", [1, 5, 18])
def test_truth_above_answer_and_probability_below(N, rng, tmp_path):
    pictures = rng.integers(0, 256, (N, 3, 8, 8), dtype=np.uint8)
    labels, answers, probabilities = np.zeros(N, int), np.full(N, 1 + (N == 5)), np.linspace(0.99996, 0.5, N)
    for array in (pictures, labels, answers, probabilities):
        array.setflags(write=False)
    figure = mistakes(pictures, labels, answers, probabilities, (r"$\q$", "$dog$", "a name of many letters"))
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == N and {axes.get_title() for axes in shown} == {r"$\q$"}
    answer = "a name of …tters" if N == 5 else "$dog$"
    assert shown[0].get_xlabel() == f"{answer}\nabove 99.9 %" and (N == 1 or shown[-1].get_xlabel() == f"{answer}\n50.0 %")
    save(figure, tmp_path / "mistakes.png")
    figure.draw_without_rendering()
    extent = figure._suptitle.get_window_extent()
    assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1


def test_wrong_arguments():
    one = np.zeros(1, int)
    for pictures, labels in ((np.zeros((0, 3, 8, 8), np.uint8), one[:0]), (np.zeros((2, 3, 8, 8), np.uint8), one),
                             (np.zeros((1, 8, 8), np.uint8), one)):
        with pytest.raises(InputError, match="mistakes: expected pictures"):
            mistakes(pictures, labels, labels, labels, ("a",))
