"""What a weight file leaves open about its net, and what those who wrote it do.

Neither the side of option A's zeros, nor the place of a bottleneck's stride, nor anything about pictures leaves a trace in names
and shapes. Nor do these, which cannot be given, since the nets here know nothing else: another activation than ReLU, dilation,
batch norm's eps (1e-5, PyTorch's), pools before strides that smooth (timm's `aa`), a max pool after a 3x3 stem, and Hugging Face's
`downsample_in_first_stage`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from resnet_np.data.normalise import Normaliser, named_normaliser
from resnet_np.errors import InputError
from resnet_np.models.foreign.dialects import AKAMASTER, CHENYAOFO, KUANGLIU
from resnet_np.models.layout import BOTTLENECKS
from resnet_np.words import LONGEST_NAME, fits_on_a_line, one_line

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGENET_CLASSES = 1000
CHOICES = {"zero_pad": ("both", "end"), "stride_in": ("3x3", "1x1")}


@dataclass(frozen=True)
class Wishes:
    """What the caller says instead of the conventions; None: nothing."""

    zero_pad: str | None = None
    stride_in: str | None = None
    normaliser: str | Normaliser | None = None
    class_names: Sequence[str] | None = None
    image_size: int | None = None
    crop: float | None = None

    def given(self) -> list[str]:
        return [name for name, value in vars(self).items() if value is not None]


@dataclass(frozen=True)
class Settled:
    """What was open, and which of it is assumed, for the user and for the checkpoint: {"zero_pad": "both", ...}."""

    architecture: dict[str, Any]
    normaliser: Normaliser
    class_names: tuple[str, ...]
    image_size: int
    crop: float
    assumed: dict[str, str]


def leaves_open(name: str, architecture: Mapping[str, Any]) -> bool:
    """Whether such a net is another one with the other of CHOICES[name]."""
    if name == "zero_pad":
        return architecture.get("shortcut") == "A"
    return architecture["family"] == "resnet_imagenet" and architecture["depth"] in BOTTLENECKS


def settle(dialect: str, architecture: Mapping[str, Any], wishes: Wishes) -> Settled:
    """Raises InputError for a wish that makes no sense, or that this net has no use for."""
    architecture, assumed = dict(architecture), {}
    for name in CHOICES:
        wish, use = getattr(wishes, name), leaves_open(name, architecture)
        if wish is not None and wish not in CHOICES[name]:
            raise InputError(f"{name}: got {wish!r}, expected {' or '.join(CHOICES[name])}")
        if wish is not None and not use:
            nets = "option-A shortcuts" if name == "zero_pad" else "bottlenecks"
            raise InputError(f"{name}: it is for nets with {nets}, and this one has none; leave it out")
        if use:
            architecture[name] = wish or architecture[name]
            if not wish:
                assumed[name] = architecture[name]
    if wishes.normaliser is None:
        assumed["normaliser"] = _normaliser(dialect, architecture)
    normaliser = wishes.normaliser or assumed["normaliser"]
    large = architecture.get("stem") == "imagenet"
    size, crop = (224, 0.875) if large else (32, 1.0)  # torchvision, timm: the middle 224 pixels of 256
    if wishes.image_size is None:
        assumed["image_size"] = str(size)
    if wishes.crop is None:
        assumed["crop"] = str(crop)
    return Settled(
        architecture,
        named_normaliser(normaliser) if isinstance(normaliser, str) else normaliser,
        _class_names(architecture, wishes.class_names, assumed),
        size if wishes.image_size is None else wishes.image_size,
        crop if wishes.crop is None else float(wishes.crop),
        assumed,
    )


def _normaliser(dialect: str, architecture: Mapping[str, Any]) -> str:
    """A name that `named_normaliser` knows."""
    if dialect == CHENYAOFO:
        return "cifar100" if architecture["classes"] == 100 else "cifar10-0.2023"  # logs/ of pytorch-cifar-models
    if dialect == KUANGLIU:
        return "cifar10-0.2023"
    # Torchvision's net with a CIFAR stem is its class with another conv1, trained by someone who measured CIFAR-10 or took
    # torchvision's numbers; huyvnphan's PyTorch_CIFAR10, the best known, did the former.
    return "cifar10" if dialect != AKAMASTER and architecture.get("stem") == "cifar" else "imagenet"


def _class_names(architecture: Mapping[str, Any], wish: Sequence[str] | None, assumed: dict[str, str]) -> tuple[str, ...]:
    classes = architecture["classes"]
    if wish is not None:
        names = tuple(wish)
        if len(names) != classes:
            raise InputError(f"class names: got {len(names):,}, expected {classes:,}, one an output of the net")
        for number, name in enumerate(names, 1):
            if not fits_on_a_line(name):
                raise InputError(f"class names: number {number:,} is {one_line(repr(name), 60)}, expected a text of 1 to "
                                 f"{LONGEST_NAME} letters that can be printed")
        if len(set(names)) != classes:
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"class names: {twice!r} occurs {names.count(twice)} times, expected {classes:,} different ones")
        return names
    if classes == len(CIFAR10_CLASSES) and architecture.get("stem") != "imagenet":
        assumed["class_names"] = "CIFAR-10's"
        return CIFAR10_CLASSES
    if classes == IMAGENET_CLASSES:
        assumed["class_names"] = "ImageNet's"
        return imagenet_classes()
    assumed["class_names"] = f"class 0 to class {classes - 1}"
    return tuple(f"class {number}" for number in range(classes))


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 names of ImageNet's classes in the order of their outputs.

    Source: torchvision 0.29.1, torchvision/models/_meta.py; Copyright (c) Soumith Chintala 2016, BSD-3-Clause. The two cranes and
    the two maillots are told apart there.
    """
    text = resources.files("resnet_np.models").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
