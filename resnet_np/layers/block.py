"""The residual block: where a branch learns the difference, and where a gradient forks.

He et al. 2015, figure 2 and equation 1.
"""

from typing import Literal, cast

import numpy as np

from resnet_np import functional as F
from resnet_np.layers.basic import BatchNorm2d, Conv2d, ReLU
from resnet_np.layers.layer import Layer


class Sequential(Layer):
    """Layers one behind the other, named in order."""

    def __init__(self, **layers: Layer) -> None:
        super().__init__()
        self.children.update(layers)

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        for layer in self.children.values():
            x = layer.forward(x, training=training, keep_cache=keep_cache)
        return x

    def backward(self, dout: np.ndarray) -> np.ndarray:
        for layer in reversed(self.children.values()):
            dout = layer.backward(dout)
        return dout


class Stem(Sequential):
    """Where pictures enter a net: a convolution, batch norm, ReLU."""

    def __init__(self, *, conv1: Conv2d, bn1: BatchNorm2d, relu: ReLU) -> None:
        super().__init__(conv1=conv1, bn1=bn1, relu=relu)
        self.conv1, self.bn1, self.relu = conv1, bn1, relu

    def backward(self, dout: np.ndarray, *, need_dx: bool = True) -> np.ndarray | None:  # type: ignore[override]
        """need_dx=False: nobody wants the gradient of the pictures; returns None."""
        return self.conv1.backward(self.bn1.backward(self.relu.backward(dout)), need_dx=need_dx)


class IdentityShortcut(Layer):
    """x itself: the shapes agree."""

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        return x

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return dout


class PaddedShortcut(Layer):
    """Option A: every stride-th pixel, new channels of zeros, no parameters. He et al. 2015, section 3.3."""

    def __init__(self, channels: int, *, stride: int, zero_pad: Literal["both", "end"]) -> None:
        super().__init__()
        self.channels, self.stride, self.zero_pad = channels, stride, zero_pad

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.shortcut_forward(x, channels=self.channels, stride=self.stride, zero_pad=self.zero_pad)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return F.shortcut_backward(dout, self._take())


def plain_block(channels: int, filters: int, *, stride: int, rng: np.random.Generator) -> Sequential:
    """The plain twin of a BasicBlock: the same two convolutions, and no shortcut around them. He et al. 2015, section 4.2."""
    return Sequential(**_main(channels, filters, stride, rng), relu2=ReLU())


def _main(channels: int, filters: int, stride: int, rng: np.random.Generator) -> dict[str, Layer]:
    return {
        "conv1": Conv2d(channels, filters, 3, stride=stride, pad=1, rng=rng),
        "bn1": BatchNorm2d(filters),
        "relu1": ReLU(),
        "conv2": Conv2d(filters, filters, 3, pad=1, rng=rng),
        "bn2": BatchNorm2d(filters),
    }


class ResidualBlock(Layer):
    """A branch that learns the difference, and a shortcut around it: out = relu(main(x) + shortcut(x)).

    x (N, C, H, W) -> (N, filters, OH, OW), which `main` decides. The subclasses say what `main` and `shortcut` are.
    """

    sequential: type[Sequential] = Sequential  # what a projection's two layers are made into

    def __init__(self, main: dict[str, Layer], shortcut: Layer, relu: str) -> None:
        super().__init__()
        self.main, self.shortcut, self.relu = Sequential(**main), shortcut, ReLU()
        self.children.update(main | {"downsample": shortcut, relu: self.relu})

    @property
    def last_norm(self) -> BatchNorm2d:
        """The batch norm before the addition: with its gamma at 0 the block is its shortcut."""
        return cast(BatchNorm2d, list(self.main.children.values())[-1])

    @property
    def filters(self) -> int:
        """Channels of the output."""
        return self.last_norm.weight.data.size

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        difference = self.main.forward(x, training=training, keep_cache=keep_cache)
        same = self.shortcut.forward(x, training=training, keep_cache=keep_cache)
        return self.relu.forward(F.add_forward(difference, same), training=training, keep_cache=keep_cache)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        # The addition sent the same gradient down both branches; where they part, at x, the two gradients add up.
        d_main, d_shortcut = F.add_backward(self.relu.backward(dout))
        return F.add_forward(self.main.backward(d_main), self.shortcut.backward(d_shortcut))

    @classmethod
    def projection(cls, channels: int, filters: int, *, stride: int, rng: np.random.Generator) -> Sequential:
        """Option B: a 1x1 convolution and batch norm, PyTorch's `downsample`. He et al. 2015, section 3.3."""
        return cls.sequential(**{"0": Conv2d(channels, filters, 1, stride=stride, rng=rng), "1": BatchNorm2d(filters)})


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions and a shortcut around them.

    x (N, channels, H, W) -> (N, filters, ceil(H / stride), ceil(W / stride)). Where the shapes agree the shortcut is x itself;
    elsewhere it is option "A" (zeros on the side `zero_pad`) or "B" (a projection).
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        *,
        stride: int,
        shortcut: Literal["A", "B"],
        zero_pad: Literal["both", "end"],
        rng: np.random.Generator,
    ) -> None:
        main = _main(channels, filters, stride, rng)
        around: Layer = IdentityShortcut()
        if (stride, channels) != (1, filters):
            around = (
                PaddedShortcut(filters, stride=stride, zero_pad=zero_pad)
                if shortcut == "A"
                else self.projection(channels, filters, stride=stride, rng=rng)
            )
        super().__init__(main, around, "relu2")


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions, of which the last has four times as many filters, and a shortcut around them.

    x (N, channels, H, W) -> (N, 4 width, ceil(H / stride), ceil(W / stride)). stride_in: "3x3" or "1x1", the convolution that has
    the stride. Where shapes change the shortcut is a projection. He et al. 2015, figure 5 and table 1.
    """

    def __init__(
        self, channels: int, width: int, *, stride: int, stride_in: Literal["3x3", "1x1"], rng: np.random.Generator
    ) -> None:
        filters = 4 * width
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        main = {
            "conv1": Conv2d(channels, width, 1, stride=first, rng=rng),
            "bn1": BatchNorm2d(width),
            "relu1": ReLU(),
            "conv2": Conv2d(width, width, 3, stride=second, pad=1, rng=rng),
            "bn2": BatchNorm2d(width),
            "relu2": ReLU(),
            "conv3": Conv2d(width, filters, 1, rng=rng),
            "bn3": BatchNorm2d(filters),
        }
        changes = (stride, channels) != (1, filters)
        super().__init__(
            main, self.projection(channels, filters, stride=stride, rng=rng) if changes else IdentityShortcut(), "relu3")
