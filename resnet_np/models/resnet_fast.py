"""ResNets for a good result soon, on small pictures: shallow, wide, whitened at the entrance.

    stem       2x2 patches whitened, bias, ReLU                                              24 channels
    layer1     3x3 convolution, 2x2 max pool, batch norm, ReLU; a residual block           width
    layer2, 3  the same                                                                    4 width
    then       global max pool, / 9, dropout (if any), linear

A layer of `depth` = 3 n + 2 is a convolution or the linear one: the stem, in each of three stages one before the block and n - 1 in
it, and the head. The parts are those of airbench (Jordan 2024, arXiv 2404.00498), which is not residual up to its largest variant;
here every stage has its shortcut, ReLU stands for GELU, and the head starts as those of the other nets here.
"""

from typing import Literal

from resnet_np.data.randomness import generator
from resnet_np.errors import InputError
from resnet_np.layers import (
    FusedIdentityBlock,
    FusedSequential,
    FusedWhitenedStem,
    IdentityBlock,
    Layer,
    Sequential,
    WhitenedStem,
    pooled_entrance,
)
from resnet_np.models import layout
from resnet_np.models.arguments import check_arguments
from resnet_np.models.layout import STAGES, WHITENED, WIDER
from resnet_np.models.resnet import ResNet

WIDTH = 64  # filters of the first stage
DEEPEST = 32  # a typing error must not fill the memory
SMALLEST = 9  # pixels a side, of which three pools leave one
POOLS: dict[str, Literal["avgpool", "globalmaxpool"]] = {"max": "globalmaxpool", "mean": "avgpool"}
SCALE = 1 / 9  # of the features, in place of the logits (Jordan 2024, section 3.1)


def resnet_fast(
    depth: int = 8, *, width: int = WIDTH, dropout: float = 0.0, classes: int = 10, fused: bool = True,
    pool: Literal["max", "mean"] = "max", seed: int = 0,
) -> ResNet:
    """A fresh fast net in float32; convolutions start as the identity, the rest of their filters random from `seed`.

    Its stem whitens nothing before it has seen pictures: call `net.stem.whiten(x)` with some thousand normalised ones, as a
    training run does. 32x32 pictures become maps of 31, 15, 7, 3 pixels.

    depth     3n+2: 8, 11, 14 ...
    width     filters of the first stage; the other two have four times as many
    dropout   share of the pooled features that is dropped in training
    pool      what of each last map is a feature: its largest pixel, or the mean
    fused     convolution, batch norm, addition and ReLU in fewer sweeps over memory: faster, and other last bits
    Raises InputError for anything else.
    """
    parameter_count(depth, width=width, dropout=dropout, classes=classes, fused=fused, pool=pool)
    rng = generator(seed, 0, "init")
    stem = (FusedWhitenedStem if fused else WhitenedStem)(WHITENED, rng=rng)
    sequential, block = (FusedSequential, FusedIdentityBlock) if fused else (Sequential, IdentityBlock)
    stages: dict[str, Layer] = {}
    channels = len(stem.conv1.weight.data)
    for stage in range(STAGES):
        filters = width * (WIDER if stage else 1)
        stages[f"layer{stage + 1}"] = Sequential(**{
            "0": pooled_entrance(sequential, channels, filters, rng=rng), "1": block(filters, depth // 3 - 1, rng=rng)})
        channels = filters
    architecture = {"family": "resnet_fast", "depth": depth, "width": width, "dropout": dropout, "classes": classes, "fused": fused,
                    "pool": pool}
    return ResNet(architecture, stem, stages, channels, rng, pool=POOLS[pool], scale=SCALE)


def parameter_count(
    depth: int, *, width: int = WIDTH, dropout: float = 0.0, classes: int = 10, fused: bool = True, pool: str = "max"
) -> int:
    """Of the net that these arguments of `resnet_fast` describe, which is not built. Raises InputError as that does."""
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise InputError(f"resnet_fast: depth is {depth!r}, expected a whole number, 3n+2")
    check_depth("resnet_fast: depth", depth, "")
    check_arguments("resnet_fast", width=width, dropout=dropout, classes=classes, fused=fused)
    if pool not in POOLS:
        raise InputError(f"resnet_fast: pool is {pool!r}, expected one of {', '.join(POOLS)}")
    if width < 2 * 3 * WHITENED * WHITENED:
        raise InputError(f"resnet_fast: width is {width}, expected at least {2 * 3 * WHITENED * WHITENED}, the stem's channels, "
                         "which the first stage hands on")
    return layout.parameters({"family": "resnet_fast", "depth": depth, "width": width, "classes": classes})


def check_depth(what: str, depth: int, prefix: str) -> None:
    """Raises InputError, naming the nearest, if no fast net has that depth."""
    if depth < 8 or depth > DEEPEST or (depth - 2) % 3:
        below = min(max(8, (depth - 2) // 3 * 3 + 2), DEEPEST - 3)
        raise InputError(f"{what} {prefix}{depth} does not exist: a fast net has 3n+2 layers, 8 to {DEEPEST}; the nearest are "
                         f"{prefix}{below} and {prefix}{below + 3}")
