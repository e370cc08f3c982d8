"""README's picture shows the recorded runs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_np import tutor

pytestmark = pytest.mark.nojit
TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials"


@pytest.fixture(scope="module")
def draw(load):
    return load(TUTORIALS / "draw.py")


def run(by, recipe, seconds, accuracy, resnet20=100.0):
    """resnet20: images/s, how fast the machine was in that hour."""
    return {"by": by, "recipe": recipe, "command_seconds": seconds, "test_accuracy_views": accuracy, "resnet20": resnet20}


def test_a_point_is_a_recipe_and_a_band_its_seeds(draw):
    found = draw.lines([run("resnet_np", "long", 600, 0.875), run("resnet_np", "short", 60, 0.75), run("they", "theirs", 180, 0.5),
                        run("resnet_np", "short", 120, 0.25), run("resnet_np", "short", None, 0.5, None),
                        run("resnet_np", "long", 660, 0.625)])
    assert list(found) == ["resnet_np", "they"]
    minutes, accuracies = found["resnet_np"]
    assert minutes == [1, 10]
    np.testing.assert_array_equal(accuracies, [[75, 87.5], [25, 62.5], [50, 75]])  # two seeds, and their median
    assert found["they"][0] == [3] and found["they"][1].tolist() == [[50]]


def test_a_recipe_without_minutes_is_left_out(draw):
    halted, whole = run("resnet_np", "halted", None, 0.75, None), run("resnet_np", "whole", 60, 0.5)
    found = draw.lines([halted, whole, run("they", "theirs", 60, 0.5)])
    assert found["resnet_np"][0] == [1]


def test_minutes_are_those_of_an_hour_like_the_yardsticks(draw):
    """Not the quickest: the machine was quicker then."""
    ours = [run("resnet_np", "a", 60, 0.5, 200.0), run("resnet_np", "a", 120, 0.5, 90.0), run("resnet_np", "a", 150, 0.5, 70.0)]
    for pace, minutes in ((100.0, [2]), (190.0, [1]), (50.0, [2.5])):
        assert draw.lines([*ours, run("they", "theirs", 180, 0.5, pace)])["resnet_np"][0] == minutes


def test_the_picture_is_that_of_the_records(draw, monkeypatch):
    monkeypatch.chdir(TUTORIALS)
    drawn = draw.lines(tutor.recorded("finals")[1])
    axes, = draw.figure(drawn).axes
    assert [line.get_xdata().tolist() for line in axes.get_lines()] == [minutes for minutes, _ in drawn.values()]
    with Image.open(draw.PICTURE) as picture:
        assert picture.info["Description"] == draw.described(drawn), "run python tutorials/draw.py"
