"""What is chosen for the time at hand, from made-up speeds and accuracies; and that the real table and the real machine fit in."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from resnet_np import backend
from resnet_np.errors import InputError
from resnet_np.training import plan, preset
from resnet_np.training.measured import MEASURED, Measured
from resnet_np.training.plan import Pictures, Speed, Times

pytestmark = pytest.mark.nojit

COUNT = Pictures(45_000, 5_000, 10_000)
SMALL = Measured("small", "fast8", 32, {2: (0.70, 0.72), 8: (0.80,)}, {"batch_size": 500, "lr": 0.4})
LARGE = Measured("large", "fast8", 64, {4: (0.82,), 16: (0.90, 0.92)}, {"muon": 0.1})
SPEEDS = {"small": Speed(0.001, 0.0003), "large": Speed(0.004, 0.001)}
TIMES = {"small": Times(0.001, 0.001, 0.0003), "large": Times(0.004, 0.004, 0.001)}


@pytest.fixture(autouse=True)
def two_recipes(monkeypatch):
    monkeypatch.setattr(plan, "MEASURED", (SMALL, LARGE))


def test_seconds_by_hand():
    """Two epochs of training; two validations; seven views of the test pictures; twice 15,000 pictures for what is typical."""
    expected = 2 * 45_000 * 0.001 + (2 * 5_000 + 70_000 + 30_000) * 0.0003 + 2 * plan.EPOCH + plan.FIXED
    assert plan.seconds_of(SPEEDS["small"], 2, COUNT) == pytest.approx(expected)


@pytest.mark.parametrize("seconds", [80, 200, 333.3, 5_000])
def test_as_many_epochs_as_fit_and_no_tenth_more(seconds):
    epochs = plan.epochs_within(SPEEDS["small"], seconds, COUNT)
    assert plan.seconds_of(SPEEDS["small"], epochs, COUNT) <= seconds < plan.seconds_of(SPEEDS["small"], epochs + 0.1, COUNT)


def test_what_is_expected_between_two_measured_numbers():
    assert plan.expectation(SMALL, 2) == pytest.approx(0.71) and plan.expectation(SMALL, 8) == pytest.approx(0.80)
    assert plan.expectation(SMALL, 4) == pytest.approx(0.755)  # half way, by the logarithm
    assert plan.expectation(SMALL, 20) == pytest.approx(0.80) and plan.expectation(SMALL, 1.9) is None


def test_the_spread_is_that_of_what_was_measured_there():
    assert plan.spread(SMALL, 2) == pytest.approx((0.70, 0.72, 2)) and plan.spread(SMALL, 8) == pytest.approx((0.80, 0.80, 1))
    assert plan.spread(SMALL, 4) == pytest.approx((0.75, 0.76, 1)) and plan.spread(LARGE, 20) == pytest.approx((0.90, 0.92, 2))
    assert plan.spread(LARGE, 8) == pytest.approx((0.86, 0.87, 1))


@pytest.mark.parametrize("seconds, kept, left", [(300, ["small"], 290), (10_000, ["small", "large"], 9_970)])
def test_what_a_shorter_command_would_have_measured(seconds, kept, left):
    """It had spent 10 seconds when it knew the small net, and 30 when it knew the large one."""
    within, there = plan.as_if_within(seconds, SPEEDS, [10.0, 30.0], COUNT)
    assert list(within) == kept and there == left
    assert kept == list(plan.as_if_within(seconds, SPEEDS, [10.0, 30.0, 99.0], COUNT)[0])


@pytest.mark.parametrize("seconds, name, epochs", [
    (60, "small", None),  # less than was ever measured
    (250, "small", None), (1_000, "large", None), (10_000, "large", 16)])
def test_the_recipe_of_the_highest_expectation(seconds, name, epochs):
    choice = plan.best(SPEEDS, seconds, COUNT)
    assert choice.recipe.name == name and choice.seconds <= seconds
    assert (choice.expected is None) == (seconds == 60)
    if epochs:  # no more than was measured: what more would give nobody knows
        assert choice.epochs == epochs and choice.config.epochs == epochs and not choice.config.max_steps


def test_the_choice_is_a_recipe_with_a_part_of_an_epoch_as_steps():
    choice = plan.best(SPEEDS, 1_000, COUNT, changes={"seed": 3, "batch_size": 100})
    config = choice.config
    assert (config.preset, config.model, config.width, config.muon, config.seed) == ("fast", "fast8", 64, 0.1, 3)
    assert config.epochs == -(-choice.epochs // 1) and config.total_steps(450) == int(choice.epochs * 450)


@pytest.mark.parametrize("seconds, measured", [(100, ["small"]), (10_000, ["small", "large"])])
def test_a_dear_net_is_measured_only_where_a_cheap_one_has_nothing_more_to_learn(monkeypatch, seconds, measured):
    monkeypatch.setattr(plan, "measure", lambda config, **more: TIMES["small" if config.width == 32 else "large"])
    speeds = plan.measure_all(classes=10, image_size=32, count=COUNT, seconds=lambda: seconds)
    assert list(speeds) == measured and plan.best(speeds, seconds, COUNT).recipe.name in measured


def test_another_recipe_of_the_same_net_is_measured_too(monkeypatch):
    """Eight epochs of the first would take longer; the second may be the better for what there is."""
    other = Measured("small, large batches", "fast8", 32, {2: (0.75,)}, {"batch_size": 1000})
    monkeypatch.setattr(plan, "MEASURED", (SMALL, other, LARGE))
    monkeypatch.setattr(plan, "measure", lambda config, **more: TIMES["small" if config.width == 32 else "large"])
    speeds = plan.measure_all(classes=10, image_size=32, count=COUNT, seconds=lambda: 200)
    assert list(speeds) == ["small", "small, large batches", "large"]  # two epochs are all that was measured of the second
    assert plan.best(speeds, 200, COUNT).recipe is other
    speeds = plan.measure_all(classes=10, image_size=32, count=COUNT, seconds=lambda: 100)
    assert list(speeds) == ["small", "small, large batches"]


def test_recipes_that_take_the_same_steps_are_measured_once(monkeypatch):
    """They differ in how many of them are of small pictures."""
    other = Measured("small, longer", "fast8", 32, {2: (0.75,)}, {**SMALL.changes, "start_share": 0.75})
    full = Measured("small, never", "fast8", 32, {2: (0.75,)}, {**SMALL.changes, "start_share": 0.0, "start_scale": 1.0})
    monkeypatch.setattr(plan, "MEASURED", (SMALL, other, full))
    measured = []
    monkeypatch.setattr(plan, "measure", lambda config, **more: measured.append(config) or Times(4.0, 1.0, 0.5))
    speeds = plan.measure_all(classes=10, image_size=32, count=COUNT)
    assert [config.start_share for config in measured] == [0.4, 0.0]
    assert [speed.training for speed in speeds.values()] == pytest.approx([0.6 * 4 + 0.4, 0.25 * 4 + 0.75, 4])
    assert all(speed[1:] == (0.5, 4) for speed in speeds.values())


def test_no_time_at_all():
    with pytest.raises(InputError, match="20 seconds are left"):
        plan.best(SPEEDS, 20, COUNT)


def test_the_table_says_how_many_runs_there_were():
    with backend.using("numpy"):
        lines = plan.table(SPEEDS, COUNT, image_size=32)
    assert len(lines) == 5 and "71.0% (70.0% to 72.0%, 2 seeds)" in lines[1] and "80.0% (1 run)" in lines[2]
    assert lines[0].split()[3] == "small" and lines[1].split()[3] == "40.0%"
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize("training, size, batch", [
    (45_000, 32, 500), (22_500, 32, 250), (9_000, 32, 100), (900, 32, 90), (100, 32, 32), (45_000, 64, 125)])
def test_a_batch_that_fits_the_pictures(training, size, batch):
    """And the learning rate with it: what a picture moves stays the same."""
    config = plan.config_of(SMALL, Pictures(training, 100, 100), size)
    assert config.batch_size == batch and config.lr / batch == pytest.approx(0.4 / 500)
    assert plan.config_of(SMALL, Pictures(training, 100, 100), size, {"lr": 0.3}).lr == 0.3  # what the user says is not touched
    wished = plan.config_of(SMALL, Pictures(training, 100, 100), size, {"batch_size": 400})
    assert wished.batch_size == 400


def test_few_pictures_are_seen_as_often_as_many_were():
    """Of a fiftieth of CIFAR-10 fifty times as many epochs are as much; not the two hundred steps that two epochs would be."""
    choice = plan.best(SPEEDS, 10_000, Pictures(900, 100, 100))
    assert (choice.recipe.name, choice.epochs, choice.expected) == ("large", 16 * 50, pytest.approx(0.91))


def test_the_real_table_is_of_recipes_that_exist():
    assert MEASURED and len({recipe.name for recipe in MEASURED}) == len(MEASURED)
    for recipe in MEASURED:
        assert recipe.accuracy
        for accuracies in recipe.accuracy.values():
            assert accuracies and all(0.5 < accuracy < 1 for accuracy in accuracies)
        assert plan.config_of(recipe, COUNT, 32).preset == "fast"


def test_the_real_table_is_that_of_the_records():
    """Every seed that was recorded, and nothing else."""
    path = Path(__file__).resolve().parents[2] / "tutorials" / "recorded" / "race.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    for recipe in MEASURED:
        for epochs, accuracies in recipe.accuracy.items():
            runs = sorted((row for row in rows if row["name"] == f"{recipe.name}, {epochs} epochs"), key=lambda row: row["seed"])
            assert accuracies == tuple(row["validation_accuracy_views"] for row in runs)
            config = preset("fast", model=recipe.model, width=recipe.width, epochs=epochs, **recipe.changes)
            assert all(config == preset("fast", **{"model": "fast8", "width": 64} | row["recipe"]) for row in runs)


@pytest.mark.slow
def test_measuring_gives_seconds_a_picture():
    tiny = Measured("tiny", "resnet8", 4, {1: (0.5,)}, {"batch_size": 8})
    config = plan.config_of(tiny, COUNT, 9, {"dropout": 0.2, "mixup": 0.2})
    with backend.using("numpy"):
        assert min(plan.measure(config, classes=3, image_size=9)) > 0


def test_time_is_taken_when_all_is_compiled(monkeypatch):
    """The first call compiles for 7 seconds; then another process does, for 5; a call takes half a second."""
    clock, calls = [0.0], []
    monkeypatch.setattr(plan, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def action():
        clock[0] += 0.5 if calls else 7.0
        calls.append(1)

    def compiled():
        clock[0] += 5.0

    assert plan._seconds(action, compiled) == pytest.approx(0.5) and len(calls) == 1 + plan.TRIAL_STEPS


def test_pictures_too_small_for_the_pools():
    with pytest.raises(InputError, match="--image-size: fast8 needs pictures of at least 9 pixels a side, got 8"):
        plan.measure(plan.config_of(SMALL, COUNT, 8), classes=3, image_size=8)


def test_small_pictures_are_measured_for_their_share_of_the_steps(monkeypatch):
    """A second a step, and four with pictures of twice the side, a quarter of the steps; three to evaluate ten pictures."""
    tiny = Measured("tiny", "resnet8", 4, {1: (0.5,)}, {"batch_size": 10, "start_scale": 0.5, "start_share": 0.75})
    sizes: list[int] = []
    monkeypatch.setattr(plan, "training_step", lambda net, optimiser, x, *rest, **more: sizes.append(x.shape[2]))
    monkeypatch.setattr(plan, "read", lambda results: results)

    def seconds(action, compiled):
        action()
        return {(12,): 4.0, (12, 6): 1.0}[tuple(sizes)] if action.__name__ == "step" else 3.0

    monkeypatch.setattr(plan, "_seconds", seconds)
    with backend.using("numpy"):
        config = plan.config_of(tiny, COUNT, 12, {"batch_size": 10})
        speed = plan.speed_of(plan.measure(config, classes=3, image_size=12), config)
    assert speed == (pytest.approx((0.75 * 1 + 0.25 * 4) / 10), pytest.approx(3 / 10), 4)
