"""Layers: a pair of functions each, and the state that it owns."""

from resnet_np.layers.basic import (
    AveragePool2d,
    BatchNorm2d,
    Bias,
    Conv2d,
    Dropout,
    GlobalAveragePool,
    GlobalMaxPool,
    Linear,
    MaxPool2d,
    ReLU,
    Scale,
)
from resnet_np.layers.block import (
    BasicBlock,
    Bottleneck,
    IdentityShortcut,
    PaddedShortcut,
    ResidualBlock,
    Sequential,
    Stem,
    plain_block,
)
from resnet_np.layers.fused import FusedBasicBlock, FusedBottleneck, FusedSequential, FusedStem
from resnet_np.layers.layer import Layer
from resnet_np.layers.whitened import FusedIdentityBlock, FusedWhitenedStem, IdentityBlock, WhitenedStem, pooled_entrance

__all__ = [
    "AveragePool2d",
    "BasicBlock",
    "BatchNorm2d",
    "Bias",
    "Bottleneck",
    "Conv2d",
    "Dropout",
    "FusedBasicBlock",
    "FusedBottleneck",
    "FusedIdentityBlock",
    "FusedSequential",
    "FusedStem",
    "FusedWhitenedStem",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "IdentityBlock",
    "IdentityShortcut",
    "Layer",
    "Linear",
    "MaxPool2d",
    "PaddedShortcut",
    "ReLU",
    "ResidualBlock",
    "Scale",
    "Sequential",
    "Stem",
    "WhitenedStem",
    "plain_block",
    "pooled_entrance",
]
