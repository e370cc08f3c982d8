"""Nets, and the files that they are kept in."""

from resnet_np.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from resnet_np.models.resnet_cifar import ResNetCifar, depth_of, resnet_cifar

__all__ = ["Checkpoint", "ResNetCifar", "depth_of", "load_checkpoint", "resnet_cifar", "save_checkpoint"]
