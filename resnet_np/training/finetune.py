"""Fine-tuning: a run that starts from weights that were learned on other pictures.

Yosinski et al. 2014, "How transferable are features in deep neural networks?": the first stages are general, the last ones belong
to their task. So the head is replaced, stages may be frozen or learn more slowly, and thaw one after the other.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from resnet_np.backend import to_device, to_device_at_once, to_host
from resnet_np.data import Normaliser, evaluation_batches, generator
from resnet_np.errors import InputError
from resnet_np.layers import WhitenedStem
from resnet_np.models import Checkpoint, ResNet, names
from resnet_np.models.transfer import freeze, with_head
from resnet_np.training import provenance, report
from resnet_np.training.evaluation import Evaluation, evaluate
from resnet_np.training.finetune_config import NEW_HEAD_LR_MULT, SAME_CLASSES_STAGE_LR_MULT, FinetuneConfig
from resnet_np.training.parts import check_image_size, evaluation_batch
from resnet_np.training.provenance import Pictures
from resnet_np.training.run import Run
from resnet_np.training.run_folder import RunFolder
from resnet_np.workspace import Workspace


class FinetuneRun(Run):
    """A run that begins with the net of `source`: weights from elsewhere or, resumed, the run's own last checkpoint."""

    config: FinetuneConfig

    def __init__(self, config: FinetuneConfig, pictures: Pictures, folder: RunFolder, source: Checkpoint) -> None:
        self._source = source
        # Decided once, and stored: a run that is resumed meets its own classes, whose head was new all the same.
        self._keeps_head = _keeps_head(config, source, pictures)
        super().__init__(replace(config, head="keep" if self._keeps_head else "new"), pictures, folder)
        self._features: FeatureLoader | None = None

    def _begin(self, images: np.ndarray) -> tuple[ResNet, Normaliser]:
        config, source = self.config, self._source
        _check_split(config, source, self.pictures)
        mean = source.normaliser.mean
        if config.normaliser == "weights" and mean.shape[1:] not in ((1, 1), (self.image_size, self.image_size)):
            raise InputError(f"--image-size: pictures have {self.image_size} pixels, but the weights subtract a mean picture of "
                             f"{mean.shape[1]}; make them agree, or measure anew with --normaliser channel")
        net = with_head(source.net, classes=len(self.pictures.classes), keep=self._keeps_head, dropout=config.dropout,
                        fused=config.fused, seed=config.seed)
        if isinstance(net.stem, WhitenedStem):
            check_image_size(f"fast{net.architecture['depth']}", self.image_size)
        freeze(net, self._frozen(net, 1))
        return net, source.normaliser if config.normaliser == "weights" else self._measured(images)

    def _frozen(self, net: ResNet, epoch: int) -> list[str]:
        """The names of the layers that do not learn in that epoch."""
        stages, config = net.stages, self.config
        count = {"none": 0, "trunk": len(stages)}.get(config.freeze)
        if count is None:
            count = int(config.freeze) + 1  # the stem comes before the stages that are counted
            if count > len(stages):
                raise InputError(f"--freeze: got {config.freeze}, but {names.name_of(net)} has {len(stages) - 1} stages; "
                                 "give fewer, or trunk")
        if config.unfreeze_at:
            count -= max(0, epoch - config.unfreeze_at + 1)
        return [name for stage in stages[:max(0, count)] for name in stage]

    def _rates(self) -> dict[str, float]:
        """The head's own rate; each stage's, from the head back to the pictures, a multiple of the one behind it."""
        config, stages = self.config, self.net.stages
        factor = config.stage_lr_mult or (SAME_CLASSES_STAGE_LR_MULT if self._keeps_head else 1.0)
        rates = {"fc": config.head_lr_mult or (1.0 if self._keeps_head else NEW_HEAD_LR_MULT)}
        for place, stage in enumerate(stages):
            rates |= {name: factor ** (len(stages) - 1 - place) for name in stage}
        return {name: rates[name.partition(".")[0]] for name in self.net.named_parameters()}

    def _decays(self) -> dict[str, float]:
        return {}

    def how(self) -> str:
        head = "its own head" if self._keeps_head else f"a new head of {len(self.pictures.classes)} classes"
        frozen = {"none": "nothing frozen", "trunk": "trunk frozen"}.get(
            self.config.freeze, f"stem and {self.config.freeze} stage{'s' * (self.config.freeze != '1')} frozen")
        thaws = f", one stage thaws every epoch from epoch {self.config.unfreeze_at}" if self.config.unfreeze_at else ""
        return f"{head}, {frozen}{thaws}"

    def notes(self) -> list[str]:
        rates, found = self._rates(), []
        thaws = bool(self.config.unfreeze_at)
        learning = [name for name, parameter in self.net.named_parameters().items() if thaws or not parameter.frozen]
        if len({rates[name] for name in learning}) > 1:
            first = learning[0].partition(".")[0]
            found.append(f"learning rates: {rates[learning[0]]:g} times that of the last stage for "
                         f"{'the stem' if first in self.net.stem.children else first}, {rates['fc.weight']:g} times for the head")
        if (known := self._source.image_size) != self.image_size:
            found.append(f"the weights were trained on pictures of {known} pixels, these have {self.image_size}; --image-size "
                         f"{known} would cost {(known / self.image_size) ** 2:.3g} times the work")
        return found

    def advice(self) -> list[str]:
        head = [] if self.config.freeze == "trunk" and not self.config.unfreeze_at else [
            "let the last layer alone learn (--preset head)"]
        return head + self._longer_and_more_varied()

    def begin_epoch(self, epoch: int) -> None:
        freeze(self.net, self._frozen(self.net, epoch))

    def prepare(self, say: Callable[[str], None]) -> None:
        """With a trunk that stays frozen, and pictures that stay the same, the trunk's features are computed once."""
        if not all(parameter.frozen or name.startswith("fc.") for name, parameter in self.net.named_parameters().items()):
            return
        if why := self._why_features_change():
            say(f"features   cannot be kept from epoch to epoch: {why}; every step goes through the frozen trunk")
            return
        images, labels = self.pictures.train_images[self.train], self.pictures.train_labels[self.train]
        trial = 2 * evaluation_batch(self.image_size)
        self._trunk(images[:trial // 2], labels[:trial // 2])  # compiles
        start = time.perf_counter()
        self._trunk(images[:trial], labels[:trial])
        seconds = (time.perf_counter() - start) / len(images[:trial]) * (len(images) + len(self.validation))
        if seconds > 10:
            say(f"features   {report.duration(seconds)} for all pictures to go through the frozen trunk")
        start = time.perf_counter()
        features = self._trunk(images, labels)
        self._features = FeatureLoader(features, labels, batch_size=self.batch_size, seed=self.config.seed)
        held_back = self.pictures.train_images[self.validation], self.pictures.train_labels[self.validation]
        self._validation_features = self._trunk(*held_back), held_back[1].astype(np.int64)
        self.loader, self.learner = self._features, self.net.head
        seconds, count = time.perf_counter() - start, len(images) + len(held_back[0])
        self.trunk_seconds = seconds / count
        say(f"features   {count:,} pictures went through the frozen trunk once, in {seconds:.1f} s; the head learns from these")

    def _why_features_change(self) -> str | None:
        config = self.config
        reasons = {"the trunk thaws (--unfreeze-at)": config.unfreeze_at, "pictures are cropped and mirrored anew (--no-augment)":
                   config.augment, "holes are cut into them (--cutout)": config.cutout, "they are blended (--mixup)": config.mixup}
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _trunk(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """uint8 (N, 3, H, W) -> what the head is given, float32 (N, features)."""
        batches = evaluation_batches(
            images, labels, self.normaliser, batch_size=evaluation_batch(self.image_size), image_size=self.image_size)
        with Workspace():
            return np.concatenate([to_host(self.net.features(x)) for x, _ in batches])

    def validate(self) -> Evaluation:
        if self._features is None:
            return super().validate()
        return evaluate(self.learner, _batches(*self._validation_features), classes=len(self.pictures.classes))


class FeatureLoader:
    """Shuffled batches of features, in the order in which TrainLoader would give the pictures.

    features float32 (N, F), labels (N,) integers; the last, partial batch of an epoch is dropped.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, *, batch_size: int, seed: int) -> None:
        self.steps_per_epoch = len(features) // batch_size
        self._features, self._labels = features, labels.astype(np.int64)
        self._batch_size, self._seed = batch_size, seed

    def batch(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Step t, counted from 1 -> float32 (batch_size, F), int64 (batch_size,)."""
        epoch, place = divmod(t - 1, self.steps_per_epoch)
        order = generator(self._seed, epoch, "shuffle").permutation(len(self._features))
        pick = order[place * self._batch_size:(place + 1) * self._batch_size]
        there = to_device_at_once({"features": self._features[pick], "labels": self._labels[pick]})
        return there["features"], there["labels"]


def _check_split(config: FinetuneConfig, source: Checkpoint, pictures: Pictures) -> None:
    """Raises InputError if the weights were trained on pictures that would now be held back."""
    dataset, recipe = source.metadata.get("dataset", {}), source.metadata.get("config", {})
    same = dataset and dataset.get("digest") == provenance.fingerprint(pictures)["digest"]
    if same and recipe.get("split_seed", config.split_seed) != config.split_seed:
        raise InputError(f"--split-seed: got {config.split_seed}, but the weights were trained on the same pictures with split "
                         f"{recipe['split_seed']}, and know most of those that would be held back; pass --split-seed "
                         f"{recipe['split_seed']}")


def _batches(features: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((to_device(features[i:i + 1000]), labels[i:i + 1000]) for i in range(0, len(features), 1000))


def _keeps_head(config: FinetuneConfig, source: Checkpoint, pictures: Pictures) -> bool:
    same = source.class_names == pictures.classes
    if config.head == "keep" and not same:
        raise InputError(f"--head keep: the weights know the classes {', '.join(source.class_names[:4])}, ... but the pictures are "
                         f"of {', '.join(pictures.classes[:4])}, ...; make a new one (--head new)")
    return same and config.head != "new"
