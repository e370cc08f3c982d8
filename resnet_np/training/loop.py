"""The training loop: epochs of steps, validation, checkpoints, and one look at the test set at the end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from resnet_np import backend
from resnet_np.backend import on_device
from resnet_np.errors import CheckpointError, TrainingError
from resnet_np.models.checkpoint import write_atomically
from resnet_np.optim.selection import kept_epoch
from resnet_np.training import arithmetic, diagnosis, novelty, provenance, report
from resnet_np.training.config import Config
from resnet_np.training.deadline import Deadline
from resnet_np.training.parts import compiled_as
from resnet_np.training.provenance import Pictures
from resnet_np.training.run import Run
from resnet_np.training.run_folder import RunFolder
from resnet_np.training.step import StepResult, read
from resnet_np.viz.curves import curves
from resnet_np.viz.style import save
from resnet_np.workspace import Workspace

SAVE_SECONDS = 60.0  # between two saves within an epoch: what a power cut may cost
# On the device losses are read once in so many steps, for to read one means to wait for it; in the second case if time is short.
READ_STEPS, READ_STEPS_DEADLINE = 50, 5


def train(
    config: Config, pictures: Pictures, folder: RunFolder, *, resume: bool, say: Callable[[str], None], progress: bool
) -> dict[str, Any]:
    """Train from scratch to the end, or until Ctrl-C -> what result.json holds; as `carry_out`."""
    return carry_out(Run(config, pictures, folder), resume=resume, say=say, progress=progress)


def carry_out(
    run: Run, *, resume: bool, say: Callable[[str], None], progress: bool, forecast: bool = True, deadline: Deadline | None = None
) -> dict[str, Any]:
    """Train to the end, or until Ctrl-C -> what result.json holds.

    say is given every line for the user; progress shows a bar; forecast takes a few steps to tell how long the run will take;
    deadline, if there is one, leaves steps out where the time would not be enough for them.
    Raises InputError for a configuration that does not fit the data, CheckpointError for a run that cannot be begun or resumed,
    TrainingError for one that failed on its way (numbers that are not finite, a full disk), and KeyboardInterrupt after Ctrl-C or
    SystemExit after SIGTERM, once the step is finished and saved.
    """
    config, folder = run.config, run.folder
    if resume:
        _resume(run, say)
    report.describe(run, say)
    if not resume:
        folder.write_json(folder.config, config.to_json())
        run.save(folder.last, resumable=True)
    try:
        with report.compiling_announced(say):
            return _to_the_end(run, say, progress, forecast, deadline)
    except backend.out_of_memory() as error:
        raise TrainingError(f"training, after step {run.progress.step:,}: {report.too_large(run)}") from error


def _to_the_end(
    run: Run, say: Callable[[str], None], progress: bool, forecast: bool, deadline: Deadline | None
) -> dict[str, Any]:
    config, folder = run.config, run.folder
    run.begin_epoch(len(run.progress.records) + 1)
    if backend.current() == "numba" and forecast:  # else whoever has measured the machine has compiled, too
        from resnet_np.kernels import compile

        compile.get_help(compiled_as(config))
    run.prepare(say)
    if forecast:
        report.forecast(run, say)
    try:
        _epochs(run, say, progress, deadline)
        return _finish(run, say)
    except TrainingError as error:
        raise TrainingError(
            f"training, after step {run.progress.step:,}: {error}. The run stops; {folder.last} is the last good checkpoint. "
            f"Start another with a lower --lr than {config.lr:g}, or a longer --warmup"
        ) from error
    except CheckpointError as error:  # the request could be met: it is the run that failed
        raise TrainingError(
            f"training, after step {run.progress.step:,}: {error}. The run stops; mend that, then --resume --out {folder.path}"
        ) from error


def _resume(run: Run, say: Callable[[str], None]) -> None:
    (source, used), last = run.resume(), run.folder.last
    note = "" if used == backend.current() else f", begun on the backend {used}: the next steps have other last bits there"
    if source != last:
        note += f", from {source.name}: {last.name} is {'damaged' if last.exists() else 'missing'}"
        os.replace(source, last)  # or the next save would keep the damaged one, in place of the good
    _write_records(run, say)  # cut back, or completed, to what the checkpoint knows
    if run.progress.left_out:
        note = f" ({run.progress.left_out:,} of {run.planned:,} were left out, to end in time){note}"
    say(f"resuming   after step {run.progress.step:,} of {run.total:,}{note}")


def _epochs(run: Run, say: Callable[[str], None], progress: bool, deadline: Deadline | None) -> None:
    workspace = Workspace()
    bar = tqdm(total=run.total, initial=run.progress.step, unit="step", disable=not progress, leave=False, dynamic_ncols=True)
    with _interruption() as interruption, bar:
        while (done := len(run.progress.records)) < _count_epochs(run) and not _out_of_patience(run):
            bar.set_description(f"epoch {done + 1}/{_count_epochs(run)}")
            left_out = run.progress.left_out
            _epoch(run, workspace, interruption, bar, deadline)
            _finish_epoch(run, say)
            if run.progress.left_out != left_out:
                pace = "slower     than it was measured" if run.progress.left_out > left_out else "faster     than it was lately"
                say(f"{pace}: {run.progress.left_out:,} of {run.planned:,} steps are left out, to end in time")
            interruption.obey()
    if done < _count_epochs(run):
        say(f"stopping   early: {run.config.early_stopping} epochs in a row stayed more than one standard error below the highest")


def _count_epochs(run: Run) -> int:
    return -(-run.total // run.loader.steps_per_epoch)


def _out_of_patience(run: Run) -> bool:
    """Early stopping: whether the kept epoch is long past. Prechelt 1998, "Early stopping - but when?"."""
    done, begun = len(run.progress.records), run.start_steps // run.loader.steps_per_epoch  # epochs of small pictures do not count
    return bool(done) and 0 < run.config.early_stopping <= done - max(_kept_epoch(run), begun)


def _kept_epoch(run: Run) -> int:
    return kept_epoch([record["validation_accuracy"] for record in run.progress.records], len(run.validation))


def _epoch(run: Run, workspace: Workspace, interruption: "_Interruption", bar: tqdm, deadline: Deadline | None) -> None:
    """The steps that are left of the current epoch."""
    state, steps, batch_size = run.progress, run.loader.steps_per_epoch, run.batch_size
    run.begin_epoch(len(state.records) + 1)
    first = len(state.records) * steps
    resumed, seconds_before = state.step, state.epoch_seconds  # the bar's rate is that of this process
    looked_at, seconds_then = state.step, state.epoch_seconds  # when the deadline was told last
    often = READ_STEPS_DEADLINE if deadline else READ_STEPS
    saved = time.perf_counter()
    unread: list[StepResult] = []
    while state.step < (last := min(first + steps, run.total)):
        start = time.perf_counter()
        t = state.step + 1
        result = run.step(t, workspace)
        unread.append(result)
        pause = interruption.signal or time.perf_counter() - saved > SAVE_SECONDS
        if pause or t == last or len(unread) == often or not on_device(result.loss):
            for loss, correct in read(unread):
                state.loss += loss
                state.correct += correct
            unread = []
        state.step = t
        state.epoch_seconds += time.perf_counter() - start
        done = t - first
        if not unread and deadline:
            deadline.took(run, t - looked_at, state.epoch_seconds - seconds_then)
            looked_at, seconds_then = t, state.epoch_seconds
            bar.total = run.total
        if not unread:
            bar.set_postfix_str(
                f"loss {state.loss / done:.3f}, accuracy {state.correct / done / batch_size:.1%}, "
                f"{(state.step - resumed) * batch_size / (state.epoch_seconds - seconds_before):.0f} images/s",
                refresh=False,
            )
        bar.update()
        if pause:
            diagnosis.check_state(run.net)
            run.save(run.folder.last, resumable=True)
            saved = time.perf_counter()
            interruption.obey()  # here, where it is saved: a signal since `pause` is for the next step


def _finish_epoch(run: Run, say: Callable[[str], None]) -> None:
    state, steps = run.progress, run.loader.steps_per_epoch
    epoch = len(state.records) + 1
    done = state.step - len(state.records) * steps
    diagnosis.check_state(run.net)
    start = time.perf_counter()
    validation = run.validate()
    validation_seconds = time.perf_counter() - start
    state.seconds += state.epoch_seconds + validation_seconds
    record = {
        "epoch": epoch,
        "step": state.step,
        "lr": run.rate(state.step),
        "image_size": run.start_size if state.step <= run.start_steps else run.image_size,
        "train_loss": state.loss / done,
        "train_accuracy": state.correct / (done * run.batch_size),
        "validation_loss": validation.loss,
        "validation_accuracy": validation.top1,
        "validation_count": validation.count,
        "training_seconds": state.epoch_seconds,
        "images_per_second": done * run.batch_size / state.epoch_seconds,
        "seconds": state.epoch_seconds + validation_seconds,
    }
    state.records.append(record)
    state.loss, state.correct, state.epoch_seconds = 0.0, 0, 0.0
    if _kept_epoch(run) == epoch:
        state.best_epoch, state.best_accuracy = epoch, validation.top1
        run.save(run.folder.best, resumable=False)
    run.save(run.folder.last, resumable=True)
    _write_records(run, say)
    say(report.epoch_line(record, _count_epochs(run), kept=state.best_epoch == epoch))


def _write_records(run: Run, say: Callable[[str], None]) -> None:
    records = run.progress.records
    run.folder.write_metrics(records)
    if records:
        try:
            write_atomically(run.folder.curves, lambda stream: save(curves(records), stream))
        except CheckpointError as error:
            say(f"curves     {error}; the run goes on")


def _finish(run: Run, say: Callable[[str], None]) -> dict[str, Any]:
    """The test set is read here, and only here: for the last weights and, once they are restored, for those that were kept."""
    state = run.progress
    last = None if state.best_epoch == len(state.records) else run.test(run.net)  # None: they are those that were kept
    run.restore_best()
    best = run.test(run.net, views=run.config.views)
    last = last or best
    pictures_seen = state.step * run.batch_size
    training_seconds = sum(record["training_seconds"] for record in state.records)
    result = {
        "test_accuracy": best.top1,
        **({} if best.top1_views is None else {"test_accuracy_views": best.top1_views}),
        "last_test_accuracy": last.top1,
        "test_loss": best.loss,
        "last_test_loss": last.loss,
        "best_epoch": state.best_epoch,
        "validation_accuracy": state.best_accuracy,
        "validation_count": len(run.validation),
        "epochs": len(state.records),
        "stopped_early": _out_of_patience(run),
        "steps": state.step,
        "steps_left_out": state.left_out,
        "seconds": state.seconds,
        "images_per_second": pictures_seen / training_seconds,
        "dataset": provenance.fingerprint(run.pictures),
        "seed": run.config.seed,
        "config": run.config.to_json(),
        "backend": backend.current(),
        "precision": run.config.precision,
        "micro_kernel": arithmetic.micro_kernel(run.config.precision),
        "threads": provenance.threads(),
        "versions": provenance.versions(),
    }
    run.folder.write_json(run.folder.result, result)
    say(
        f"test       {best.top1:.2%} with the weights that validation kept (epoch {state.best_epoch}), {last.top1:.2%} with the "
        f"last ({last.count:,} pictures)"
    )
    if best.top1_views is not None:
        say(f"           {best.top1_views:.2%} where each answer is the average of six views")
    say("typical    learning what the training pictures have in common, so that predict can tell what is unlike them")
    try:
        run.describe_pictures()
    except novelty.NothingTypical as error:
        say(f"           left out, so that predict gives no caution: {error}")
    say(f"run        {run.folder.path}: result.json, curves.png, best.npz, last.npz, metrics.jsonl")
    return result


class _Interruption:
    """The signal that asks the run to stop, once there was one."""

    signal: int = 0

    def obey(self) -> None:
        """Leave the run as Python leaves a program at that signal. Call it when all is saved."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal:
            raise SystemExit(128 + self.signal)


@contextmanager
def _interruption() -> Iterator[_Interruption]:
    """Ctrl-C and SIGTERM are noted, so that the step can be finished and saved; a second one stops at once."""
    found = _Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return

    def note(number: int, _: object) -> None:
        found.signal = number
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield found
    finally:
        restore()
