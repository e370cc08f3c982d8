"""Checks of notebook 8, Fine-tuning."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.data import Normaliser, resize
from resnet_np.models import Checkpoint, resnet_cifar
from resnet_np.models.transfer import freeze
from resnet_np.training import RunFolder
from resnet_np.training.finetune import FinetuneRun
from resnet_np.training.finetune_config import FinetuneConfig
from resnet_np.tutor.checking import call, describe, exercise, same, wrong


@exercise("8.1")
def learning(answer: Any) -> str:
    for depth, count in ((8, 0), (8, 1), (14, 3), (8, 4)):
        net = resnet_cifar(depth, width=8, classes=5)
        freeze(net, [name for stage in net.stages[:count] for name in stage])
        expected = sum(p.data.size for p in net.named_parameters().values() if not p.frozen)
        same(call(answer, resnet_cifar(depth, width=8, classes=5), count), expected, given=f"a ResNet-{depth}, count={count}",
             hint="net.stages[:count] is a list of lists of names; freeze wants one list; then sum p.data.size where not p.frozen")
    return "from everything to the head alone"


@exercise("8.2")
def factors(answer: Any) -> str:
    net = resnet_cifar(8, width=8, classes=2)
    for share, head in ((0.5, 10.0), (1.0, 3.0), (0.2, 1.0)):
        expected = _library_factors(net, share, head)
        got = call(answer, net, share, head)
        given = f"share={share:g}, head={head:g}"
        if not isinstance(got, dict):
            wrong(f"for {given} expected a dictionary, got {describe(got)}")
        if set(got) != set(expected):
            odd = sorted(set(expected) - set(got)) or sorted(map(str, set(got) - set(expected)))
            wrong(f"for {given} the names are not those of net.named_parameters(): see {odd[0]}")
        for name, factor in expected.items():
            same(got[name], factor, given=given, what=name,
                 hint="the last stage has the factor 1, the one before it `share`, the next share * share; fc has `head`")
    return "the factors are those that resnet-np finetune uses"


def _library_factors(net: Any, share: float, head: float) -> dict[str, float]:
    images, labels = np.zeros((20, 3, 8, 8), np.uint8), np.arange(20) % 2
    pictures: Any = SimpleNamespace(name="two", classes=("a", "b"), train_images=images, train_labels=labels, test_images=images,
                                    test_labels=labels, origin="", official=False, crop=1.0)
    config = FinetuneConfig(weights="a net", batch_size=2, stage_lr_mult=share, head_lr_mult=head)
    source = Checkpoint(net, Normaliser.channels((0.5,) * 3, (0.5,) * 3), ("a", "b"), image_size=8)
    return FinetuneRun(config, pictures, RunFolder(Path("unused")), source)._rates()


@exercise("8.3")
def softmax(answer: Any) -> str:
    rng = np.random.default_rng(0)
    for what, logits in (("two pictures of three classes", np.array([[0.0, 1, 2], [3, 3, 3]])),
                         ("one picture of 1,000 classes", rng.standard_normal((1, 1000))),
                         ("logits up to 1,000", np.array([[1000.0, 999, 0], [-1000, 0, 1]]))):
        with np.errstate(all="ignore"):
            got = call(answer, logits)
        same(got, F.softmax(logits), given=what,
             hint="subtract the largest logit of each row first, and divide by the sum of the row: axis=1, keepdims=True")
    return "rows add up to 1, whatever the number of classes and the size of the logits"


@exercise("8.4")
def prepare(answer: Any) -> str:
    rng = np.random.default_rng(0)
    normaliser = Normaliser.channels((0.2, 0.5, 0.7), (0.1, 0.2, 0.3))
    checkpoint = Checkpoint(resnet_cifar(8, width=8, classes=2), normaliser, ("a", "b"), image_size=16)
    for size in (16, 24):
        pictures = rng.integers(0, 256, (2, 3, size, size), np.uint8)
        same(call(answer, pictures, checkpoint), normaliser(resize(pictures, 16)), given=f"pictures of {size} pixels a side",
             hint="first the size, checkpoint.image_size, then the pixels, checkpoint.normaliser")
    return "the size and the normaliser are those of the checkpoint"
