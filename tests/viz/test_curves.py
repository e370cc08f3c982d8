import math

import matplotlib.image
import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.viz.curves import curves
from resnet_np.viz.style import save

pytestmark = pytest.mark.nojit


def records(count, **changed):
    return [{"epoch": i, "train_loss": 2 / i, "train_accuracy": 1 - 0.6 / i, "validation_loss": 2.2 / i,
             "validation_accuracy": 0.9 - 0.5 / i, "lr": 0.1 / i, **changed} for i in range(1, count + 1)]


def drawn(axes):
    """label -> the line's points."""
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_every_axis_says_what_it_shows():
    loss, accuracy, rate = curves(records(3)).axes
    assert [axes.get_xlabel() for axes in (loss, accuracy, rate)] == ["epoch"] * 3
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("cross-entropy loss", "accuracy (%)")
    assert rate.get_ylabel() == "learning rate"
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in (loss, accuracy)]
    assert legends == [["training", "validation"], ["best: 73.3 % in epoch 3"]]


def test_lines_are_the_records():
    loss, accuracy, rate = curves(records(4)).axes
    np.testing.assert_allclose(drawn(loss)["training"], [[1, 2], [2, 1], [3, 2 / 3], [4, 0.5]])
    np.testing.assert_allclose(drawn(loss)["validation"][:, 1], [2.2, 1.1, 2.2 / 3, 0.55])
    np.testing.assert_allclose(drawn(accuracy)["training"][:, 1], [40, 70, 80, 85])
    np.testing.assert_allclose(rate.get_lines()[0].get_ydata(), [0.1, 0.05, 0.1 / 3, 0.025])


def test_epochs_of_smaller_pictures_are_shaded():
    loss, accuracy, rate = curves([row | {"image_size": 17 if row["epoch"] < 3 else 32} for row in records(4)]).axes
    for axes in (loss, accuracy):
        (span,) = axes.patches
        assert span.get_x() < axes.get_xlim()[0] and span.get_x() + span.get_width() == 2.5
    assert not rate.patches
    named = [text.get_text() for text in loss.get_legend().get_texts()]
    assert named == ["training", "validation", "trained with 17 pixels a side"]
    for sizes in ([32] * 4, [None, 17, 17, 32]):
        rows = [row | {"image_size": size} for row, size in zip(records(4), sizes, strict=True)]
        assert not any(axes.patches for axes in curves(rows).axes)


def test_best_validation_accuracy_is_marked():
    rows = records(5)
    rows[2]["validation_accuracy"] = 0.951
    best = drawn(curves(rows).axes[1])["best: 95.1 % in epoch 3"]
    np.testing.assert_allclose(best, [[3, 95.1]])


def test_the_kept_epoch_is_marked_in_a_band_of_one_standard_error():
    rows = records(5, validation_count=25)
    for row, right in zip(rows, (10, 18, 20, 18, 10), strict=True):
        row["validation_accuracy"] = right / 25
    accuracy = curves(rows).axes[1]
    np.testing.assert_allclose(drawn(accuracy)["kept: 72.0 % in epoch 4"], [[4, 72]])  # 80 +- 8 %
    (band,) = accuracy.collections
    low, high = (reach(band.get_paths()[0].vertices[:, 1]) for reach in (min, max))
    np.testing.assert_allclose((low, high), (40 - 9.798, 80 + 8), atol=1e-3)


def test_epochs_that_an_older_version_recorded_are_judged_by_its_rule():
    """They do not say on how many pictures they were measured: the highest is marked, and there is no band."""
    rows = records(2) + [record | {"validation_count": 25} for record in records(4)[2:]]
    rows[1]["validation_accuracy"] = 0.8
    accuracy = curves(rows).axes[1]
    assert "best: 80.0 % in epoch 2" in drawn(accuracy) and not accuracy.collections


@pytest.mark.parametrize("rows", [
    records(1), records(1, validation_count=20), records(3, validation_count=20, validation_accuracy=math.nan),
    records(300), records(1, lr=0.0), [{"epoch": 7}], records(3, train_loss=math.nan),
    records(2, validation_loss=None, validation_accuracy=None),
    records(3, validation_loss=math.inf, validation_accuracy=math.nan)])
def test_it_can_be_saved(tmp_path, rows):
    save(curves(rows), tmp_path / "curves.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "curves.png").shape
    assert (height, width) == (720, 1200)


def test_one_epoch_shows_points_at_a_whole_number():
    figure = curves(records(1))
    for axes in figure.axes:
        assert all(line.get_marker() == "o" for line in axes.get_lines())
        assert [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]] == [1]


def test_missing_validation_draws_no_empty_line():
    loss, accuracy, _ = curves(records(3, validation_loss=None, validation_accuracy=None)).axes
    assert set(drawn(loss)) == set(drawn(accuracy)) == {"training"}


def test_no_epoch_yet():
    with pytest.raises(InputError, match="no epoch to draw yet"):
        curves([])
