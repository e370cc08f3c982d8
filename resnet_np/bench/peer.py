"""PyTorch's side: the same net out of torch.nn layers, under the same names. The only module that imports PyTorch.

Written as PyTorch users write it: ReLU in place, inference without autograd. With the backend cupy it computes on the same GPU as
our side.
"""

import contextlib
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from resnet_np import backend
from resnet_np.bench.task import LR, MOMENTUM, WEIGHT_DECAY, Task, random_batch

# Of each stage; stated again, because this side must not learn it from ours.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECKS = (50, 101, 152)

GPU = "cuda"  # with the backend cupy
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def sees_gpu() -> bool:
    """Whether this PyTorch could compute on the GPU."""
    return torch.cuda.is_available()


class Block(nn.Module):
    """Convolutions with batch norm, a ReLU between them; around them x itself, option A's zeros, a projection, or nothing."""

    def __init__(self, convolutions: Sequence[nn.Conv2d], shortcut: str, zero_pad: str) -> None:
        super().__init__()
        for number, conv in enumerate(convolutions, 1):
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(conv.out_channels))
        self.relu = nn.ReLU(inplace=True)
        self.count, self.plain = len(convolutions), shortcut == "none"
        channels, filters = convolutions[0].in_channels, convolutions[-1].out_channels
        self.stride = math.prod(conv.stride[0] for conv in convolutions)
        changes = (self.stride, channels) != (1, filters)
        self.downsample = None
        if shortcut == "B" and changes:
            self.downsample = nn.Sequential(nn.Conv2d(channels, filters, 1, self.stride, bias=False), nn.BatchNorm2d(filters))
        before = (filters - channels) // 2 if zero_pad == "both" else 0
        self.zeros = [0, 0, 0, 0, before, filters - channels - before] if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x
        for number in range(1, self.count + 1):
            out = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(out))
            if number < self.count:
                out = self.relu(out)
        if self.downsample is not None:
            x = self.downsample(x)
        elif self.zeros is not None and not self.plain:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], self.zeros)
        if not self.plain:
            out += x
        return self.relu(out)


