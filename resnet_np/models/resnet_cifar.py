"""The CIFAR nets of He et al. 2015, section 4.2: depth 6n+2, three stages of n blocks with 16, 32, 64 filters.

The ResNets, and their plain twins: the same layers without the shortcuts.
"""

import re
from typing import Any, Literal

import numpy as np

from resnet_np.data.randomness import generator
from resnet_np.errors import InputError
from resnet_np.layers import (
    BasicBlock,
    BatchNorm2d,
    Conv2d,
    Dropout,
    FusedBasicBlock,
    FusedSequential,
    FusedStem,
    GlobalAveragePool,
    Layer,
    Linear,
    ReLU,
    Sequential,
    Stem,
    plain_block,
)

FILTERS = (16, 32, 64)
DEEPEST = 1202  # the paper's deepest; a typing error must not fill the memory


class ResNetCifar(Layer):
    """3x3 convolution, three stages, global average pool, dropout (if any), linear: x (N, 3, H, W) -> logits (N, classes).

    The first convolution of stages 2 and 3 has stride 2: 32x32 pictures become maps of 32, 16, 8 pixels.
    """

    def __init__(
        self,
        depth: int,
        *,
        shortcut: Literal["A", "B", "none"],
        zero_pad: Literal["both", "end"],
        dropout: float,
        classes: int,
        fused: bool,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = {
            "family": "resnet_cifar",
            "depth": depth,
            "shortcut": shortcut,
            "zero_pad": zero_pad,
            "dropout": dropout,
            "classes": classes,
            "fused": fused,
        }
        stem, block, sequential = (FusedStem, FusedBasicBlock, FusedSequential) if fused else (Stem, BasicBlock, Sequential)
        self.stem = stem(conv1=Conv2d(3, FILTERS[0], 3, pad=1, rng=rng), bn1=BatchNorm2d(FILTERS[0]), relu=ReLU())
        stages, channels = {}, FILTERS[0]
        for stage, filters in enumerate(FILTERS, start=1):
            blocks: dict[str, Layer] = {}
            for i in range((depth - 2) // 6):
                stride = 2 if stage > 1 and i == 0 else 1
                blocks[str(i)] = (
                    sequential(**plain_block(channels, filters, stride=stride, rng=rng).children)
                    if shortcut == "none"
                    else block(channels, filters, stride=stride, shortcut=shortcut, zero_pad=zero_pad, rng=rng)
                )
                channels = filters
            stages[f"layer{stage}"] = Sequential(**blocks)
        head: dict[str, Layer] = {"dropout": Dropout(dropout)} if dropout else {}
        head["fc"] = Linear(channels, classes, rng=rng)
        self.trunk = Sequential(**stages, avgpool=GlobalAveragePool(), **head)
        self.children.update(self.stem.children | self.trunk.children)

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        x = self.stem.forward(x, training=training, keep_cache=keep_cache)
        return self.trunk.forward(x, training=training, keep_cache=keep_cache)

    def backward(self, dlogits: np.ndarray, *, need_dx: bool = False) -> np.ndarray | None:  # type: ignore[override]
        """dlogits (N, classes) -> the gradient of the pictures where it is asked for; adds to every Parameter's grad."""
        return self.stem.backward(self.trunk.backward(dlogits), need_dx=need_dx)


def resnet_cifar(
    depth: int,
    shortcut: Literal["A", "B", "none"] = "A",
    zero_pad: Literal["both", "end"] = "both",
    *,
    dropout: float = 0.0,
    classes: int = 10,
    fused: bool = True,
    seed: int = 0,
) -> ResNetCifar:
    """A fresh CIFAR net in float32, He-initialised from `seed`.

    depth     6n+2: 8, 14, 20, 32, 44, 56, 110, 1202 ...
    shortcut  where shapes change: "A" (the paper's CIFAR nets: zeros, no parameters) or "B" (1x1 convolution);
              "none": the plain twin, without any shortcut (the paper's comparison, figure 6)
    zero_pad  option A's zero channels: "both" half before, half after; "end" all after
    dropout   share of the pooled features that is dropped in training; the paper drops none
    fused     convolution, batch norm, addition and ReLU in fewer sweeps over memory: faster, and other last bits
    Raises InputError for anything else.
    """
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise InputError(f"resnet_cifar: depth is {depth!r}, expected a whole number, 6n+2")
    _check_depth("resnet_cifar: depth", depth, "")
    if shortcut not in ("A", "B", "none"):
        raise InputError(f'resnet_cifar: shortcut is {shortcut!r}, expected "A" (zeros), "B" (1x1 convolution) or "none" (plain)')
    if zero_pad not in ("both", "end"):
        raise InputError(f'resnet_cifar: zero_pad is {zero_pad!r}, expected "both" or "end"')
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise InputError(f"resnet_cifar: dropout is {dropout!r}, expected a number of at least 0 and below 1")
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 2:
        raise InputError(f"resnet_cifar: classes is {classes!r}, expected a whole number of at least 2")
    if not isinstance(fused, bool):
        raise InputError(f"resnet_cifar: fused is {fused!r}, expected True or False")
    rng = generator(seed, 0, "init")
    return ResNetCifar(depth, shortcut=shortcut, zero_pad=zero_pad, dropout=dropout, classes=classes, fused=fused, rng=rng)


def parse_name(name: str) -> tuple[Literal["resnet", "plain"], int]:
    """ "resnet20" -> ("resnet", 20), "plain20" -> ("plain", 20). Raises InputError for a name that is no CIFAR net."""
    match = re.fullmatch(r"(resnet|plain)(\d{1,9})", name)
    if not match:
        raise InputError(
            f"model: got {name!r}, expected resnet20, resnet32, resnet44, resnet56, resnet110, another resnet<6n+2>, "
            "or plain<6n+2>, its twin without shortcuts"
        )
    family: Literal["resnet", "plain"] = "plain" if match[1] == "plain" else "resnet"
    _check_depth("model:", int(match[2]), family)
    return family, int(match[2])


def _check_depth(what: str, depth: int, prefix: str) -> None:
    if depth < 8 or depth > DEEPEST or (depth - 2) % 6:
        below = min(max(8, (depth - 2) // 6 * 6 + 2), DEEPEST - 6)
        raise InputError(
            f"{what} {prefix}{depth} does not exist: a CIFAR net has 6n+2 layers, 8 to {DEEPEST}; "
            f"the nearest are {prefix}{below} and {prefix}{below + 6}"
        )
