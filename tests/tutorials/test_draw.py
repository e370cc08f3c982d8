"""README's picture shows the recorded runs."""

from pathlib import Path

import numpy as np
import pytest

from resnet_np import tutor

pytestmark = pytest.mark.nojit
TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials"


@pytest.fixture(scope="module")
def draw(load):
    return load(TUTORIALS / "draw.py")


def test_a_point_is_a_recipe_and_a_band_its_seeds(draw):
    def run(by, recipe, seconds, accuracy):
        return {"by": by, "recipe": recipe, "command_seconds": seconds, "test_accuracy_views": accuracy}

    found = draw.lines([run("we", "long", 600, 0.9), run("we", "short", 60, 0.75), run("they", "theirs", 180, 0.5),
                        run("we", "short", 120, 0.25), run("we", "short", None, 0.5)])
    assert list(found) == ["we", "they"]
    minutes, accuracies = found["we"]
    assert minutes == [1, 10]
    np.testing.assert_allclose(accuracies, [[75, 90], [25, 90], [50, 90]])
    assert found["they"][0] == [3]


def test_the_records_can_be_drawn(draw, monkeypatch):
    monkeypatch.chdir(TUTORIALS)
    _, records = tutor.recorded("finals")
    axes, = draw.figure().axes
    assert sum(len(line.get_xdata()) for line in axes.get_lines()) == len({(run["by"], run["recipe"]) for run in records})
