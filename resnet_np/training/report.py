"""What a run tells its user: before the first step, after every epoch, and in result.json."""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

from resnet_np import backend
from resnet_np.data import generator
from resnet_np.models import names
from resnet_np.models.summary import summarise
from resnet_np.optim.selection import standard_error
from resnet_np.training import arithmetic, novelty, provenance
from resnet_np.training.parts import compiled_as, optimiser_of
from resnet_np.training.recipe import Recipe
from resnet_np.training.run import Run
from resnet_np.training.step import read, training_step
from resnet_np.workspace import Workspace

# The quickest of a few steps is believed: of three, if they take long, else of more, for two alone may fall into a noisy moment.
TRIAL_STEPS, TRIAL_SECONDS = (3, 10), 1.0
# Cost of evaluating a picture, in training pictures: forward alone against forward and two backward products.
EVALUATION_SHARE = 1 / 3
FEW_VALIDATION = 200  # pictures, below which the standard error of an accuracy of 50 % is above 3.5 points


def describe(run: Run, say: Callable[[str], None]) -> None:
    """Data, net, recipe and machine, a line each."""
    config, pictures = run.config, run.pictures
    shape = (3, run.image_size, run.image_size)
    with backend.using("numpy"):  # one image: not worth compiling kernels for, and this must not wait
        net = summarise(run.net, (1, *shape))
    count = provenance.threads()
    say(f"data       {provenance.name(pictures)}")
    say(
        f"           {len(run.train):,} training, {len(run.validation):,} validation, {len(pictures.test_images):,} test "
        f"pictures, {shape[1]}x{shape[2]}, {len(pictures.classes)} classes"
    )
    if (side := pictures.train_images.shape[2]) != run.image_size:
        say(f"           resized from {side} to {run.image_size} pixels a side: {(run.image_size / side) ** 2:.3g} times the work")
    if (n := len(run.validation)) < FEW_VALIDATION:
        say(f"caution    {len(run.train):,} training pictures are not many, and {n} for validation measure an accuracy to "
            f"+-{100 * standard_error(0.5, n):.0f} points")
        if not run.progress.step:  # a resumed run keeps to its recipe
            for start, advice in zip(chain(["worth trying:"], repeat("")), run.advice(), strict=False):
                say(f"           {start:13} {advice}")
    say(f"net        {names.describe(run.net)}")
    if how := run.how():
        say(f"           {how}")
    for note in run.notes():
        say(f"           {note}")
    say(f"           {net.parameters:,} parameters, {net.macs / 1e6:,.2f} million multiply-adds an image")
    say(
        f"recipe     {config.preset}, seed {config.seed}: {run.total:,} steps of {run.batch_size} pictures, learning rate up to "
        f"{config.lr:g} ({config.schedule})"
    )
    if run.start_steps:
        say(f"           the first {run.start_steps:,} steps with pictures of {run.start_size}x{run.start_size} pixels; meanwhile "
            f"validation, with {run.image_size}x{run.image_size}, says little")
    if run.batch_size < config.batch_size:
        say(f"           a batch is the whole training set, which is smaller than --batch-size {config.batch_size}")
    say(f"           momentum {config.momentum:g}, weight decay {config.weight_decay:g} ({config.decay}){_optimisation(config)}")
    if against := regularisers(config):
        say(f"           {', '.join(against)}")
    running = "" if count is None else f", {count} thread{'s' * (count != 1)}"
    if backend.current() == "cupy":
        running = f", {backend.device_name()}"
    say(f"machine    backend {backend.current()}{running}, {arithmetic.describe(config.precision)}")


def regularisers(config: Recipe) -> list[str]:
    """What is switched on against overfitting, beyond weight decay and the usual crops; what is off goes unsaid."""
    return [
        *([] if config.augment else ["no crops and mirror images"]),
        *([f"dropout {config.dropout:g}"] if config.dropout else []),
        *([f"label smoothing {config.label_smoothing:g}"] if config.label_smoothing else []),
        *([f"cutout {config.cutout}x{config.cutout}"] if config.cutout else []),
        *([f"mixup {config.mixup:g}"] if config.mixup else []),
        *([f"early stopping after {config.early_stopping} epochs"] if config.early_stopping else []),
    ]


def _optimisation(config: Recipe) -> str:
    """What else moves the weights, behind a comma; what is off goes unsaid."""
    muon, bias_rate = (getattr(config, name, off) for name, off in (("muon", 0.0), ("bias_rate", 1.0)))
    return "".join([
        f", convolutions by Muon up to {muon:g}" if muon else "",
        f", biases of batch norm {bias_rate:g} times as fast" if bias_rate != 1 else "",
        f", averaged every {config.lookahead} steps" if config.lookahead else ""])


