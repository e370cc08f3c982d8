"""Whose names the tensors of a weight file have, and which net they make up.

Sources: torchvision/models/resnet.py, timm/models/resnet.py (its resnet18 ... 152 have torchvision's names),
akamaster/pytorch_resnet_cifar10, chenyaofo/pytorch-cifar-models, kuangliu/pytorch-cifar and
transformers/models/resnet/modeling_resnet.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.source import listing
from resnet_np.models.layout import BLOCKS, BOTTLENECKS, STAGES

# Every ResNet of theirs has this convolution, or Hugging Face's this one. What stands before it are the names of whatever holds the
# net: DataParallel's "module.", torch.compile's "_orig_mod.", "model.", "backbone." ...
ANCHORS = ("layer1.0.conv1.weight", "embedder.embedder.convolution.weight")
NETS = "resnet18, 34, 50, 101, 152 and the CIFAR nets of 6n+2 layers"
HUGGING_FACE = "Hugging Face"
AKAMASTER, CHENYAOFO, KUANGLIU = "akamaster CIFAR", "chenyaofo CIFAR", "kuangliu CIFAR"
TORCHVISION = "torchvision"
# Counters of PyTorch's batch norm, and what belongs to training.
HARMLESS = re.compile(r"(.*\.)?num_batches_tracked|(.*\.)?(optimizer|scheduler|criterion)\..*")


class Dialect(NamedTuple):
    """name: as the user is told. file_name: our name of a tensor -> its name in the file."""

    name: str
    file_name: Callable[[str], str]


def detect(arrays: Mapping[str, np.ndarray]) -> Dialect:
    """Raises CheckpointError, naming some of the tensors, if their names are nobody's, or those of several nets."""
    prefix, hugging_face = _place(arrays)
    if hugging_face:
        outer = prefix.removesuffix("resnet.")
        return Dialect(HUGGING_FACE, lambda name: outer + _hugging_face(name, prefix.removeprefix(outer)))
    names = {name.removeprefix(prefix) for name in arrays if name.startswith(prefix)}
    four_stages = "layer4.0.conv1.weight" in names
    if "linear.weight" in names or any(".shortcut." in name for name in names):
        return Dialect(KUANGLIU if four_stages else AKAMASTER, lambda name: prefix + _with_linear(name))
    return Dialect(TORCHVISION if four_stages else CHENYAOFO, lambda name: prefix + name)


def _place(arrays: Mapping[str, np.ndarray]) -> tuple[str, bool]:
    """What stands before the names of the net, and whether it is one of Hugging Face."""
    found = [(name.removesuffix(anchor), anchor == ANCHORS[1]) for name in arrays for anchor in ANCHORS
             if (name == anchor or name.endswith(f".{anchor}")) and not HARMLESS.fullmatch(name)]
    if not found:
        raise CheckpointError(
            f"its tensors have the names {listing(arrays)}, which are those of no ResNet of torchvision, timm, Hugging Face or the "
            f"CIFAR collections (akamaster, chenyaofo, kuangliu); {NETS} can be loaded"
        )
    if len(found) > 1:
        raise CheckpointError(f"it holds {len(found)} nets, under {listing(prefix or 'no name' for prefix, _ in found)}; save one "
                              "of them in a file of its own")
    return found[0]


def _with_linear(name: str) -> str:
    return re.sub(r"^fc\.", "linear.", name.replace(".downsample.", ".shortcut."))


def _hugging_face(name: str, inner: str) -> str:
    """inner: "resnet." where a classifier stands beside the net, else nothing."""
    if name.startswith("fc."):
        return name.replace("fc.", "classifier.1.")
    stem = re.fullmatch(r"(conv|bn)1\.(\w+)", name)
    if stem:
        return f"{inner}embedder.embedder.{_part(stem[1])}.{stem[2]}"
    stage, block, rest = re.fullmatch(r"layer(\d+)\.(\d+)\.(.*)", name).groups()  # type: ignore[union-attr]
    layer = f"{inner}encoder.stages.{int(stage) - 1}.layers.{block}"
    shortcut = re.fullmatch(r"downsample\.([01])\.(\w+)", rest)
    if shortcut:
        return f"{layer}.shortcut.{_part('bn' if shortcut[1] == '1' else 'conv')}.{shortcut[2]}"
    kind, number, tensor = re.fullmatch(r"(conv|bn)(\d)\.(\w+)", rest).groups()  # type: ignore[union-attr]
    return f"{layer}.layer.{int(number) - 1}.{_part(kind)}.{tensor}"


