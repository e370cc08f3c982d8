"""Nets, and the files that they are kept in."""

from resnet_np.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from resnet_np.models.resnet_cifar import ResNetCifar, parse_name, resnet_cifar

__all__ = ["Checkpoint", "ResNetCifar", "load_checkpoint", "parse_name", "resnet_cifar", "save_checkpoint"]
