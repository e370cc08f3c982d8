"""What every residual net here is: a stem, stages of blocks, a global pool, dropout (if any), linear."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from resnet_np import functional as F
from resnet_np.errors import InputError
from resnet_np.layers import (
    Dropout,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    Linear,
    Scale,
    Sequential,
    Stem,
    WhitenedStem,
)
from resnet_np.models.folding import INSTEAD
from resnet_np.models.prepared import PreparedNet
from resnet_np.precision import PRECISIONS

POOLS: dict[str, type[Layer]] = {"avgpool": GlobalAveragePool, "globalmaxpool": GlobalMaxPool}  # from maps to features


class ResNet(Layer):
    """x (N, 3, H, W) -> logits (N, classes); pictures of any size that the strides leave a pixel of.

    architecture   what its family's function, `resnet_cifar` or another, needs to build it again, and its "family"; kept in
                   checkpoints
    stem, trunk    the parts: convolution, batch norm and ReLU; then pooling, the stages ("layer1" ...), "avgpool" or
                   "globalmaxpool", "scale", "dropout", "fc"; not every net has every one
    pool           what makes features of maps
    scale          what the pooled features are multiplied by
    precision      "float32", or "bf16": pictures are rounded at the entrance, and maps stay bf16 up to the pooled features
    """

    def __init__(
        self, architecture: Mapping[str, Any], stem: Stem | WhitenedStem, stages: Mapping[str, Layer], features: int,
        rng: np.random.Generator, *, pool: Literal["avgpool", "globalmaxpool"] = "avgpool", scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.architecture = dict(architecture)
        self.stem = stem
        self._precision = "float32"
        dropout, classes = self.architecture["dropout"], self.architecture["classes"]
        features_on: dict[str, Layer] = {"scale": Scale(scale)} if scale != 1 else {}
        head: dict[str, Layer] = {"dropout": Dropout(dropout)} if dropout else {}
        self.trunk = Sequential(
            **stages, **{pool: POOLS[pool]()}, **features_on, **head, fc=Linear(features, classes, rng=rng))
        self.children.update(self.stem.children | self.trunk.children)
        self._learns_from = 0  # the first part whose caches the last forward pass has kept

    @property
    def precision(self) -> str:
        """"float32", or "bf16". Raises InputError if it is set to anything else."""
        return self._precision

    @precision.setter
    def precision(self, name: str) -> None:
        if name not in PRECISIONS:
            raise InputError(f"{type(self).__name__}: precision is {name!r}, expected one of {', '.join(PRECISIONS)}")
        self._precision = name

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        """As Layer.forward. In training, parts below the first parameter that learns keep nothing, unless keep_cache=True: no
        gradient is wanted there, and `backward` ends above them."""
        parts = self._parts()
        self._learns_from = 0
        if training and keep_cache is None:
            learning = [i for i, part in enumerate(parts) if not all(p.frozen for p in part.named_parameters().values())]
            self._learns_from = learning[0] if learning else len(parts)
        x = self._entering(x)
        for i, part in enumerate(parts):
            x = part.forward(x, training=training, keep_cache=False if i < self._learns_from else keep_cache)
        return x

    def backward(self, dlogits: np.ndarray, *, need_dx: bool = False) -> np.ndarray | None:  # type: ignore[override]
        """dlogits (N, classes) -> the gradient of the pictures where it is asked for; adds to every Parameter's grad.

        Raises InputError if need_dx, but frozen parts have kept no caches.
        """
        if need_dx and self._learns_from:
            raise InputError(f"{type(self).__name__}.backward: need_dx goes back through frozen parts, which keep no caches in "
                             "training; call forward(..., keep_cache=True)")
        for part in reversed(self._parts()[max(1, self._learns_from):]):
            dlogits = part.backward(dlogits)
        dx = None if self._learns_from else self.stem.backward(dlogits, need_dx=need_dx)
        return dx if dx is None or self.precision == "float32" else F.round_backward(dx)

    def features(self, x: np.ndarray) -> np.ndarray:
        """x (N, 3, H, W) -> (N, features), evaluating: what the head is given."""
        x = self._entering(x)
        for part in self._parts()[:-len(self.head.children)]:
            x = part.forward(x, training=False)
        return x

    def prepare(self) -> PreparedNet:
        """The net as it is now, to answer with: the same logits but for rounding, in a fraction of the time.

            answer = net.prepare()
            logits = answer(x)

        Raises InputError for a net that computes in bf16 or float64, and for what `models/folding.py` cannot fold.
        """
        dtype = self.head.children["fc"].parameters["weight"].data.dtype
        if self.precision != "float32" or dtype != np.float32:
            raise InputError(f"prepare: this net computes in {self.precision if dtype == np.float32 else dtype}, a prepared one in "
                             f"float32 alone; {INSTEAD}")
        return PreparedNet(self._parts())

    @property
    def head(self) -> Sequential:
        """Dropout, if any, and the linear layer: the layers themselves."""
        return Sequential(**{name: layer for name, layer in self.trunk.children.items() if name in ("dropout", "fc")})

    @property
    def stages(self) -> list[list[str]]:
        """The names of the children from the pictures to the head, a list a stage: [conv1, bn1, relu, maxpool], [layer1] ..."""
        names = [name for name in self.children if name.startswith("layer")]
        entrance = [name for name in self.children if name in self.stem.children or name == "maxpool"]
        return [entrance, *([name] for name in names)]

    def _entering(self, x: np.ndarray) -> np.ndarray:
        """Pictures as the stem wants them."""
        return x if self.precision == "float32" else F.round_forward(x)

    def _parts(self) -> list[Layer]:
        return [self.stem, *self.trunk.children.values()]