@contextmanager
def compiling_announced(say: Callable[[str], None]) -> Iterator[None]:
    """Inside the `with` block: say so when kernels must be compiled, for then nothing else is said for a while."""
    if backend.current() != "numba":
        yield
        return
    from resnet_np.kernels import compile

    with compile.announced(lambda: say("compiling  kernels, once for this machine and version: half a minute or so")):
        yield


def forecast(run: Run, say: Callable[[str], None]) -> None:
    """Time a few steps of a twin of the net, which also compiles the kernels, and say how long the run will take."""
    left = run.total - run.progress.step
    quick = max(0, run.start_steps - run.progress.step)  # steps with smaller pictures
    step = _trial(run, run.start_steps + 1, left)
    training = step * (left - quick) + (_trial(run, 1, left) * quick if quick else 0.0)
    if backend.current() == "numba" and run.learner is run.net:  # a part of it does not need all kernels
        from resnet_np.kernels import compile

        compile.note_warm(compiled_as(run.config))
    picture = step * EVALUATION_SHARE / run.batch_size
    validating = -(-left // run.loader.steps_per_epoch) * len(run.validation) * picture
    testing = (1 + run.config.views) * len(run.pictures.test_images) * (run.trunk_seconds or picture)  # the last, and those kept
    describing = 2 * (min(novelty.MOST, len(run.train)) + min(novelty.MOST_HELD_OUT, len(run.validation)))
    total = training + validating + testing + describing * (run.trunk_seconds or picture)
    rate = run.batch_size * left / training if left else run.batch_size / step
    say(f"forecast   {duration(total)}, validation and test included: {left:,} steps at {rate:.0f} images/s")


def _trial(run: Run, t: int, left: int) -> float:
    """Seconds of a step like step t, of a twin of the net; left: the run's steps, of which a tenth is tried, three at least."""
    net = copy.deepcopy(run.learner)
    optimiser, workspace = optimiser_of(run.config, net.named_parameters(), rates={}, decays={}), Workspace()
    x, labels = run.loader.batch(t)
    seconds: list[float] = []
    least, most = TRIAL_STEPS
    most = min(most, max(least, left // 10))  # a run of few steps should not wait for as many
    while len(seconds) < least or len(seconds) < most and sum(seconds[1:]) < TRIAL_SECONDS:  # the first one compiles
        start = time.perf_counter()
        result = training_step(
            net, optimiser, x, labels, lr=1e-3, workspace=workspace, rng=generator(run.config.seed, 0, "dropout"))
        read([result])  # on the device: wait for it
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def epoch_line(record: dict[str, Any], epochs: int, *, kept: bool) -> str:
    """Loss and accuracy in training, then on validation (* kept so far) of how many pictures; about 105 columns, for a log."""
    width = len(str(epochs))
    return (
        f"epoch {record['epoch']:{width}}/{epochs}  loss {record['train_loss']:.3f}  accuracy {record['train_accuracy']:5.1%}   "
        f"validation {record['validation_loss']:.3f}  {record['validation_accuracy']:5.1%}{'*' if kept else ' '} "
        f"of {record['validation_count']:,}  lr {record['lr']:.4f} {record['images_per_second']:5.0f} images/s "
        f"{record['seconds']:5.0f} s"
    )


def too_large(run: Run) -> str:
    """What to say where the device's memory is full: which batch would fit, by what a step keeps of a picture."""
    total = backend.cupy().cuda.Device().mem_info[1]
    run.net.to_host()  # the device has no room for another picture
    with backend.using("numpy"):
        kept = summarise(run.net, (1, 3, run.image_size, run.image_size)).activation_bytes
    # gradients take as much again as activations, the columns of a slab and the optimiser the rest
    fits = max(1, min(run.batch_size // 2, int(0.7 * total / (2 * kept))))
    full = (f"the device's memory ({total / 2**30:.1f} GiB) is full with batches of {run.batch_size} pictures of "
            f"{run.image_size}x{run.image_size}")
    if run.batch_size == 1:
        return f"{full}; choose smaller pictures (--image-size) or a smaller net"
    return f"{full}; about {fits} would fit (--batch-size {fits})"


def duration(seconds: float) -> str:
    """About how long, in the unit that a person would use."""
    if seconds < 90:
        return f"about {seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"
