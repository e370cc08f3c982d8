import pytest

from resnet_np.errors import InputError
from resnet_np.viz.speed import shares, turns

pytestmark = pytest.mark.nojit


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_shares_longest_first():
    figure = shares({"conv": 0.003, "outside": 0.001, "fused": 0.004})
    axes, = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fused", "conv", "outside"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([4, 3, 1])
    assert texts(figure) == ["4 ms, 50%", "3 ms, 38%", "1 ms, 12%"]


def test_small_shares_together():
    axes, = shares({"a": 0.9, "b": 0.005, "c": 0.004, "d": 0.1}).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "d", "2 others"]
    assert axes.patches[2].get_width() == pytest.approx(9)


def test_turns():
    figure = turns({"a": [0.001, 0.003, 0.002], "b": [0.004] * 3})
    axes, = figure.axes
    assert list(axes.lines[1].get_xdata()) == pytest.approx([1, 3, 2])
    assert texts(figure) == ["1", "a", "4", "b"]
    assert axes.get_xlim()[0] == 0


def test_nonsense():
    for function, given in ((shares, {}), (shares, {"a": 0.0}), (turns, {}), (turns, {"a": []}),
                            (turns, {"a": [1.0], "b": [1.0, 2.0]})):
        with pytest.raises(InputError, match=f"{function.__name__}: expected"):
            function(given)
