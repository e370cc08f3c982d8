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


def run(by, recipe, seconds, accuracy):
    return {"by": by, "recipe": recipe, "command_seconds": seconds, "test_accuracy_views": accuracy}


def test_a_point_is_a_recipe_and_a_band_its_seeds(draw):
    found = draw.lines([run("we", "long", 600, 0.875), run("we", "short", 60, 0.75), run("they", "theirs", 180, 0.5),
                        run("we", "short", 120, 0.25), run("we", "short", None, 0.5), run("we", "long", 660, 0.625)])
    assert list(found) == ["we", "they"]
    minutes, accuracies = found["we"]
    assert minutes == [1, 10]
    np.testing.assert_array_equal(accuracies, [[75, 87.5], [25, 62.5], [50, 75]])  # two seeds, and their median
    assert found["they"][0] == [3] and found["they"][1].tolist() == [[50]]


def test_a_recipe_without_minutes_is_left_out(draw):
    assert draw.lines([run("we", "halted", None, 0.75), run("we", "whole", 60, 0.5)])["we"][0] == [1]


def test_the_picture_is_that_of_the_records(draw, monkeypatch):
    monkeypatch.chdir(TUTORIALS)
    drawn = draw.lines(tutor.recorded("finals")[1])
    axes, = draw.figure(drawn).axes
    assert [line.get_xdata().tolist() for line in axes.get_lines()] == [minutes for minutes, _ in drawn.values()]
    with Image.open(draw.PICTURE) as picture:
        assert picture.info["Description"] == draw.described(drawn), "run python tutorials/draw.py"
