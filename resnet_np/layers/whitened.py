"""The parts of a fast ResNet for small pictures that other ResNets do not have: a whitening at the entrance, pooling in front of
batch norm, and blocks whose convolutions start as the identity.

They are those of "airbench" (Jordan 2024, arXiv 2404.00498, section 3), which took the first two from Page 2019, "How to train your
ResNet" (part 8), and of its residual variant the shortcut.
"""

from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import like, to_host
from resnet_np.errors import InputError
from resnet_np.layers.basic import BatchNorm2d, Bias, Conv2d, MaxPool2d, ReLU
from resnet_np.layers.block import IdentityShortcut, ResidualBlock, Sequential
from resnet_np.layers.fused import FusedResidualBlock, computes_fused
from resnet_np.layers.layer import Layer

EPS = 5e-4  # added to an eigenvalue, a variance of normalised pixels: what varies less is noise (Jordan 2024, listing 3)
# Below this variance there is nothing to see, as of colours in grey pictures; of CIFAR-10's patches the smallest is 5e-4. A filter
# for it would see nothing but rounding, and layer after layer of batch norm would make a signal of that.
NOTHING = 5e-6
# Statistics that follow two or three batches, for weights that move fast (Jordan 2024, section 3.4; his eps is 1e-12).
NORM: dict[str, Any] = {"momentum": 0.4, "eps": 1e-5, "scale": False}


def whitening_filters(x: np.ndarray, kernel: int) -> np.ndarray:
    """The filters that turn k x k patches of normalised pictures into uncorrelated numbers of variance 1, and their negatives.

    x (N, 3, H, W), float, normalised: some thousand pictures -> float32 (6 k k, 3, k, k), for k = kernel; those of the largest
    variance first. Raises InputError for anything else, and if the pictures are smaller than a patch. Jordan 2024, section 3.2;
    Page 2019, part 8.
    """
    if x.dtype.kind != "f" or x.ndim != 4 or x.shape[1] != 3 or not len(x):
        raise InputError(f"whitening: got {x.dtype} {x.shape}, expected normalised pictures, float (N, 3, H, W)")
    C, H, W = x.shape[1:]
    if min(H, W) < kernel:
        raise InputError(f"whitening: pictures of {H}x{W} pixels hold no patch of {kernel}x{kernel}")
    # (1) the second moments of patches p: M = mean of p p^T. Normalised pixels have mean 0, so that M is their covariance
    size, moments, count = C * kernel * kernel, np.zeros((C * kernel * kernel,) * 2), 0
    for image in to_host(x):
        windows = np.lib.stride_tricks.sliding_window_view(image, (kernel, kernel), axis=(1, 2))  # (C, OH, OW, k, k)
        patches = windows.transpose(1, 2, 0, 3, 4).reshape(-1, size).astype(np.float64)
        moments += patches.T @ patches
        count += len(patches)
    # (2) M = V diag(variances) V^T: along the eigenvectors, the columns of V, patches are uncorrelated
    variances, vectors = np.linalg.eigh(moments / count)
    # (3) of two opposite vectors take the one whose largest entry is positive: eigh may return either
    vectors *= np.sign(vectors[np.abs(vectors).argmax(0), range(size)])
    # (4) divided by its deviation, each has variance 1; a ReLU lets through half of it, and of its negative the other half
    filters = (vectors / np.sqrt(variances + EPS) * (variances >= NOTHING)).T[::-1].reshape(size, C, kernel, kernel)
    return np.concatenate((filters, -filters)).astype(np.float32)


class WhitenedStem(Sequential):
    """Where pictures enter: a convolution whose filters whiten patches and never learn, a bias that does, ReLU.

    x (N, 3, H, W) -> (N, 6 k k, H + 1 - k, W + 1 - k) for k = kernel. Until `whiten` is called the filters are random.
    """

    def __init__(self, kernel: int, *, rng: np.random.Generator) -> None:
        filters = 2 * 3 * kernel * kernel
        self.conv1, self.bias, self.relu = Conv2d(3, filters, kernel, rng=rng), Bias(filters), ReLU()
        self.conv1.weight.fixed = True
        super().__init__(conv1=self.conv1, bias=self.bias, relu=self.relu)

    def whiten(self, x: np.ndarray) -> None:
        """Take the filters that whiten x (N, 3, H, W), some thousand normalised training pictures."""
        weight = self.conv1.weight.data
        weight[...] = like(whitening_filters(x, weight.shape[2]), weight)

    def backward(self, dout: np.ndarray, *, need_dx: bool = True) -> np.ndarray | None:  # type: ignore[override]
        """need_dx=False: nobody wants the gradient of the pictures; returns None."""
        return self._through_the_filters(self.bias.backward(self.relu.backward(dout)), need_dx)

    def _through_the_filters(self, dout: np.ndarray, need_dx: bool) -> np.ndarray | None:
        """Filters that do not learn need no gradient, so that without need_dx there is nothing to do."""
        cache = self.conv1._take()
        return F.conv2d_backward(dout, cache).dx if need_dx else None


class FusedWhitenedStem(WhitenedStem):
    """Bias and ReLU in one sweep."""

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        if not computes_fused():
            return super().forward(x, training=training, keep_cache=keep_cache)
        x = self.conv1.forward(x, training=training, keep_cache=keep_cache)
        out, cache = F.bias_forward(x, self.bias.bias.data, relu=True)
        self.bias._keep(cache._replace(relu=None), training, keep_cache)
        self.relu._keep(cache.relu, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray, *, need_dx: bool = True) -> np.ndarray | None:  # type: ignore[override]
        dx, db = F.bias_backward(dout, self.bias._take()._replace(relu=self.relu._take()))
        self.bias.bias.accumulate(db)
        return self._through_the_filters(dx, need_dx)


def pooled_entrance(kind: type[Sequential], channels: int, filters: int, *, rng: np.random.Generator) -> Sequential:
    """What opens a stage: a 3x3 convolution, the largest of every 2x2 pixels, batch norm without gamma, ReLU.

    x (N, channels, H, W) -> (N, filters, H // 2, W // 2). Behind the pool batch norm and ReLU sweep over a quarter of the pixels.
    """
    return kind(conv=Conv2d(channels, filters, 3, pad=1, identity=True, rng=rng), pool=MaxPool2d(2, stride=2),
                bn=BatchNorm2d(filters, **NORM), relu=ReLU())


class IdentityBlock(ResidualBlock):
    """`convolutions` of 3x3, each with a batch norm without gamma, and x itself around them: (N, C, H, W) -> the same shape."""

    def __init__(self, channels: int, convolutions: int, *, rng: np.random.Generator) -> None:
        main: dict[str, Layer] = {}
        for i in range(1, convolutions + 1):
            main |= {f"relu{i - 1}": ReLU()} if i > 1 else {}
            main[f"conv{i}"] = Conv2d(channels, channels, 3, pad=1, identity=True, rng=rng)
            main[f"bn{i}"] = BatchNorm2d(channels, **NORM)
        super().__init__(main, IdentityShortcut(), f"relu{convolutions}")


class FusedIdentityBlock(FusedResidualBlock, IdentityBlock):
    """IdentityBlock in fewer sweeps."""
