"""One run: what it trains on, the net, the optimiser, and where it is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from resnet_np import backend
from resnet_np.data import CIFAR10, Normaliser, TrainLoader, evaluation_batches, generator, some_of_all
from resnet_np.data.resize import resize
from resnet_np.errors import CheckpointError, InputError
from resnet_np.layers import BatchNorm2d, Layer, WhitenedStem
from resnet_np.layers.watch import leaves
from resnet_np.models import Checkpoint, ResNet, build, load_checkpoint, save_checkpoint
from resnet_np.models.checkpoint import load_arrays, net_arrays
from resnet_np.optim import Lookahead
from resnet_np.training import arithmetic, novelty, provenance
from resnet_np.training.config import Config
from resnet_np.training.evaluation import Evaluation, evaluate
from resnet_np.training.parts import augmentation, check_image_size, evaluation_batch, optimiser_of, parted, start_size
from resnet_np.training.progress import Progress
from resnet_np.training.provenance import Pictures
from resnet_np.training.recipe import Recipe
from resnet_np.training.run_folder import RunFolder
from resnet_np.training.step import StepResult, training_step
from resnet_np.words import one_path
from resnet_np.workspace import Workspace

WHITENING = 5000  # training pictures of 32x32 whose patches a whitening is measured on (Jordan 2024, section 3.2)


class Loader(Protocol):
    """Batches of the training pictures: `data.TrainLoader`, or what a frozen trunk makes of them."""

    steps_per_epoch: int

    def batch(self, t: int) -> tuple[np.ndarray, np.ndarray]: ...


class Run:
    """One run: what it trains on, the net, the optimiser, and where it is.

    This one starts from random weights; `finetune.FinetuneRun` from others'.

    net       the whole net        learner  what the steps go through: the net, or a part of it
    """

    config: Recipe

    def __init__(self, config: Recipe, pictures: Pictures, folder: RunFolder) -> None:
        self.config, self.pictures, self.folder = config, pictures, folder
        self.train, self.validation = parted(pictures, config)  # indices
        train = self.train
        self.batch_size = min(config.batch_size, len(train))  # pictures per step
        self.image_size, self.crop = config.image_size or pictures.train_images.shape[2], pictures.crop
        self.progress = Progress()
        self.planned = config.total_steps(len(train) // self.batch_size)  # steps
        self.start_size, self.start_steps = self._start()
        self.planned_start = self.start_steps
        images, labels = pictures.train_images[train], pictures.train_labels[train]
        arithmetic.check_training(config.precision)
        self.net, self.normaliser = self._begin(images)
        self.net.precision = config.precision
        self.net.to_device()
        self.learner: Layer = self.net
        self.trunk_seconds: float | None = None  # what evaluating a picture takes, where a step does not show it
        self.loader: Loader = TrainLoader(
            images,
            labels,
            self.normaliser,
            batch_size=self.batch_size,
            seed=config.seed,
            classes=len(pictures.classes),
            image_size=self.image_size,
            start=(self.start_size, self.start_steps),
            **augmentation(config),
        )
        self._schedule = config.learning_rates(self.planned)
        self.optimiser = optimiser_of(config, self.net.named_parameters(), rates=self._rates(), decays=self._decays())
        self.lookahead = Lookahead(net_arrays(self.net), every=config.lookahead, total=self.total) if config.lookahead else None

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.planned - self.progress.left_out

    @property
    def planned_left(self) -> int:
        """How many steps would be left, had none been left out of what is to come."""
        return int(self.planned - self.progress.place_of(self.progress.step, self.planned))

    def rate(self, t: int) -> float:
        """The learning rate of step t, for t from the last change of `end_after` on."""
        return self._schedule(round(self.progress.place_of(t, self.planned)))

    def end_after(self, total: int) -> None:
        """Take `total` steps in all: more than were taken, and no more than `planned_left` from here. They go through what is left
        of the schedule, and of the smaller pictures, in strides of one step or more."""
        self.progress.end_after(total, planned=self.planned, start_steps=self.start_steps)
        self._follow()

    def _follow(self) -> None:
        """What is counted in steps, as it was last changed."""
        if self.progress.cut:
            self.start_steps = cast(TrainLoader, self.loader).start_steps = int(self.progress.small)
            if self.lookahead:
                self.lookahead.total = self.total

    def _start(self) -> tuple[int, int]:
        """The side of the pictures of the first steps, and how many steps these are; none in most recipes."""
        size = start_size(self.config, self.image_size)
        if size == self.image_size:
            return size, 0
        if self.config.normaliser == "per-pixel":
            raise InputError(f"--start-scale: pictures of {size} pixels, but --normaliser per-pixel subtracts a mean picture of "
                             f"{self.image_size}; pass --start-scale 1, or leave --normaliser out")
        return size, min(round(cast(Config, self.config).start_share * self.total), self.total - 1)

    def _begin(self, images: np.ndarray) -> tuple[ResNet, Normaliser]:
        """The net before the first step, and how pictures are normalised."""
        config = cast(Config, self.config)
        net = build(
            config.model, shortcut=config.shortcut, zero_pad=config.zero_pad, stem=config.stem, stride_in=config.stride_in,
            width=config.width or None, dropout=config.dropout, classes=len(self.pictures.classes), zero_gamma=config.zero_gamma,
            fused=config.fused, seed=config.seed)
        normaliser = self._measured(images)
        if isinstance(net.stem, WhitenedStem):
            check_image_size(config.model, self.image_size)
            few = max(10, WHITENING * 32**2 // self.image_size**2)  # as many patches of larger pictures
            few_of_all = some_of_all(self.pictures.train_labels[self.train], few)
            net.stem.whiten(normaliser(resize(images[few_of_all], self.image_size)))
        return net, normaliser

    def _measured(self, images: np.ndarray) -> Normaliser:
        """The normaliser of the training pictures, as the recipe wants it. CIFAR-10's channels are known."""
        if self.config.normaliser != "per-pixel":
            return CIFAR10 if self.pictures.name == "cifar10" else Normaliser.measured(images)
        if self.image_size != images.shape[2]:
            raise InputError(f"--normaliser per-pixel: the mean picture has {images.shape[2]} pixels a side, but --image-size is "
                             f"{self.image_size}; leave one of them out")
        return Normaliser.per_pixel(images)

    def _rates(self) -> dict[str, float]:
        """What the learning rate is multiplied by, by parameter name."""
        rate = cast(Config, self.config).bias_rate
        return {f"{name}.bias": rate for name, layer in leaves(self.net).items() if isinstance(layer, BatchNorm2d)}

    def _decays(self) -> dict[str, float]:
        """What the weight decay is multiplied by: less where the rate is higher, so that a step takes the same share of all."""
        return {name: 1 / rate for name, rate in self._rates().items()}

    def how(self) -> str:
        """What of the net learns, in half a line for the user; nothing where everything does, from random weights."""
        return ""

    def notes(self) -> list[str]:
        """What else the user should know before the first step."""
        return []

    def advice(self) -> list[str]:
        """What helps where the training pictures are few, of what this run does not do yet."""
        return ["start from trained weights (resnet-np finetune WEIGHTS --preset head)",
                *self._longer_and_more_varied()]

    def _longer_and_more_varied(self) -> list[str]:
        config = self.config
        return [*([] if config.max_steps else [f"more epochs (--epochs {5 * config.epochs})"]),
                *([] if config.augment else ["crops and mirror images, where a mirror image is one of its class (--augment)"]),
                *([] if config.mixup or config.cutout else [f"more augmentation (--cutout {self.image_size // 4}, --mixup 0.2)"])]

    def prepare(self, say: Callable[[str], None]) -> None:
        """What is to be done once before the first step."""

    def begin_epoch(self, epoch: int) -> None:
        """What changes with the epoch, counted from 1; called again when a run is resumed within one."""

    def step(self, t: int, workspace: Workspace) -> StepResult:
        """Step t, counted from 1: learn from its batch."""
        with workspace:
            x, labels = self.loader.batch(t)
        result = training_step(
            self.learner, self.optimiser, x, labels, lr=self.rate(t), workspace=workspace, smoothing=self.config.label_smoothing,
            rng=generator(self.config.seed, t, "dropout"))
        if self.lookahead:
            self.lookahead.step(t)
        return result

    def resume(self) -> tuple[Path, str]:
        """Go back to where the folder's newest checkpoint was written -> its path, and the backend that wrote it.

        Raises CheckpointError if it belongs to another run.
        """
        path, checkpoint = self.folder.newest()
        if checkpoint.net.architecture != self.net.architecture or checkpoint.class_names != self.pictures.classes:
            raise CheckpointError(
                f"--resume: {path} holds another net ({checkpoint.net.architecture}), expected {self.net.architecture}; "
                "resume with the options that the run was started with"
            )
        try:
            dataset, progress = checkpoint.metadata["dataset"], Progress(**checkpoint.metadata["progress"])
            config, used = type(self.config).from_json(checkpoint.metadata["config"]), checkpoint.metadata["backend"]
            different = dataset["digest"] != provenance.fingerprint(self.pictures)["digest"]
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"--resume: {path} does not say where its run was; only a last.npz can be resumed") from error
        if different:
            places = dataset.get("origin", ""), provenance.fingerprint(self.pictures)["origin"]
            known, here = map(one_path, places)
            what = ("have changed since it began; restore them" if places[0] == places[1]
                    else f"({known}) are others than {self.pictures.name} at {here}; give its own with --data")
            raise CheckpointError(f"--resume: the pictures that the run was trained on {what}, or start another run")
        if config != self.config:
            raise CheckpointError(
                f"--resume: {self.folder.config} no longer holds the recipe that {path} was trained with; restore it"
            )
        if used != backend.current() and "cupy" not in (used, backend.current()):  # the next steps would have other bits
            raise CheckpointError(f"--resume: the run uses the backend {used}, not {backend.current()}; pass --backend {used}")
        if used == backend.current():
            arithmetic.check_resume(self.config.precision, checkpoint.metadata, self.folder.path)
        load_arrays(self.net, net_arrays(checkpoint.net))
        self.optimiser.load_state(checkpoint.velocities)
        if self.lookahead:
            self.lookahead.load_state(checkpoint.averages)
        self.progress = progress
        self._follow()
        return path, used

    def save(self, path: Path, *, resumable: bool) -> None:
        """Write the net; with the optimiser's state and the place in the run if it is to be resumed from."""
        metadata = {
            "config": self.config.to_json(),
            "dataset": provenance.fingerprint(self.pictures),
            "versions": provenance.versions(),
            "backend": backend.current(),
            "micro_kernel": arithmetic.micro_kernel(self.config.precision),
            "progress": vars(self.progress),
        }
        checkpoint = Checkpoint(
            self.net, self.normaliser, self.pictures.classes, metadata, image_size=self.image_size, crop=self.crop,
            velocities=self.optimiser.state() if resumable else {},
            averages=self.lookahead.state() if resumable and self.lookahead else {})
        save_checkpoint(path, checkpoint, previous=self.folder.previous if resumable else None)

    def restore_best(self) -> None:
        """Give the net the weights that validation kept. Raises CheckpointError if they cannot be read."""
        try:
            load_arrays(self.net, net_arrays(load_checkpoint(self.folder.best).net))
        except CheckpointError as error:
            raise CheckpointError(
                f"the weights that validation kept are lost: {error}; the last ones are safe in {self.folder.last}") from error

    def describe_pictures(self) -> None:
        """Add to the best checkpoint what its training pictures have in common; its weights must have been restored.

        No more pictures are looked at than the run has trained on, so that a trial of a few steps ends when they end.
        Raises NothingTypical, which says why, if it cannot be told.
        """
        best = load_checkpoint(self.folder.best)
        if best.typical:  # a finished run was resumed
            return
        images = self.pictures.train_images
        typical = novelty.learn(
            self.net, self.normaliser, images[self.train], images[self.validation], image_size=self.image_size,
            seed=self.config.seed, most=min(novelty.MOST, self.progress.step * self.batch_size))
        save_checkpoint(self.folder.best, replace(best, typical=typical))

    def validate(self) -> Evaluation:
        return self.evaluate(self.net, self.pictures.train_images[self.validation], self.pictures.train_labels[self.validation])

    def test(self, net: ResNet, *, views: int = 1) -> Evaluation:
        return self.evaluate(net, self.pictures.test_images, self.pictures.test_labels, views=views)

    def evaluate(self, net: ResNet, images: np.ndarray, labels: np.ndarray, *, views: int = 1) -> Evaluation:
        """How good a net is on pictures, uint8 (N, 3, H, W), and their labels, as this run normalises and resizes them."""
        batches = evaluation_batches(
            images, labels, self.normaliser, batch_size=evaluation_batch(self.image_size), image_size=self.image_size)
        return evaluate(net, batches, classes=len(self.pictures.classes), views=views)
