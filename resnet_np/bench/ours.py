"""Our side: the net, the optimiser and the step that `resnet-np train` uses."""

from typing import Any

import numpy as np

from resnet_np import backend
from resnet_np import functional as F
from resnet_np.bench.task import LR, MOMENTUM, WEIGHT_DECAY, Task, random_batch
from resnet_np.models import ResNet, parse_name
from resnet_np.models import build as build_net
from resnet_np.models.summary import summarise
from resnet_np.optim import SGD
from resnet_np.training.step import training_step
from resnet_np.workspace import Workspace

SMALL = 64  # pixels a side, up to which a net for ImageNet has the stem for small pictures


def build(task: Task) -> ResNet:
    """The task's net, for ten classes, with the same weights in every process.

    Where convolutions start as the identity they are shaken a little. What they copy of a ReLU is zero at many pixels, and the
    largest pixel of a window of zeros, which gets the gradient, would be a matter of each side's last bits.
    """
    stem: dict[str, Any] = {"stem": "imagenet"} if parse_name(task.model)[0] == "imagenet" and task.image_size > SMALL else {}
    net = build_net(task.model, seed=0, **stem)
    if net.architecture["family"] == "resnet_fast":
        rng = np.random.default_rng(0)
        for parameter in net.named_parameters().values():
            if parameter.data.ndim == 4 and not parameter.fixed:
                parameter.data += 0.01 * rng.standard_normal(parameter.data.shape).astype(parameter.data.dtype)
    return net


def multiply_adds(task: Task) -> int:
    """Of one image, forward: the paper's count."""
    with backend.using("numpy"):  # one image, and only to count
        return summarise(build(task), (1, 3, task.image_size, task.image_size)).macs


class Ours:
    def __init__(self, task: Task, dtype: type[np.floating] = np.float32) -> None:
        self.net = build(task)
        self.net.astype(dtype).to_device()
        if dtype is np.float32:
            self.net.precision = task.precision
        x, labels = random_batch(task.batch, self.net.architecture["classes"], task.image_size)
        self.x, self.labels = backend.to_device(x.astype(dtype)), backend.to_device(labels)
        self.optimiser = SGD(self.net.named_parameters(), momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.workspace = Workspace()

    def step(self) -> None:
        training_step(self.net, self.optimiser, self.x, self.labels, lr=LR, workspace=self.workspace)
        backend.wait()

    def infer(self) -> np.ndarray:
        with self.workspace:
            out = self.net.forward(self.x, training=False)
        backend.wait()
        return out

    def peak_device_mib(self) -> float:
        """What CuPy's pool holds: it gives nothing back, unless the device is full."""
        return backend.cupy().get_default_memory_pool().total_bytes() / 2**20

    def answers(self) -> dict[str, np.ndarray]:
        """What both sides must agree on: the logits, loss and gradients of one step, and what is inferred after it."""
        logits = self.net.forward(self.x, training=True)
        loss, cache = F.softmax_cross_entropy_forward(logits, self.labels)
        self.net.backward(F.softmax_cross_entropy_backward(cache))
        self.optimiser.step(LR)
        gradients = {f"gradient {name}": parameter.grad for name, parameter in self.net.named_parameters().items()
                     if not parameter.fixed}
        found = {"logits": logits, "loss": loss, **gradients, "inference": self.infer()}
        return {name: np.asarray(backend.to_host(array)) for name, array in found.items()}

    def weights(self) -> dict[str, np.ndarray]:
        """Parameters and running statistics, by name."""
        arrays = {name: parameter.data for name, parameter in self.net.named_parameters().items()} | self.net.named_buffers()
        return {name: backend.to_host(array) for name, array in arrays.items()}

    def architecture(self) -> dict[str, Any]:
        return self.net.architecture
