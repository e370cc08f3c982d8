import pytest

from resnet_np.errors import InputError
from resnet_np.viz.depth import Net, cost_and_accuracy, growth

pytestmark = pytest.mark.nojit


def test_cost_and_accuracy():
    deeper = [Net("8 layers", 1.0, [0.5, 0.7]), Net("14 layers", 2.0, [0.8])]
    figure = cost_and_accuracy(deeper, [Net("width 8", 0.5, [0.4])], cost="cost")
    axes, = figure.axes
    assert list(axes.lines[0].get_xdata()) == [1, 2] and list(axes.lines[0].get_ydata()) == pytest.approx([60, 80])
    assert list(axes.lines[1].get_ydata()) == pytest.approx([50, 70])
    assert [text.get_text() for text in axes.texts] == ["8 layers", "14 layers", "width 8"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["deeper", "wider"]


def test_growth():
    figure = growth([8, 14], [("parameters", [1, 2]), ("seconds", [3, 4])])
    assert [axes.get_title() for axes in figure.axes] == ["parameters", "seconds"]
    assert [list(axes.lines[0].get_ydata()) for axes in figure.axes] == [[1, 2], [3, 4]]
    assert all(axes.get_ylim()[0] == 0 for axes in figure.axes)


def test_nonsense():
    for nets in ([], [Net("a", 0.0, [1.0])], [Net("a", 1.0, [])]):
        with pytest.raises(InputError, match="cost_and_accuracy: expected"):
            cost_and_accuracy(nets, [], cost="cost")
    for series in ([], [("a", [1])]):
        with pytest.raises(InputError, match="growth: expected"):
            growth([8, 14], series)
