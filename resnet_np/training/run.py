"""One run: what it trains on, the net, the optimiser, and where it is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resnet_np import backend
from resnet_np.data import CIFAR10, Normaliser, TrainLoader, evaluation_batches, train_validation_split
from resnet_np.errors import CheckpointError, InputError
from resnet_np.models import Checkpoint, ResNet, build, load_checkpoint, save_checkpoint
from resnet_np.models.checkpoint import load_arrays, net_arrays
from resnet_np.optim import SGD
from resnet_np.training import provenance
from resnet_np.training.config import Config
from resnet_np.training.evaluation import Evaluation, evaluate
from resnet_np.training.provenance import Pictures
from resnet_np.training.run_folder import RunFolder

EVALUATION_BATCH = 250  # pictures: enough to keep the kernels busy, few enough to stay small in memory


@dataclass
class Progress:
    """Where a run is. It is saved with every checkpoint, so that a resumed run continues in the middle of an epoch."""

    step: int = 0
    loss: float = 0.0  # sums over the steps of the current epoch
    correct: int = 0
    epoch_seconds: float = 0.0
    seconds: float = 0.0  # training and validation, all sessions together
    best_epoch: int = 0
    best_accuracy: float = -1.0
    records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, default in vars(type(self)).items():
            if isinstance(default, int | float) and not isinstance(getattr(self, name), int | type(default)):
                raise TypeError(f"{name} is {getattr(self, name)!r}")
        if not isinstance(self.records, list) or not all(isinstance(record, dict) for record in self.records):
            raise TypeError("records is no list of objects")


def build_net(config: Config, classes: int) -> ResNet:
    """The fresh net that a configuration asks for."""
    return build(
        config.model, shortcut=config.shortcut, zero_pad=config.zero_pad, stem=config.stem, stride_in=config.stride_in,
        width=config.width or None, dropout=config.dropout, classes=classes, zero_gamma=config.zero_gamma, fused=config.fused,
        seed=config.seed)


class Run:
    """One run: what it trains on, the net, the optimiser, and where it is."""

    def __init__(self, config: Config, pictures: Pictures, folder: RunFolder) -> None:
        self.config, self.pictures, self.folder = config, pictures, folder
        train, self.validation = train_validation_split(len(pictures.train_images), split_seed=config.split_seed)
        if config.limit_train:
            if config.limit_train > len(train):
                raise InputError(
                    f"--limit-train: got {config.limit_train}, but {len(train)} training pictures are left after the split"
                )
            train = train[: config.limit_train]
        if config.batch_size > len(train):
            raise InputError(
                f"--batch-size: got {config.batch_size}, but there are only {len(train)} training pictures; choose a smaller batch"
            )
        self.train_count = len(train)
        images, labels = pictures.train_images[train], pictures.train_labels[train]
        self.normaliser = _normaliser(config, pictures.name, images)
        self.loader = TrainLoader(
            images,
            labels,
            self.normaliser,
            batch_size=config.batch_size,
            seed=config.seed,
            augment=config.augment,
            cutout=config.cutout,
            mixup=config.mixup,
            classes=len(pictures.classes),
        )
        self.total = config.total_steps(self.loader.steps_per_epoch)
        self.rate = config.learning_rates(self.total)
        self.net = build_net(config, len(pictures.classes))
        self.optimiser = SGD(
            self.net.named_parameters(),
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
            decay=config.decay,
        )
        self.progress = Progress()

    def resume(self) -> Path:
        """Go back to where the folder's newest checkpoint was written -> its path.

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
            config, used = Config.from_json(checkpoint.metadata["config"]), checkpoint.metadata["backend"]
            different = dataset["digest"] != provenance.fingerprint(self.pictures)["digest"]
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"--resume: {path} does not say where its run was; only a last.npz can be resumed") from error
        if different:
            raise CheckpointError(
                f"--resume: the run was trained on other pictures ({dataset.get('origin')}) than {self.pictures.name} at "
                f"{self.pictures.origin}; give its own with --data"
            )
        if config != self.config:
            raise CheckpointError(
                f"--resume: {self.folder.config} no longer holds the recipe that {path} was trained with; restore it"
            )
        if used != backend.current():  # the next steps would have other bits
            raise CheckpointError(f"--resume: the run uses the backend {used}, not {backend.current()}; pass --backend {used}")
        load_arrays(self.net, net_arrays(checkpoint.net))
        self.optimiser.load_state(checkpoint.velocities)
        self.progress = progress
        return path

    def save(self, path: Path, *, resumable: bool) -> None:
        """Write the net; with the optimiser's state and the place in the run if it is to be resumed from."""
        metadata = {
            "config": self.config.to_json(),
            "dataset": provenance.fingerprint(self.pictures),
            "versions": provenance.versions(),
            "backend": backend.current(),
            "progress": vars(self.progress),
        }
        velocities = self.optimiser.state() if resumable else {}
        checkpoint = Checkpoint(self.net, self.normaliser, self.pictures.classes, metadata, velocities)
        save_checkpoint(path, checkpoint, previous=self.folder.previous if resumable else None)

    def restore_best(self) -> None:
        """Give the net the weights that were best on validation. Raises CheckpointError if they cannot be read."""
        try:
            load_arrays(self.net, net_arrays(load_checkpoint(self.folder.best).net))
        except CheckpointError as error:
            raise CheckpointError(f"the best weights are lost: {error}; the last ones are safe in {self.folder.last}") from error

    def validate(self) -> Evaluation:
        return self._evaluate(self.net, self.pictures.train_images[self.validation], self.pictures.train_labels[self.validation])

    def test(self, net: ResNet) -> Evaluation:
        return self._evaluate(net, self.pictures.test_images, self.pictures.test_labels)

    def _evaluate(self, net: ResNet, images: np.ndarray, labels: np.ndarray) -> Evaluation:
        batches = evaluation_batches(images, labels, self.normaliser, batch_size=EVALUATION_BATCH)
        return evaluate(net, batches, classes=len(self.pictures.classes))


def _normaliser(config: Config, name: str, images: np.ndarray) -> Normaliser:
    if config.normaliser == "per-pixel":
        return Normaliser.per_pixel(images)
    return CIFAR10 if name == "cifar10" else Normaliser.measured(images)
