"""The ImageNet nets of He et al. 2015, table 1: 18, 34, 50, 101 and 152 layers, four stages; and with a stem for small pictures."""

from typing import Literal

from resnet_np.data.randomness import generator
from resnet_np.errors import InputError
from resnet_np.layers import (
    BasicBlock,
    BatchNorm2d,
    Bottleneck,
    Conv2d,
    FusedBasicBlock,
    FusedBottleneck,
    FusedStem,
    Layer,
    MaxPool2d,
    ReLU,
    ResidualBlock,
    Sequential,
    Stem,
)
from resnet_np.models import layout
from resnet_np.models.arguments import check_arguments
from resnet_np.models.layout import BLOCKS, BOTTLENECKS
from resnet_np.models.resnet import ResNet

WIDTH = 64  # of the first stage; each further stage is twice as wide


def resnet_imagenet(
    depth: int,
    *,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    stride_in: Literal["3x3", "1x1"] = "3x3",
    width: int = WIDTH,
    dropout: float = 0.0,
    classes: int = 1000,
    zero_gamma: bool = False,
    fused: bool = True,
    seed: int = 0,
) -> ResNet:
    """A fresh ResNet-18, 34, 50, 101 or 152 in float32, He-initialised from `seed`; shortcuts are option B.

    depth       18, 34 (basic blocks), 50, 101, 152 (bottlenecks)
    stem        "imagenet": 7x7 with stride 2, then a 3x3 max pool with stride 2; "cifar": 3x3, no pool, for small pictures
    stride_in   which convolution of a bottleneck has the stride: "3x3" (torchvision, "v1.5") or the first "1x1" (the paper, "v1")
    width       of the first stage
    dropout     share of the pooled features that is dropped in training
    zero_gamma  start every block as its shortcut: gamma of its last batch norm is 0. Goyal et al. 2017, section 5.1
    fused       convolution, batch norm, addition and ReLU in fewer sweeps over memory: faster, and other last bits
    Raises InputError for anything else.
    """
    parameter_count(depth, stem=stem, stride_in=stride_in, width=width, dropout=dropout, classes=classes, fused=fused)
    rng = generator(seed, 0, "init")
    stem_kind = FusedStem if fused else Stem
    kernel, stride, pad = (7, 2, 3) if stem == "imagenet" else (3, 1, 1)
    entrance = stem_kind(conv1=Conv2d(3, width, kernel, stride=stride, pad=pad, rng=rng), bn1=BatchNorm2d(width), relu=ReLU())
    stages: dict[str, Layer] = {"maxpool": MaxPool2d(3, stride=2, pad=1)} if stem == "imagenet" else {}
    channels = width
    for stage, count in enumerate(BLOCKS[depth]):
        blocks: dict[str, Layer] = {}
        for i in range(count):
            stride, filters = 2 if stage and not i else 1, width << stage
            block: ResidualBlock
            if depth in BOTTLENECKS:
                kind = FusedBottleneck if fused else Bottleneck
                block = kind(channels, filters, stride=stride, stride_in=stride_in, rng=rng)
            else:
                basic = FusedBasicBlock if fused else BasicBlock
                block = basic(channels, filters, stride=stride, shortcut="B", zero_pad="both", rng=rng)
            if zero_gamma:
                block.last_norm.weight.data[...] = 0
            blocks[str(i)] = block
            channels = block.filters
        stages[f"layer{stage + 1}"] = Sequential(**blocks)
    architecture = {"family": "resnet_imagenet", "depth": depth, "stem": stem, "stride_in": stride_in, "width": width,
                    "dropout": dropout, "classes": classes, "fused": fused}
    return ResNet(architecture, entrance, stages, channels, rng)


def parameter_count(
    depth: int, *, stem: str = "imagenet", stride_in: str = "3x3", width: int = WIDTH, dropout: float = 0.0, classes: int = 1000,
    fused: bool = True,
) -> int:
    """Of the net that these arguments of `resnet_imagenet` describe, which is not built. Raises InputError as that does."""
    if isinstance(depth, bool) or not isinstance(depth, int) or depth not in BLOCKS:
        raise InputError(f"resnet_imagenet: depth is {depth!r}, expected {', '.join(map(str, BLOCKS))}")
    if stem not in ("imagenet", "cifar"):
        raise InputError(f'resnet_imagenet: stem is {stem!r}, expected "imagenet" (7x7, stride 2, max pool) or "cifar" (3x3)')
    if stride_in not in ("3x3", "1x1"):
        raise InputError(f'resnet_imagenet: stride_in is {stride_in!r}, expected "3x3" (torchvision) or "1x1" (the paper)')
    check_arguments("resnet_imagenet", width=width, dropout=dropout, classes=classes, fused=fused)
    return layout.parameters({"family": "resnet_imagenet", "depth": depth, "stem": stem, "width": width, "classes": classes})
