"""Arrays of pictures -> split, normalised, shuffled, augmented batches. Files are the business of `data_tools`."""

from resnet_np.data.augment import crop_flip, cutout, mixup
from resnet_np.data.loader import TrainLoader, evaluation_batches
from resnet_np.data.normalise import CIFAR10, IMAGENET, Normaliser, named_normaliser
from resnet_np.data.randomness import generator
from resnet_np.data.resize import resize
from resnet_np.data.split import some_of_all, train_validation_split

__all__ = [
    "CIFAR10",
    "IMAGENET",
    "Normaliser",
    "TrainLoader",
    "crop_flip",
    "cutout",
    "evaluation_batches",
    "generator",
    "mixup",
    "named_normaliser",
    "resize",
    "some_of_all",
    "train_validation_split",
]
