"""Nets, and the files that they are kept in."""

from resnet_np.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from resnet_np.models.foreign.weights import Imported, load_weights
from resnet_np.models.names import build, parse_name
from resnet_np.models.resnet import ResNet
from resnet_np.models.resnet_cifar import resnet_cifar
from resnet_np.models.resnet_fast import resnet_fast
from resnet_np.models.resnet_imagenet import resnet_imagenet

__all__ = [
    "Checkpoint", "Imported", "ResNet", "build", "load_checkpoint", "load_weights", "parse_name", "resnet_cifar", "resnet_fast",
    "resnet_imagenet", "save_checkpoint",
]
