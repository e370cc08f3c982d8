"""Layers: a pair of functions each, and the state that it owns."""

from resnet_np.layers.basic import AveragePool2d, BatchNorm2d, Conv2d, Dropout, GlobalAveragePool, Linear, MaxPool2d, ReLU
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

__all__ = [
    "AveragePool2d",
    "BasicBlock",
    "BatchNorm2d",
    "Bottleneck",
    "Conv2d",
    "Dropout",
    "FusedBasicBlock",
    "FusedBottleneck",
    "FusedSequential",
    "FusedStem",
    "GlobalAveragePool",
    "IdentityShortcut",
    "Layer",
    "Linear",
    "MaxPool2d",
    "PaddedShortcut",
    "ReLU",
    "ResidualBlock",
    "Sequential",
    "Stem",
    "plain_block",
]