def _part(kind: str) -> str:
    return "convolution" if kind == "conv" else "normalization"


def deduce(dialect: Dialect, arrays: Mapping[str, np.ndarray], classes: int) -> dict[str, Any]:
    """The architecture that names and shapes tell: what they leave open has the values that most files want.

    classes: for a file that has no head.
    Raises CheckpointError, naming what does not fit, if it is a net that cannot be built here.
    """
    def shape(name: str) -> tuple[int, ...]:
        array = arrays.get(dialect.file_name(name))
        return array.shape if array is not None and array.ndim else (0,)

    counts = _blocks(dialect, arrays)
    bottlenecks = dialect.file_name("layer1.0.conv3.weight") in arrays
    # What has a stem of its own is still told which of its tensors do not fit.
    width = shape("conv1.weight")[0] or shape("bn1.weight")[0]
    common = {"width": width, "dropout": 0.0, "classes": shape("fc.weight")[0] or classes, "fused": True}
    if len(counts) == STAGES and len(set(counts)) == 1 and not bottlenecks:
        # A plain net, without any shortcuts, has the same names as one with option A, but nobody hands such files around.
        shortcut = "B" if shape("layer2.0.downsample.0.weight") != (0,) else "A"
        return {"family": "resnet_cifar", "depth": 6 * counts[0] + 2, "shortcut": shortcut, "zero_pad": "both", **common}
    for depth, blocks in BLOCKS.items():
        if counts == list(blocks) and bottlenecks == (depth in BOTTLENECKS):
            stem = "imagenet" if shape("conv1.weight")[2:] == (7, 7) else "cifar"
            return {"family": "resnet_imagenet", "depth": depth, "stem": stem, "stride_in": "3x3", **common}
    raise CheckpointError(
        f"its {len(counts)} stages have {', '.join(map(str, counts))} {'bottleneck' if bottlenecks else 'basic'} blocks "
        f"({dialect.name} names), as none of the nets here; {NETS} can be loaded"
    )


def _blocks(dialect: Dialect, arrays: Mapping[str, np.ndarray]) -> list[int]:
    """How many blocks each stage has."""
    counts: list[int] = []
    while True:
        count = 0
        while dialect.file_name(f"layer{len(counts) + 1}.{count}.conv1.weight") in arrays:
            count += 1
        if not count:
            return counts
        counts.append(count)


# What the tensors that do not fit betray of a net: a pattern of our names, and what to call it.
_VARIANTS = (
    (r"conv1\.\d+\..*", "a stem of several convolutions (the c, d, e, s and t variants)"),
    (r".*\.(downsample|shortcut)\.2\..*", "an average pool in its shortcuts (the d variants)"),
    (r".*\.(se|attn|eca|attention)\..*", "attention in its blocks (SE, ECA)"),
    (r".*\.aa\..*", "anti-aliasing"),
    (r".*conv\d?(olution)?\.bias", "biases in its convolutions"),
    (r".*(weight_g|weight_v|weight_orig|weight_mask|parametrizations\..*)", "weights in two parts (weight norm, pruning)"),
    (r"(.*\.)?(_packed_params.*|scale|zero_point)", "quantised layers"),
)


def variant(
    unknown: list[str], missing: list[str], mis_shaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
) -> str | None:
    """What kind of net these are the marks of, for a message: "grouped convolutions (ResNeXt)"; None where nobody knows.

    unknown      the file's names that no tensor of the net has
    missing      our names of tensors that the file lacks
    mis_shaped   our names: (the shape that came, the one expected)
    """
    for pattern, kind in _VARIANTS:
        if any(re.fullmatch(pattern, name) for name in unknown):
            return kind
    if "bn1.weight" in missing:
        return "no batch norm after its first convolution (pre-activation)"
    if any(name.endswith("running_mean") for name in missing):
        return "no running statistics (group norm, or batch norm without them)"
    inner = {name: pair for name, pair in mis_shaped.items() if re.fullmatch(r"layer\d\.\d+\.conv[12]\.weight", name)}
    if any(len(got) == 4 and got[0] > got[1] for name, (got, _) in inner.items() if name.endswith("conv2.weight")):
        return "grouped convolutions (ResNeXt)"
    if any(got[:1] > expected[:1] for got, expected in inner.values()):
        return "wider blocks than its first convolution (wide ResNet)"
    return None
