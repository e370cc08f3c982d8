"""PyTorch's side: the same net out of torch.nn layers, under the same names. The only module that imports PyTorch.

Written as PyTorch users write it: ReLU in place, inference without autograd.
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from resnet_np.bench.task import LR, MOMENTUM, WEIGHT_DECAY, Task, random_batch

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


class Block(nn.Module):
    """Two 3x3 convolutions; around them x itself, option A's zeros, or nothing (a plain net)."""

    def __init__(self, channels: int, filters: int, stride: int, shortcut: str, zero_pad: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.stride, self.plain = stride, shortcut == "none"
        before = (filters - channels) // 2 if zero_pad == "both" else 0
        self.zeros = [0, 0, 0, 0, before, filters - channels - before]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if not self.plain:
            out += x if self.stride == 1 else functional.pad(x[:, :, :: self.stride, :: self.stride], self.zeros)
        return self.relu(out)


class Net(nn.Module):
    """The net that our `architecture` describes: x (N, 3, H, W) -> logits (N, classes)."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        self.layer1 = _stage(16, 16, 1, architecture)
        self.layer2 = _stage(16, 32, 2, architecture)
        self.layer3 = _stage(32, 64, 2, architecture)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, architecture["classes"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.pool(self.layer3(self.layer2(self.layer1(x)))).flatten(1))


def _stage(channels: int, filters: int, stride: int, architecture: Mapping[str, Any]) -> nn.Sequential:
    """n blocks, of which the first one may change the shape."""
    kind = architecture["shortcut"], architecture["zero_pad"]
    others = (architecture["depth"] - 2) // 6 - 1
    return nn.Sequential(Block(channels, filters, stride, *kind), *(Block(filters, filters, 1, *kind) for _ in range(others)))


class Peer:
    def __init__(
        self, task: Task, *, architecture: Mapping[str, Any], weights: Mapping[str, np.ndarray], layout: str,
        compiled: bool = False, double: bool = False,
    ) -> None:
        torch.set_num_threads(task.threads)
        dtype = torch.float64 if double else torch.float32
        memory_format = LAYOUTS[layout]
        self.net = cast(Any, Net(architecture))  # PyTorch's types know no Module.to(memory_format=...)
        state = {name: torch.from_numpy(array) for name, array in weights.items()}
        steps = {name: value for name, value in self.net.state_dict().items() if name.endswith("num_batches_tracked")}
        self.net.load_state_dict(state | steps)  # refuses a name that is missing or superfluous
        self.net.to(dtype).to(memory_format=memory_format)
        x, labels = random_batch(task.batch, architecture["classes"])
        self.x, self.labels = torch.from_numpy(x).to(dtype=dtype, memory_format=memory_format), torch.from_numpy(labels)
        self.optimiser = torch.optim.SGD(self.net.parameters(), LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.model = torch.compile(self.net) if compiled else self.net

    def step(self) -> None:
        self._step()

    def infer(self) -> torch.Tensor:
        self.net.eval()
        with torch.inference_mode():
            return self.model(self.x)

    def answers(self) -> dict[str, np.ndarray]:
        """As Ours.answers, under the same names."""
        logits, loss = self._step()
        gradients = {f"gradient {name}": parameter.grad.numpy() for name, parameter in self.net.named_parameters()}
        return {"logits": logits.numpy(), "loss": loss.numpy(), **gradients, "inference": self.infer().numpy()}

    def _step(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.net.train()
        self.optimiser.zero_grad()
        logits = self.model(self.x)
        loss = functional.cross_entropy(logits, self.labels)
        loss.backward()
        self.optimiser.step()
        return logits.detach(), loss.detach()
