"""Every tensor that a net has, by name, without building it: what is counted, and what a weight file is held against.

He et al. 2015, section 4.2 (CIFAR) and table 1 (ImageNet); the fast nets are those of `resnet_fast`.
"""

import math
from collections.abc import Mapping
from typing import Any

STAGES = 3  # of a CIFAR net, each of as many blocks, and of a fast net, each of as many convolutions
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # of each stage
BOTTLENECKS = (50, 101, 152)
EXPANSION = 4  # filters of a bottleneck's last convolution for one of its others
WHITENED = 2  # side in pixels of the patches that a fast net's stem whitens
WIDER = 4  # filters of a fast net's later stages for one of the first


def parameters(architecture: Mapping[str, Any]) -> int:
    """How many numbers the net learns."""
    return sum(math.prod(shape) for name, shape in shapes(architecture).items() if ".running_" not in name)


def shapes(architecture: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter and buffer of the net of that `architecture`: {"conv1.weight": (16, 3, 3, 3), ...}."""
    found: dict[str, tuple[int, ...]] = {}

    def add(conv: str, bn: str, channels: int, filters: int, kernel: int) -> None:
        found[f"{conv}.weight"] = filters, channels, kernel, kernel
        found.update({f"{bn}.{name}": (filters,) for name in ("weight", "bias", "running_mean", "running_var")})

    if architecture["family"] == "resnet_fast":
        channels = 2 * 3 * WHITENED * WHITENED
        found |= {"conv1.weight": (channels, 3, WHITENED, WHITENED), "bias.bias": (channels,)}
        for stage in range(STAGES):
            filters = architecture["width"] * (WIDER if stage else 1)
            add(f"layer{stage + 1}.0.conv", f"layer{stage + 1}.0.bn", channels, filters, 3)
            for number in range(1, (architecture["depth"] - 2) // STAGES):
                add(f"layer{stage + 1}.1.conv{number}", f"layer{stage + 1}.1.bn{number}", filters, filters, 3)
            channels = filters
        return found | {"fc.weight": (architecture["classes"], channels), "fc.bias": (architecture["classes"],)}
    width, depth, cifar = architecture["width"], architecture["depth"], architecture["family"] == "resnet_cifar"
    bottlenecks = not cifar and depth in BOTTLENECKS
    projects = not cifar or architecture["shortcut"] == "B"
    add("conv1", "bn1", 3, width, 3 if cifar or architecture["stem"] == "cifar" else 7)
    channels = width
    for stage, count in enumerate(((depth - 2) // 6,) * STAGES if cifar else BLOCKS[depth]):
        inner = width << stage
        filters = EXPANSION * inner if bottlenecks else inner
        for i in range(count):
            block = f"layer{stage + 1}.{i}"
            kernels = (1, 3, 1) if bottlenecks else (3, 3)
            ends = (channels, *(inner,) * (len(kernels) - 1), filters)
            for number, kernel in enumerate(kernels, 1):
                add(f"{block}.conv{number}", f"{block}.bn{number}", ends[number - 1], ends[number], kernel)
            if projects and channels != filters:
                add(f"{block}.downsample.0", f"{block}.downsample.1", channels, filters, 1)
            channels = filters
    return found | {"fc.weight": (architecture["classes"], channels), "fc.bias": (architecture["classes"],)}
