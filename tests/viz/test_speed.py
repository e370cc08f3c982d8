import pytest

from resnet_np.errors import InputError
from resnet_np.viz.speed import ladder, shares, turns

pytestmark = pytest.mark.nojit


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_ladder():
    figure = ladder({"loops": 0.0042, "tiles": 120.0}, roof=200.0)
    axes, = figure.axes
    assert [bar.get_x() + bar.get_width() for bar in axes.patches] == pytest.approx([0.0042, 120.0])
    assert axes.get_xscale() == "log"
    assert texts(figure) == ["0.0042", "loops", "120", "tiles", "NumPy's matrix product: 200"]
    assert axes.lines[0].get_xdata()[0] == 200


def test_shares_longest_first():
    figure = shares({"conv": 0.003, "outside": 0.001, "fused": 0.004})
    axes, = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fused", "conv", "outside"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([4, 3, 1])
    assert texts(figure) == ["4 ms, 50%", "3 ms, 38%", "1 ms, 12%"]


def test_turns():
    figure = turns({"a": [0.001, 0.003, 0.002], "b": [0.004] * 3})
    axes, = figure.axes
    assert list(axes.lines[1].get_xdata()) == pytest.approx([1, 3, 2])
    assert texts(figure) == ["2", "a", "4", "b"]
    assert axes.get_xlim()[0] == 0


def test_nonsense():
    for function, given in ((ladder, {}), (ladder, {"a": 0.0}), (shares, {}), (shares, {"a": 0.0}), (turns, {}), (turns, {"a": []}),
                            (turns, {"a": [1.0], "b": [1.0, 2.0]})):
        with pytest.raises(InputError, match=f"{function.__name__}: expected"):
            function(given, **({"roof": 1.0} if function is ladder else {}))
