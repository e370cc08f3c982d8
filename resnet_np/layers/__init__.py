"""Layers: a pair of functions each, and the state that it owns."""

from resnet_np.layers.basic import BatchNorm2d, Conv2d, GlobalAveragePool, Linear, ReLU
from resnet_np.layers.block import BasicBlock, IdentityShortcut, PaddedShortcut, Sequential
from resnet_np.layers.layer import Layer

__all__ = [
    "BasicBlock",
    "BatchNorm2d",
    "Conv2d",
    "GlobalAveragePool",
    "IdentityShortcut",
    "Layer",
    "Linear",
    "PaddedShortcut",
    "ReLU",
    "Sequential",
]
