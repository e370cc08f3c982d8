"""Where a run stands in its schedule, with and without steps that were left out."""

import dataclasses
import json

import pytest

from resnet_np.training.progress import Progress

pytestmark = pytest.mark.nojit


def test_a_step_stands_where_it_is_until_some_are_left_out():
    assert [Progress(step=3).place_of(t, planned=10) for t in (0, 3, 10)] == [0, 3, 10]


@pytest.mark.parametrize(("step", "total"), [(0, 50), (20, 60), (20, 21), (99, 100)])
def test_what_is_left_goes_through_the_rest_of_the_schedule(step, total):
    progress = Progress(step=step)
    progress.end_after(total, planned=100, start_steps=40)
    places = [progress.place_of(t, planned=100) for t in range(step, total + 1)]
    assert places[0] == step and places[-1] == pytest.approx(100)
    strides = [after - before for before, after in zip(places[:-1], places[1:], strict=True)]
    assert strides == pytest.approx([(100 - step) / (total - step)] * (total - step))
    assert progress.left_out == 100 - total


def test_small_pictures_end_at_the_same_place_of_the_schedule():
    """After one cut and after a second; and a cut behind their end does not call them back."""
    progress = Progress(step=10)
    progress.end_after(70, planned=100, start_steps=40)
    assert progress.place_of(progress.small, planned=100) == pytest.approx(40)
    progress.step = 20
    progress.end_after(50, planned=100, start_steps=40)
    assert progress.place_of(progress.small, planned=100) == pytest.approx(40) and 20 < progress.small < 50
    progress.step, before = 45, progress.small
    progress.end_after(47, planned=100, start_steps=40)
    assert progress.small == before < 45 and progress.place_of(47, planned=100) == pytest.approx(100)


def test_a_second_cut_goes_on_where_the_first_one_stands():
    progress = Progress(step=10)
    progress.end_after(55, planned=100, start_steps=0)  # 45 steps for 90
    progress.step = 25
    progress.end_after(31, planned=100, start_steps=0)  # 6 for 60
    assert [progress.place_of(t, planned=100) for t in (25, 26, 31)] == pytest.approx([40, 50, 100])


def test_it_outlives_a_checkpoint():
    progress = Progress(step=7, loss=1.5, records=[{"epoch": 1}])
    assert Progress(**json.loads(json.dumps(dataclasses.asdict(progress)))) == progress


@pytest.mark.parametrize(("name", "value", "words"), [
    ("step", "7", "step is '7'"), ("loss", None, "loss is None"), ("step", 1.5, r"step is 1\.5"),
    ("records", {}, "no list of objects"), ("records", [1], "no list of objects"),
])
def test_what_no_run_has_saved_is_refused(name, value, words):
    with pytest.raises(TypeError, match=words):
        Progress(**{name: value})