class Net(nn.Module):
    """The net that our `architecture` describes: x (N, 3, H, W) -> logits (N, classes)."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        width, imagenet = architecture["width"], architecture["family"] == "resnet_imagenet"
        large = imagenet and architecture["stem"] == "imagenet"
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False) if large else nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        counts = BLOCKS[architecture["depth"]] if imagenet else ((architecture["depth"] - 2) // 6,) * 3
        self.stages, channels = len(counts), width
        for stage, count in enumerate(counts):
            blocks = [self._block(channels, width << stage, 2 if stage else 1, architecture)]
            channels = blocks[0].bn3.num_features if hasattr(blocks[0], "bn3") else width << stage
            blocks += [self._block(channels, width << stage, 1, architecture) for _ in range(count - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, architecture["classes"])

    @staticmethod
    def _block(channels: int, width: int, stride: int, architecture: Mapping[str, Any]) -> Any:
        if architecture["family"] == "resnet_imagenet" and architecture["depth"] in BOTTLENECKS:
            first, second = (stride, 1) if architecture["stride_in"] == "1x1" else (1, stride)
            convolutions = [nn.Conv2d(channels, width, 1, first, bias=False), nn.Conv2d(width, width, 3, second, 1, bias=False),
                            nn.Conv2d(width, 4 * width, 1, bias=False)]
        else:
            convolutions = [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.Conv2d(width, width, 3, 1, 1, bias=False)]
        return Block(convolutions, architecture.get("shortcut", "B"), architecture.get("zero_pad", "both"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(self.pool(x).flatten(1))


class FastNet(nn.Module):
    """The net that an `architecture` of the family "resnet_fast" describes, as `Net`."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 2, bias=False)
        self.conv1.weight.requires_grad = False
        self.bias, self.relu = nn.ParameterDict({"bias": torch.zeros(24)}), nn.ReLU(inplace=True)
        channels = 24
        for stage, wider in enumerate((1, 4, 4), 1):
            filters = wider * architecture["width"]
            entrance = OrderedDict(
                conv=nn.Conv2d(channels, filters, 3, padding=1, bias=False), pool=nn.MaxPool2d(2), bn=self._norm(filters),
                relu=nn.ReLU(inplace=True))
            convolutions = [nn.Conv2d(filters, filters, 3, padding=1, bias=False) for _ in range(architecture["depth"] // 3 - 1)]
            block = Block(convolutions, "A", "both")
            for number in range(1, len(convolutions) + 1):
                setattr(block, f"bn{number}", self._norm(filters))
            self.add_module(f"layer{stage}", nn.Sequential(nn.Sequential(entrance), block))
            channels = filters
        pool = nn.AdaptiveMaxPool2d if architecture["pool"] == "max" else nn.AdaptiveAvgPool2d
        self.pool, self.fc = pool(1), nn.Linear(channels, architecture["classes"])

    @staticmethod
    def _norm(channels: int) -> nn.BatchNorm2d:
        norm = nn.BatchNorm2d(channels, momentum=0.4)
        norm.weight.requires_grad = False
        return norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv1(x) + self.bias["bias"].view(-1, 1, 1))
        for stage in (1, 2, 3):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(self.pool(x).flatten(1) / 9)


class Peer:
    def __init__(
        self, task: Task, *, architecture: Mapping[str, Any], weights: Mapping[str, np.ndarray], layout: str,
        compiled: bool = False, double: bool = False, bf16: bool = False,
    ) -> None:
        """bf16: under `torch.autocast`, as its users train in it. compiled: by `torch.compile`."""
        torch.set_num_threads(task.threads)
        self.device = torch.device(GPU if backend.current() == "cupy" else "cpu")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # as many digits as float32 has, as ours
        dtype = torch.float64 if double else torch.float32
        memory_format = LAYOUTS[layout]
        kind = FastNet if architecture["family"] == "resnet_fast" else Net
        self.net = cast(Any, kind(architecture))  # PyTorch's types know no Module.to(memory_format=...)
        state = {name: torch.from_numpy(array) for name, array in weights.items()}
        steps = {name: value for name, value in self.net.state_dict().items() if name.endswith("num_batches_tracked")}
        self.net.load_state_dict(state | steps)  # refuses a name that is missing or superfluous
        self.net.to(self.device, dtype).to(memory_format=memory_format)
        x, labels = random_batch(task.batch, architecture["classes"], task.image_size)
        self.x = torch.from_numpy(x).to(self.device, dtype, memory_format=memory_format)
        self.labels = torch.from_numpy(labels).to(self.device)
        learned = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.SGD(learned, LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.model = torch.compile(self.net) if compiled else self.net
        self.autocast = torch.autocast(self.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()

    def step(self) -> None:
        self._step()
        self._wait()

    def infer(self) -> torch.Tensor:
        self.net.eval()
        with torch.inference_mode(), self.autocast:
            out = self.model(self.x)
        self._wait()
        return out

    def peak_device_mib(self) -> float:
        """What PyTorch's pool held at most."""
        return torch.cuda.max_memory_reserved() / 2**20

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def answers(self) -> dict[str, np.ndarray]:
        """As Ours.answers, under the same names."""
        logits, loss = self._step()
        learned = {name: parameter for name, parameter in self.net.named_parameters() if parameter.requires_grad}
        gradients = {f"gradient {name}": parameter.grad for name, parameter in learned.items()}
        found = {"logits": logits, "loss": loss, **gradients, "inference": self.infer()}
        return {name: _without_bf16(tensor).cpu().numpy() for name, tensor in found.items()}

    def _step(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.net.train()
        self.optimiser.zero_grad()
        with self.autocast:
            logits = self.model(self.x)
        loss = functional.cross_entropy(_without_bf16(logits), self.labels)
        loss.backward()
        self.optimiser.step()
        return logits.detach(), loss.detach()


def _without_bf16(tensor: torch.Tensor) -> torch.Tensor:
    """float32 for what autocast left in bf16: the loss wants it, and NumPy knows no other."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
