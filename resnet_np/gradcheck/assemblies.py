"""The lines of the table that are layers, blocks and whole nets."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from resnet_np.backend import to_device
from resnet_np.gradcheck.causes import is_gradient
from resnet_np.gradcheck.differences import Suspects, TensorReport
from resnet_np.gradcheck.rows import NET, SINGLE, Subject
from resnet_np.gradcheck.subjects import check_layer
from resnet_np.layers import (
    AveragePool2d,
    BasicBlock,
    BatchNorm2d,
    Bias,
    Bottleneck,
    Conv2d,
    Dropout,
    FusedBasicBlock,
    FusedBottleneck,
    FusedIdentityBlock,
    FusedSequential,
    FusedWhitenedStem,
    GlobalAveragePool,
    GlobalMaxPool,
    IdentityBlock,
    Layer,
    Linear,
    MaxPool2d,
    PaddedShortcut,
    ReLU,
    ResidualBlock,
    Scale,
    Sequential,
    WhitenedStem,
    plain_block,
    pooled_entrance,
)
from resnet_np.models import resnet_cifar, resnet_fast, resnet_imagenet


def layers() -> Iterator[Subject]:
    yield _layer("Conv2d", lambda rng: Conv2d(3, 4, 3, stride=2, pad=1, rng=rng), (2, 3, 5, 5))
    yield _layer("Bias", lambda rng: Bias(3), (3, 3, 4, 4))
    yield _layer("BatchNorm2d, training", lambda rng: BatchNorm2d(3), (3, 3, 4, 4))
    yield _layer("BatchNorm2d, without gamma", lambda rng: BatchNorm2d(3, scale=False), (3, 3, 4, 4))
    yield _layer("BatchNorm2d, evaluating", lambda rng: _after_some_batches(BatchNorm2d(3), rng), (3, 3, 4, 4), training=False)
    yield _layer("BatchNorm2d, frozen", lambda rng: _frozen(_after_some_batches(BatchNorm2d(3), rng)), (3, 3, 4, 4))
    yield _layer("ReLU", lambda rng: ReLU(), (3, 4, 5, 5))
    yield _layer("MaxPool2d", lambda rng: MaxPool2d(3, stride=2, pad=1), (2, 2, 6, 6))
    yield _layer("AveragePool2d", lambda rng: AveragePool2d(2, stride=2), (2, 2, 6, 6))
    yield _layer("GlobalAveragePool", lambda rng: GlobalAveragePool(), (2, 3, 4, 4))
    yield _layer("GlobalMaxPool", lambda rng: GlobalMaxPool(), (2, 3, 4, 4))
    yield _layer("Dropout, training", lambda rng: _dropout(rng), (5, 6))
    yield _layer("Dropout, evaluating", lambda rng: _dropout(rng), (5, 6), training=False)
    yield _layer("Scale", lambda rng: Scale(0.3), (4, 5))
    yield _layer("Linear", lambda rng: Linear(5, 3, rng=rng), (4, 5))
    yield _layer("PaddedShortcut", lambda rng: PaddedShortcut(6, stride=2, zero_pad="both"), (2, 3, 5, 5))
    yield _layer("Sequential conv, bn, relu", _sequence(Sequential), (2, 2, 5, 5))
    yield _layer("FusedSequential conv, bn, relu", _sequence(FusedSequential), (2, 2, 5, 5))
    for stem in (WhitenedStem, FusedWhitenedStem):
        yield _layer(stem.__name__, _stem(stem), (2, 3, 4, 5))
    for kind in (Sequential, FusedSequential):
        yield _layer(f"{kind.__name__} conv, max pool, bn, relu", _entrance(kind), (2, 2, 6, 7))


def _sequence(kind: type[Sequential]) -> Callable[[np.random.Generator], Layer]:
    return lambda rng: kind(conv=Conv2d(2, 3, 3, pad=1, rng=rng), bn=BatchNorm2d(3), relu=ReLU())


def _stem(kind: type[WhitenedStem]) -> Callable[[np.random.Generator], Layer]:
    return lambda rng: kind(2, rng=rng)


def _entrance(kind: type[Sequential]) -> Callable[[np.random.Generator], Layer]:
    return lambda rng: pooled_entrance(kind, 2, 3, rng=rng)


def _identity(kind: type[IdentityBlock], convolutions: int) -> Callable[[np.random.Generator], Layer]:
    return lambda rng: kind(3, convolutions, rng=rng)


def blocks() -> Iterator[Subject]:
    for kind in (BasicBlock, FusedBasicBlock):
        name = kind.__name__
        yield _layer(f"{name}, identity", _block(kind, 4, 1, "A", "both"), (2, 4, 5, 5), suspects=_branches)
        yield _layer(f"{name}, option A, zeros both", _block(kind, 2, 2, "A", "both"), (2, 2, 5, 5), suspects=_branches)
        yield _layer(f"{name}, option A, zeros end", _block(kind, 2, 2, "A", "end"), (2, 2, 5, 5), suspects=_branches)
        yield _layer(f"{name}, option B", _block(kind, 2, 2, "B", "both"), (2, 2, 5, 5), suspects=_branches)
    yield _layer("FusedBasicBlock, frozen", lambda rng: _frozen(_block(FusedBasicBlock, 2, 2, "B", "both")(rng)), (2, 2, 5, 5))
    for bottleneck in (Bottleneck, FusedBottleneck):
        for name, channels, stride, place in (("identity", 8, 1, "3x3"), ("v1.5", 3, 2, "3x3"), ("v1", 3, 2, "1x1")):
            yield _layer(f"{bottleneck.__name__}, {name}", _bottleneck(bottleneck, channels, stride, place), (2, channels, 5, 5),
                         suspects=_branches)
    for identity in (IdentityBlock, FusedIdentityBlock):
        for count in (1, 2):
            yield _layer(f"{identity.__name__}, {count} convolution{'s' * (count > 1)}", _identity(identity, count), (2, 3, 5, 5),
                         suspects=_branches)
    yield _layer("plain block", lambda rng: plain_block(2, 4, stride=2, rng=rng), (2, 2, 5, 5))


def _layer(name: str, make: Callable[[np.random.Generator], Layer], shape: tuple[int, ...], **options: Any) -> Subject:
    def check(rng: np.random.Generator) -> list[TensorReport]:
        layer = make(rng).astype(np.float64)
        for parameter in layer.named_parameters().values():  # gamma = 1 and beta = 0 would hide mistakes
            parameter.data += 0.1 * rng.standard_normal(parameter.data.shape)
        return check_layer(layer, rng.standard_normal(shape), rng=rng, **options)

    return Subject(name, "every entry", SINGLE, check)


def _block(
    kind: type[BasicBlock], channels: int, stride: int, shortcut: Any, zero_pad: Any
) -> Callable[[np.random.Generator], Layer]:
    return lambda rng: kind(channels, 4, stride=stride, shortcut=shortcut, zero_pad=zero_pad, rng=rng)


def _bottleneck(kind: type[Bottleneck], channels: int, stride: int, place: Any) -> Callable[[np.random.Generator], Layer]:
    return lambda rng: kind(channels, 2, stride=stride, stride_in=place, rng=rng)


def _branches(block: Layer, dout: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Suspects:
    """What the gradient of x would be if a branch were forgotten."""
    assert isinstance(block, ResidualBlock)
    block.forward(arrays["x"], training=True)
    d_sum = block.relu.backward(dout)
    main, shortcut = block.main.backward(d_sum), block.shortcut.backward(d_sum)
    return {"x": [is_gradient("the shortcut's gradient is forgotten", main),
                  is_gradient("the main branch's gradient is forgotten", shortcut),
                  is_gradient("the shortcut's gradient is subtracted", main - shortcut)]}


def _after_some_batches(norm: BatchNorm2d, rng: np.random.Generator) -> BatchNorm2d:
    norm.to_device()
    for _ in range(3):
        norm.forward(to_device(rng.standard_normal((4, 3, 4, 4)).astype(np.float32) * 2 + 1), training=True, keep_cache=False)
    norm.to_host()
    return norm


def _frozen(layer: Layer) -> Layer:
    layer.freeze()
    return layer


def _dropout(rng: np.random.Generator) -> Dropout:
    layer = Dropout(0.4)
    layer.rng = rng
    return layer


def nets() -> Iterator[Subject]:
    """From the loss to the pictures and to every parameter, in random directions: one is enough, more say how far off."""
    yield _net("ResNet-8, option A", 3, lambda: resnet_cifar(8, seed=1))
    yield _net("ResNet-8, option B, dropout", 3, lambda: resnet_cifar(8, "B", dropout=0.3, seed=2))
    yield _net("ResNet-8, option A, entries", None, lambda: resnet_cifar(8, seed=3))
    yield _net("ResNet-8, option B, separate layers", 3, lambda: resnet_cifar(8, "B", fused=False, seed=6))
    yield _net("plain 8-layer net", 3, lambda: resnet_cifar(8, "none", seed=4))
    yield _net("ResNet-20, option A", 3, lambda: resnet_cifar(20, seed=5))
    yield _net("fast 8-layer net", 3, lambda: _stirred(resnet_fast(8, width=24, seed=9)))
    yield _net("fast 11-layer net, dropout, separate layers", 1, lambda: _stirred(resnet_fast(
        11, width=24, dropout=0.3, fused=False, seed=10)))
    yield _net("ResNet-18, ImageNet stem", 3, lambda: resnet_imagenet(18, width=4, classes=10, seed=7))
    yield _net("ResNet-50, CIFAR stem, v1", 1, lambda: resnet_imagenet(
        50, stem="cifar", stride_in="1x1", width=2, classes=10, seed=8))


def _stirred(net: Layer) -> Layer:
    """Convolutions that are the identity hand the zeros of a ReLU on, and of a window of zeros any may be the largest: a kink."""
    rng = np.random.default_rng(0)
    for parameter in net.named_parameters().values():
        parameter.data += 0.1 * rng.standard_normal(parameter.data.shape).astype(parameter.data.dtype)
    return net


def _net(name: str, directions: int | None, make: Callable[[], Layer]) -> Subject:
    def check(rng: np.random.Generator) -> list[TensorReport]:
        net = make().astype(np.float64)
        if "dropout" in net.children:
            net.children["dropout"].rng = rng  # type: ignore[attr-defined]
        x, labels = rng.standard_normal((4, 3, 16, 16)), rng.integers(0, 10, 4)
        return check_layer(net, x, rng=rng, labels=labels, directions=directions, entries=None if directions else 4)

    return Subject(name, "directions" if directions else "some entries", NET, check)
