"""A run from its first step to its result, stopped and resumed, and gone wrong."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from resnet_np import backend
from resnet_np.data import Normaliser
from resnet_np.errors import CheckpointError, InputError
from resnet_np.models import load_checkpoint
from resnet_np.optim.selection import kept_epoch
from resnet_np.training import RunFolder, loop, preset, report
from resnet_np.training import run as running
from resnet_np.training.loop import train
from resnet_np.training.run import Run
from resnet_np.workspace import Workspace


def run(config, pictures, folder, *, resume=False):
    lines = []
    result = train(config, pictures, folder, resume=resume, say=lines.append, progress=False)
    return result, lines


def weights(path):
    net = load_checkpoint(path).net
    arrays = {name: parameter.data for name, parameter in net.named_parameters().items()} | net.named_buffers()
    return {name: array.copy() for name, array in arrays.items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.nojit
def test_a_run_learns_and_writes_its_folder(recipe, pictures, folder):
    result, lines = run(recipe(epochs=4), pictures, folder)
    assert result["test_accuracy"] > 0.9
    assert {path.name for path in folder.path.iterdir()} == {
        "config.json", "metrics.jsonl", "last.npz", "previous.npz", "best.npz", "result.json", "curves.png"}
    stored = json.loads(folder.result.read_text())
    assert stored == json.loads(json.dumps(result))
    for key in ("test_accuracy", "last_test_accuracy", "test_loss", "best_epoch", "epochs", "seconds", "images_per_second",
                "dataset", "seed", "versions"):
        assert key in stored
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert stored["best_epoch"] == kept_epoch([record["validation_accuracy"] for record in records], records[0]["validation_count"])
    assert stored["validation_count"] == 8
    assert records[-1]["train_loss"] < records[0]["train_loss"]
    text = "\n".join(lines)
    assert "validation and test included: 16 steps" in text  # the forecast
    for word in ("data ", "net ", "recipe ", "machine ", "forecast ", "epoch 1/4", "test ", str(folder.path)):
        assert word in text


@pytest.mark.nojit
def test_the_bar_shows_the_rate_since_the_resume(recipe, pictures, folder, monkeypatch):
    """The interrupted half of the epoch took an hour, which is no reason to show a rate of zero for the other half."""
    stop_at_step(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run(recipe(epochs=1), pictures, folder)
    monkeypatch.undo()
    whole = Run(recipe(epochs=1), pictures, folder)
    whole.resume()
    assert whole.progress.step == 2
    whole.progress.epoch_seconds = 3600.0
    shown = []
    bar = SimpleNamespace(set_postfix_str=lambda text, refresh: shown.append(text), update=lambda: None)
    loop._epoch(whole, Workspace(), loop._Interruption(), bar, None)
    assert len(shown) == 2 and all(float(text.split(", ")[2].removesuffix(" images/s")) > 1 for text in shown)


@pytest.mark.nojit
def test_early_stopping_of_a_run_that_an_older_version_began(recipe, pictures, folder):
    """Its checkpoint names the first of the highest epochs; patience counts from the latest within one standard error."""
    begun = Run(recipe(epochs=9, early_stopping=2), pictures, folder)
    begun.progress.records = [{"validation_accuracy": accuracy} for accuracy in (0.75, 0.5, 0.625)]
    begun.progress.best_epoch = 1
    assert not loop._out_of_patience(begun)  # of 8 pictures 5 are as good as 6
    begun.progress.records[2]["validation_accuracy"] = 0.5
    assert loop._out_of_patience(begun)


@pytest.mark.nojit
def test_same_seed_same_bits_other_seed_others(recipe, pictures, tmp_path):
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        with RunFolder.open(tmp_path / name, resume=False) as folder:
            run(recipe(seed=seed), pictures, folder)
        found.append(weights(folder.last))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


@pytest.mark.parametrize("stop_after", [0, 1, 3, 4, 7])
def test_a_stopped_run_resumes_to_the_same_bits(recipe, pictures, tmp_path, monkeypatch, stop_after):
    with RunFolder.open(tmp_path / "whole", resume=False) as whole:
        result, _ = run(recipe(), pictures, whole)
    stop_at_step(monkeypatch, stop_after)
    with RunFolder.open(tmp_path / "halved", resume=False) as halved, pytest.raises(KeyboardInterrupt):
        run(recipe(), pictures, halved)
    monkeypatch.undo()
    with RunFolder.open(halved.path, resume=True) as halved:
        again, lines = run(recipe(), pictures, halved, resume=True)
    assert f"after step {stop_after}" in lines[0]
    assert same(weights(whole.last), weights(halved.last))
    assert same(weights(whole.best), weights(halved.best))
    assert len(halved.metrics.read_text().splitlines()) == 2
    for key in ("test_accuracy", "last_test_accuracy", "test_loss", "best_epoch", "epochs", "steps"):
        assert again[key] == result[key]


@pytest.mark.nojit
def test_a_fast_net_stopped_within_an_epoch_resumes_to_the_same_bits(recipe, pictures, tmp_path, monkeypatch):
    """Slow weights, Muon's velocities, alternating flips, the whitening and the small pictures of the first steps are those of the
    run, not of the session. A third of 16 pixels would be too few for the pools; 9 are enough."""
    fast = preset("fast", width=24, epochs=2, batch_size=16, lr=0.01, image_size=16, lookahead=3, start_scale=0.3, start_share=0.8)
    with RunFolder.open(tmp_path / "whole", resume=False) as whole:
        result, lines = run(fast, pictures, whole)
    assert 0 <= result["test_accuracy_views"] <= 1 and any("six views" in line for line in lines)
    how = "convolutions by Muon up to 0.24, biases of batch norm 64 times as fast, averaged every 3 steps"
    assert any(how in line for line in lines)
    assert any("the first 6 steps with pictures of 9x9 pixels; meanwhile validation, with 16x16," in line for line in lines)
    stop_at_step(monkeypatch, 5)
    with RunFolder.open(tmp_path / "halved", resume=False) as halved, pytest.raises(KeyboardInterrupt):
        run(fast, pictures, halved)
    monkeypatch.undo()
    with RunFolder.open(halved.path, resume=True) as halved:
        run(fast, pictures, halved, resume=True)
    assert same(weights(whole.last), weights(halved.last))
    assert load_checkpoint(whole.last).averages.keys() == weights(whole.last).keys()
    assert not load_checkpoint(whole.best).averages  # which nobody resumes


@pytest.mark.nojit
def test_a_signal_too_late_for_one_step_is_obeyed_after_the_next(recipe, pictures, folder, monkeypatch):
    """Never without saving. On a device most of the time is spent in `read`."""
    read, calls = loop.read, []

    def late(results):
        calls.append(1)
        if len(calls) == 2:
            loop.signal.raise_signal(loop.signal.SIGINT)
        return read(results)

    monkeypatch.setattr(loop, "read", late)
    with pytest.raises(KeyboardInterrupt):
        run(recipe(), pictures, folder)
    assert load_checkpoint(folder.last).metadata["progress"]["step"] == 3


def stop_at_step(monkeypatch, count):
    """Let `count` steps of the run pass, then Ctrl-C: seen at the end of a step, or before the first."""
    step, done = running.training_step, []

    def counted(*arguments, **keywords):
        if len(done) == count == 0:
            raise KeyboardInterrupt
        result = step(*arguments, **keywords)
        done.append(1)
        if len(done) == count:
            loop.signal.raise_signal(loop.signal.SIGINT)
        return result

    monkeypatch.setattr(running, "training_step", counted)


@pytest.mark.nojit
@pytest.mark.parametrize("accuracies, kept", [((1.0, 0.5), 1), ((0.5, 1.0), 2)])
def test_the_test_set_is_read_once(recipe, pictures, folder, monkeypatch, accuracies, kept):
    """After the last step: for the last weights and for those that were kept, which may be the same."""
    seen, found = [], iter(accuracies)
    test, validate = loop.Run.test, loop.Run.validate
    monkeypatch.setattr(loop.Run, "test", lambda self, net, **more: seen.append(self.progress.step) or test(self, net, **more))
    monkeypatch.setattr(loop.Run, "validate", lambda self: dataclasses.replace(validate(self), top1=next(found)))
    result, _ = run(recipe(), pictures, folder)
    assert result["best_epoch"] == kept and seen == [8, 8][:3 - kept]
    assert kept == 1 or result["test_accuracy"] == result["last_test_accuracy"]


@pytest.mark.nojit
def test_choices_that_do_not_fit_the_data(recipe, pictures, folder):
    with pytest.raises(InputError, match="--limit-train: got 73, but 72"):
        run(recipe(limit_train=73), pictures, folder)
    assert not folder.last.exists()


@pytest.mark.nojit
def test_resume_refuses_another_run(recipe, pictures, folder):
    run(recipe(), pictures, folder)
    before = folder.last.read_bytes()
    with pytest.raises(CheckpointError, match="another net"):
        run(recipe(model="resnet14"), pictures, folder, resume=True)
    pictures.train_labels = 1 - pictures.train_labels
    with pytest.raises(CheckpointError, match="the pictures that the run was trained on have changed since it began; restore them"):
        run(recipe(), pictures, folder, resume=True)
    pictures.origin = "elsewhere"
    with pytest.raises(CheckpointError, match=r"trained on \(.*\) are others than .* at elsewhere; give its own with --data"):
        run(recipe(), pictures, folder, resume=True)
    assert folder.last.read_bytes() == before


@pytest.mark.nojit
def test_run_folders(tmp_path, recipe, pictures):
    with RunFolder.open(RunFolder.fresh(tmp_path, "run"), resume=False) as first:
        run(recipe(), pictures, first)
    assert RunFolder.fresh(tmp_path, "run").name == "run-2"
    (tmp_path / "file").write_text("")
    for path, resume, error, words in (
            (first.path, False, InputError, "holds a run already"), (tmp_path / "nothing", True, InputError, "there is no run in"),
            (tmp_path / "file" / "run", False, CheckpointError, "cannot be made")):
        with pytest.raises(error, match=words), RunFolder.open(path, resume=resume):
            pass
    first.config.write_text("{")
    with pytest.raises(CheckpointError, match="config.json"):
        first.read_config()


@pytest.mark.nojit
def test_the_checkpoint_carries_what_the_net_needs(recipe, pictures, folder):
    config = recipe(normaliser="per-pixel", shortcut="B")
    run(config, pictures, folder)
    checkpoint = load_checkpoint(folder.best)
    assert checkpoint.class_names == ("dark", "bright")
    assert checkpoint.net.architecture["shortcut"] == "B"
    assert checkpoint.normaliser.mean.shape == (3, 8, 8)
    assert checkpoint.metadata["config"] == json.loads(json.dumps(dataclasses.asdict(config)))
    assert isinstance(checkpoint.normaliser, Normaliser)


def test_nothing_that_the_user_holds_is_overwritten(recipe, pictures, folder, monkeypatch):
    """The workspace recycles memory: the logits of step 1 must be what they were after step 2."""
    held = []
    net_type = type(loop.Run(recipe(), pictures, folder).net)
    forward = net_type.forward

    def remembered(self, x, **mode):
        logits = forward(self, x, **mode)
        held.append((logits, logits.copy()))
        return logits

    monkeypatch.setattr(net_type, "forward", remembered)
    run(recipe(), pictures, folder)
    assert len(held) > 8 and all(np.array_equal(logits, copy) for logits, copy in held)


def test_backends_agree(recipe, pictures, tmp_path):
    losses = []
    for name in ("numba", "numpy"):
        with backend.using(name):
            folder = RunFolder(tmp_path / name)
            folder.path.mkdir()
            run(recipe(epochs=1, lr=0.001), pictures, folder)
        losses.append(json.loads(folder.metrics.read_text())["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.nojit
def test_images_per_second_of_a_run_that_ends_inside_an_epoch(recipe, pictures, folder):
    result, _ = run(recipe(max_steps=5), pictures, folder)
    assert (result["steps"], result["epochs"]) == (5, 2)
    seconds = [json.loads(line)["training_seconds"] for line in folder.metrics.read_text().splitlines()]
    assert result["images_per_second"] == pytest.approx(5 * 16 / sum(seconds))


@pytest.mark.nojit
def test_a_plot_that_cannot_be_written_does_not_stop_the_run(recipe, pictures, folder):
    folder.curves.mkdir()
    result, lines = run(recipe(), pictures, folder)
    assert result["epochs"] == 2 and any(line.startswith("curves ") for line in lines)


@pytest.mark.nojit
def test_resuming_restores_the_metrics_of_the_checkpoint(recipe, pictures, folder):
    run(recipe(), pictures, folder)
    whole = folder.metrics.read_text()
    for damaged in (whole.splitlines()[0] + "\n", whole + whole):
        folder.metrics.write_text(damaged)
        folder.curves.unlink()
        run(recipe(), pictures, folder, resume=True)
        assert folder.metrics.read_text() == whole and folder.curves.is_file()


@pytest.mark.nojit
def test_resume_keeps_recipe_and_backend(recipe, pictures, folder, monkeypatch):
    with backend.using("numpy"):
        run(recipe(), pictures, folder)
        with pytest.raises(CheckpointError, match="no longer holds the recipe"):
            run(recipe(lr=0.01), pictures, folder, resume=True)
    with backend.using("loops"), pytest.raises(CheckpointError, match="pass --backend numpy"):
        run(recipe(), pictures, folder, resume=True)


@pytest.mark.nojit
@pytest.mark.parametrize("changes", [{"dropout": 0.5}, {"label_smoothing": 0.2}, {"cutout": 3}, {"mixup": 0.5},
                                     {"weight_decay": 0.05}, {"augment": False}, {"precision": "bf16"}],
                         ids=lambda changes: next(iter(changes)))
def test_every_choice_changes_the_run_and_resumes_to_the_same_bits(recipe, pictures, tmp_path, monkeypatch, changes):
    if "precision" in changes:  # the compiled kernels would refuse it on a CPU that has no instruction for it
        backend.use("numpy")
    ends = {}
    for name, config in (("plain", recipe()), ("changed", recipe(**changes)), ("halved", recipe(**changes))):
        with RunFolder.open(tmp_path / name, resume=False) as folder, monkeypatch.context() as patch:
            if name == "halved":
                stop_at_step(patch, 3)
                with pytest.raises(KeyboardInterrupt):
                    run(config, pictures, folder)
            else:
                run(config, pictures, folder)
        if name == "halved":
            with RunFolder.open(tmp_path / name, resume=True) as folder:
                run(config, pictures, folder, resume=True)
        ends[name] = weights(tmp_path / name / "last.npz")
    assert same(ends["changed"], ends["halved"])
    assert not same({k: ends["plain"][k] for k in ends["changed"]}, ends["changed"])


@pytest.mark.nojit
def test_the_loss_of_smoothed_labels_cannot_reach_zero(recipe, pictures, folder):
    run(recipe(epochs=6, label_smoothing=0.4, augment=False), pictures, folder)
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert min(record["train_loss"] for record in records) > 0.5  # the entropy of (0.8, 0.2)
    assert records[-1]["train_accuracy"] > 0.9


@pytest.mark.nojit
def test_early_stopping_goes_back_to_the_weights_that_were_kept(recipe, pictures, folder, monkeypatch):
    """All 8 pictures are right after epoch 2, which has no standard error; three lower epochs later the run stops, with the weights
    of epoch 2."""
    accuracies = iter([0.5, 1.0, 0.5, 0.875, 0.625, 1.0])
    validate = loop.Run.validate
    monkeypatch.setattr(loop.Run, "validate", lambda self: dataclasses.replace(validate(self), top1=next(accuracies)))
    tested = []
    test = loop.Run.test
    monkeypatch.setattr(
        loop.Run, "test", lambda self, net, **more: tested.append(net.stem.conv1.weight.data.copy()) or test(self, net, **more))
    result, lines = run(recipe(epochs=9, early_stopping=3), pictures, folder)
    assert (result["epochs"], result["best_epoch"], result["stopped_early"]) == (5, 2, True)
    assert "stopping   early: 3 epochs in a row stayed more than one standard error below the highest" in lines
    np.testing.assert_array_equal(tested[0], weights(folder.last)["conv1.weight"])
    np.testing.assert_array_equal(tested[1], weights(folder.best)["conv1.weight"])
    assert not np.array_equal(*tested)
    again, _ = run(recipe(epochs=9, early_stopping=3), pictures, folder, resume=True)  # nothing is left to be done
    assert (again["epochs"], again["test_accuracy"]) == (5, result["test_accuracy"])


@pytest.mark.nojit
def test_a_plain_net_trains(recipe, pictures, folder):
    result, lines = run(recipe(model="plain8", epochs=4), pictures, folder)
    assert result["test_accuracy"] > 0.9 and not result["stopped_early"]
    assert any("plain8, no shortcuts" in line for line in lines)
    assert load_checkpoint(folder.last).net.architecture["shortcut"] == "none"


@pytest.mark.nojit
@pytest.mark.parametrize(("epochs", "steps"), [(2, 3), (11, 4), (30, 10)])
def test_a_forecast_tries_a_tenth_of_the_run_at_most(recipe, pictures, folder, monkeypatch, epochs, steps):
    """But three steps at least, and ten at most; the run has four an epoch."""
    tried, step = [], report.training_step
    monkeypatch.setattr(report, "TRIAL_SECONDS", 1000)
    monkeypatch.setattr(report, "training_step", lambda *arguments, **options: tried.append(1) or step(*arguments, **options))

    def leave(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_epochs", leave)
    with backend.using("numpy"), pytest.raises(KeyboardInterrupt):
        run(recipe(epochs=epochs, augment=False), pictures, folder)
    assert len(tried) == steps


@pytest.mark.nojit
def test_a_forecast_tries_both_sizes_of_pictures(recipe, pictures, folder, monkeypatch):
    """Seven steps of twelve are with pictures of 8 pixels; a step takes as many seconds as a row has pixels."""
    config, seconds = recipe(epochs=3, image_size=16, start_scale=0.5, start_share=0.6), [0.0]

    def step(net, optimiser, x, *rest, **more):
        seconds[0] += x.shape[2]

    monkeypatch.setattr(report, "training_step", step)
    monkeypatch.setattr(report, "read", lambda results: results)
    monkeypatch.setattr(report, "time", SimpleNamespace(perf_counter=lambda: seconds[0]))
    started, lines = Run(config, pictures, folder), []
    for done, mean in ((0, (7 * 8 + 5 * 16) / 12), (5, (2 * 8 + 5 * 16) / 7), (8, 16)):
        started.progress.step = done
        report.forecast(started, lines.append)
        assert lines[-1].endswith(f"{12 - done} steps at {16 / mean:.0f} images/s")


@pytest.mark.nojit
def test_an_epoch_says_how_large_its_last_pictures_were(recipe, pictures, folder):
    """Seven steps of twelve are with pictures of half the side; an epoch has four."""
    with backend.using("numpy"):
        run(recipe(epochs=3, start_scale=0.5, start_share=0.6), pictures, folder)
    side = pictures.train_images.shape[2]
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [record["image_size"] for record in records] == [side // 2, side, side]


@pytest.mark.nojit
def test_small_pictures_have_no_mean_picture(recipe, pictures, folder):
    with pytest.raises(InputError, match="--start-scale: pictures of 4 pixels, but --normaliser per-pixel subtracts"):
        Run(recipe(start_scale=0.5, start_share=0.5, normaliser="per-pixel"), pictures, folder)


@pytest.mark.nojit
def test_early_stopping_waits_for_pictures_of_full_size(recipe, pictures, folder):
    """Of nine epochs of four steps the first five are of small pictures, of which the first was the best."""
    begun = Run(recipe(epochs=9, early_stopping=2, start_scale=0.5, start_share=0.6), pictures, folder)
    for done, stops in ((5, False), (6, False), (7, True)):
        begun.progress.records = [{"validation_accuracy": 0.75}] + [{"validation_accuracy": 0.25}] * (done - 1)
        assert loop._out_of_patience(begun) == stops


@pytest.mark.nojit
def test_the_last_step_is_of_full_size(recipe, pictures, folder):
    assert Run(recipe(epochs=1, max_steps=1, start_scale=0.5, start_share=0.9), pictures, folder).start_steps == 0
