import matplotlib.colors
import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.bars import rates, scores
from resnet_np.viz.style import BLUE, ORANGE

pytestmark = pytest.mark.nojit


def test_scores_are_logits_and_probabilities(tmp_path):
    figure = scores(np.array([2.0, -1.0, 0.0]), np.array([0.84, 0.04, 0.12]), ("a", "b", "c"), label=1)
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == [2, -1, 0]
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], [84, 4, 12])
    assert [text.get_text().strip() for text in right.texts] == ["84.0 %", "4.0 %", "12.0 %"]
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "b", "c"]
    assert [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in left.patches] == [BLUE, ORANGE, BLUE]
    figure.savefig(tmp_path / "scores.png")


def test_rates_end_at_their_number(tmp_path):
    figure = rates({"loops": 0.004, "tiles": 106}, unit="GFLOP/s", ceiling=("matrix product", 200))
    axes, = figure.axes
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in axes.patches], [0.004, 106])
    assert [text.get_text() for text in axes.texts] == ["0.004", "106"]
    assert axes.get_xscale() == "log" and axes.get_xlim()[0] < 0.004 and axes.get_xlim()[1] > 200
    assert figure.legends[0].get_texts()[0].get_text() == "matrix product: 200"
    figure.savefig(tmp_path / "rates.png")


def test_what_does_not_fit():
    with pytest.raises(InputError, match="scores: 2 classes need 2 logits"):
        scores(np.zeros(3), np.zeros(3), ("a", "b"))
    for named in ({}, {"stopped": 0.0}):
        with pytest.raises(InputError, match="rates: expected numbers above 0"):
            rates(named, unit="GFLOP/s")
