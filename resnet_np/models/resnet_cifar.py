"""The CIFAR nets of He et al. 2015, section 4.2: depth 6n+2, three stages of n blocks with 16, 32, 64 filters.

The ResNets, and their plain twins: the same layers without the shortcuts.
"""

from typing import Literal

from resnet_np.data.randomness import generator
from resnet_np.errors import InputError
from resnet_np.layers import (
    BasicBlock,
    BatchNorm2d,
    Conv2d,
    FusedBasicBlock,
    FusedSequential,
    FusedStem,
    Layer,
    ReLU,
    Sequential,
    Stem,
    plain_block,
)
from resnet_np.models import layout
from resnet_np.models.arguments import check_arguments
from resnet_np.models.layout import STAGES
from resnet_np.models.resnet import ResNet

WIDTH = 16  # filters of the first stage; each further stage has twice as many
DEEPEST = 1202  # the paper's deepest; a typing error must not fill the memory


def resnet_cifar(
    depth: int,
    shortcut: Literal["A", "B", "none"] = "A",
    zero_pad: Literal["both", "end"] = "both",
    *,
    width: int = WIDTH,
    dropout: float = 0.0,
    classes: int = 10,
    fused: bool = True,
    seed: int = 0,
) -> ResNet:
    """A fresh CIFAR net in float32, He-initialised from `seed`.

    The first convolution of stages 2 and 3 has stride 2: 32x32 pictures become maps of 32, 16, 8 pixels.

    depth     6n+2: 8, 14, 20, 32, 44, 56, 110, 1202 ...
    shortcut  where shapes change: "A" (the paper's CIFAR nets: zeros, no parameters) or "B" (1x1 convolution);
              "none": the plain twin, without any shortcut (the paper's comparison, figure 6)
    zero_pad  option A's zero channels: "both" half before, half after; "end" all after
    width     filters of the first stage
    dropout   share of the pooled features that is dropped in training; the paper drops none
    fused     convolution, batch norm, addition and ReLU in fewer sweeps over memory: faster, and other last bits
    Raises InputError for anything else.
    """
    parameter_count(depth, shortcut, zero_pad, width=width, dropout=dropout, classes=classes, fused=fused)
    rng = generator(seed, 0, "init")
    stem_kind, block, sequential = (FusedStem, FusedBasicBlock, FusedSequential) if fused else (Stem, BasicBlock, Sequential)
    stem = stem_kind(conv1=Conv2d(3, width, 3, pad=1, rng=rng), bn1=BatchNorm2d(width), relu=ReLU())
    stages, channels = {}, width
    for stage in range(STAGES):
        filters = width << stage
        blocks: dict[str, Layer] = {}
        for i in range((depth - 2) // 6):
            stride = 2 if stage and not i else 1
            blocks[str(i)] = (
                sequential(**plain_block(channels, filters, stride=stride, rng=rng).children)
                if shortcut == "none"
                else block(channels, filters, stride=stride, shortcut=shortcut, zero_pad=zero_pad, rng=rng)
            )
            channels = filters
        stages[f"layer{stage + 1}"] = Sequential(**blocks)
    architecture = {"family": "resnet_cifar", "depth": depth, "shortcut": shortcut, "zero_pad": zero_pad, "width": width,
                    "dropout": dropout, "classes": classes, "fused": fused}
    return ResNet(architecture, stem, stages, channels, rng)


def parameter_count(
    depth: int, shortcut: str = "A", zero_pad: str = "both", *, width: int = WIDTH, dropout: float = 0.0, classes: int = 10,
    fused: bool = True,
) -> int:
    """Of the net that these arguments of `resnet_cifar` describe, which is not built. Raises InputError as that does."""
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise InputError(f"resnet_cifar: depth is {depth!r}, expected a whole number, 6n+2")
    check_depth("resnet_cifar: depth", depth, "")
    if shortcut not in ("A", "B", "none"):
        raise InputError(f'resnet_cifar: shortcut is {shortcut!r}, expected "A" (zeros), "B" (1x1 convolution) or "none" (plain)')
    if zero_pad not in ("both", "end"):
        raise InputError(f'resnet_cifar: zero_pad is {zero_pad!r}, expected "both" or "end"')
    check_arguments("resnet_cifar", width=width, dropout=dropout, classes=classes, fused=fused)
    return layout.parameters(
        {"family": "resnet_cifar", "depth": depth, "shortcut": shortcut, "width": width, "classes": classes})


def check_depth(what: str, depth: int, prefix: str) -> None:
    """Raises InputError, naming the nearest, if no CIFAR net has that depth."""
    if depth < 8 or depth > DEEPEST or (depth - 2) % 6:
        below = min(max(8, (depth - 2) // 6 * 6 + 2), DEEPEST - 6)
        raise InputError(
            f"{what} {prefix}{depth} does not exist: a CIFAR net has 6n+2 layers, 8 to {DEEPEST}; "
            f"the nearest are {prefix}{below} and {prefix}{below + 6}"
        )
