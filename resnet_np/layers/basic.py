"""Layers of one pair each: convolution, bias, batch norm, ReLU, pooling, scale, dropout, linear."""

import math
from collections.abc import Callable

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import namespace
from resnet_np.errors import InputError
from resnet_np.functional.parameter import Parameter
from resnet_np.layers.layer import Layer


class Conv2d(Layer):
    """Convolution without bias: the batch norm behind it has one. x (N, C, H, W) -> (N, F, OH, OW).

    weight (F, C, KH, KW): normal with variance 2 / (F KH KW), He et al. 2015 ("Delving deep into rectifiers"), section 2.2, counted
    backwards (fan-out), as in the public re-implementations of the paper.

    identity: the first filters start as the identity, filter c handing on channel c; there are at least as many filters as
    channels. "Dirac initialisation", Zagoruyko and Komodakis 2017, section 3. The remaining filters, which would be dead if they
    were zero, are uniform in +-1 / sqrt(C KH KW), PyTorch's default. Raises InputError where there are fewer filters than channels,
    or no middle pixel.
    """

    def __init__(
        self, channels: int, filters: int, kernel: int, *, stride: int = 1, pad: int = 0, identity: bool = False,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        shape = filters, channels, kernel, kernel
        if identity:
            if filters < channels or kernel % 2 == 0:
                raise InputError(f"Conv2d: {filters} filters of {kernel}x{kernel} cannot start as the identity of {channels} "
                                 "channels")
            bound = 1 / math.sqrt(channels * kernel * kernel)
            weight = _drawn(shape, lambda shape: rng.uniform(-bound, bound, shape))
            weight[:channels] = 0
            weight[range(channels), range(channels), kernel // 2, kernel // 2] = 1
        else:
            deviation = math.sqrt(2 / (filters * kernel * kernel))
            weight = _drawn(shape, lambda shape: rng.normal(0, deviation, shape))
        self.weight = self.parameters["weight"] = Parameter(weight, decay=True)
        self.stride, self.pad = stride, pad

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.conv2d_forward(x, self.weight.data, stride=self.stride, pad=self.pad)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray, *, need_dx: bool = True) -> np.ndarray | None:  # type: ignore[override]
        """need_dx=False: the layer's input is a picture, whose gradient nobody wants; returns None."""
        dx, dw = F.conv2d_backward(dout, self._take(), need_dx=need_dx)
        self.weight.accumulate(dw)
        return dx


class Bias(Layer):
    """A number added to every channel: (N, C, H, W), behind a convolution that no batch norm follows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = self.parameters["bias"] = Parameter(np.zeros(channels, np.float32), decay=False)

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.bias_forward(x, self.bias.data)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        dx, db = F.bias_backward(dout, self._take())
        self.bias.accumulate(db)
        return dx


class BatchNorm2d(Layer):
    """Batch normalisation of (N, C, H, W) over N, H and W. Ioffe and Szegedy 2015.

    weight (C,) is gamma, bias (C,) beta; running_mean and running_var (C,) follow the batches with `momentum` as the weight of the
    new one, the variance unbiased. Evaluating or frozen, the running statistics are used and stay as they are.

    scale=False: gamma stays 1.
    """

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5, scale: bool = True) -> None:
        super().__init__()
        self.weight = self.parameters["weight"] = Parameter(np.ones(channels, np.float32), decay=False, fixed=not scale)
        self.bias = self.parameters["bias"] = Parameter(np.zeros(channels, np.float32), decay=False)
        self.buffers["running_mean"] = np.zeros(channels, np.float32)
        self.buffers["running_var"] = np.ones(channels, np.float32)
        self.momentum, self.eps = momentum, eps

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        gamma, beta = self.weight.data, self.bias.data
        mean, var = self.buffers["running_mean"], self.buffers["running_var"]
        cache: F.BatchNormCache | F.BatchNormFrozenCache
        if training and not self.frozen:
            out, cache = F.batchnorm_forward(x, gamma, beta, eps=self.eps)
            self.follow(cache)
        else:
            out, cache = F.batchnorm_frozen_forward(x, gamma, beta, mean, var, eps=self.eps)
        self._keep(cache, training, keep_cache)
        return out

    def follow(self, cache: F.BatchNormCache) -> None:
        """Move the running statistics a step towards those of the batch."""
        mean, var = self.buffers["running_mean"], self.buffers["running_var"]
        count = cache.x.size // cache.x.shape[1]
        mean[...], var[...] = F.update_running(mean, var, cache.mean, cache.var, count, momentum=self.momentum)

    def backward(self, dout: np.ndarray) -> np.ndarray:
        cache = self._take()
        frozen = isinstance(cache, F.BatchNormFrozenCache)
        dx, dgamma, dbeta = F.batchnorm_frozen_backward(dout, cache) if frozen else F.batchnorm_backward(dout, cache)
        self.weight.accumulate(dgamma)
        self.bias.accumulate(dbeta)
        return dx


class ReLU(Layer):
    """max(x, 0), any shape."""

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.relu_forward(x)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return F.relu_backward(dout, self._take())


class GlobalAveragePool(Layer):
    """The mean of every map: (N, C, H, W) -> (N, C)."""

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.global_average_pool_forward(x)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return F.global_average_pool_backward(dout, self._take())


class GlobalMaxPool(Layer):
    """The largest pixel of every map: (N, C, H, W) -> (N, C)."""

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.global_max_pool_forward(x)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return F.global_max_pool_backward(dout, self._take())


class MaxPool2d(Layer):
    """The largest pixel of every window: (N, C, H, W) -> (N, C, OH, OW)."""

    def __init__(self, k: int, *, stride: int, pad: int = 0) -> None:
        super().__init__()
        self.k, self.stride, self.pad = k, stride, pad

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.max_pool_forward(x, k=self.k, stride=self.stride, pad=self.pad)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return F.max_pool_backward(dout, self._take())


class AveragePool2d(Layer):
    """The mean of every window: (N, C, H, W) -> (N, C, OH, OW)."""

    def __init__(self, k: int, *, stride: int) -> None:
        super().__init__()
        self.k, self.stride = k, stride

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.average_pool_forward(x, k=self.k, stride=self.stride)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return F.average_pool_backward(dout, self._take())


class Scale(Layer):
    """A constant times x, any shape."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.scale_forward(x, factor=self.factor)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return F.scale_backward(dout, self._take())


class Dropout(Layer):
    """In training, values are set to 0 with probability `rate` and the others divided by 1 - rate; evaluating or frozen, x itself.

    rng: where the next mask is drawn from; whoever trains sets it before every step, so that a step can be done again.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.rng: np.random.Generator | None = None

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        if not training or self.frozen:
            self._keep(F.DropoutCache(namespace(x).ones_like(x)), training, keep_cache)
            return x
        if self.rng is None:
            raise InputError("Dropout: training needs random numbers; set the layer's rng, a np.random.Generator, before the step")
        out, cache = F.dropout_forward(x, rate=self.rate, rng=self.rng)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        return F.dropout_backward(dout, self._take())


class Linear(Layer):
    """x (N, I) -> x weight^T + bias (N, O).

    weight (O, I) and bias (O,): uniform in +- 1 / sqrt(I), PyTorch's default, which the recipe `short` is measured against.
    """

    def __init__(self, features: int, outputs: int, *, rng: np.random.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(features)
        weight = _drawn((outputs, features), lambda shape: rng.uniform(-bound, bound, shape))
        self.weight = self.parameters["weight"] = Parameter(weight, decay=True)
        self.bias = self.parameters["bias"] = Parameter(rng.uniform(-bound, bound, outputs).astype(np.float32), decay=False)

    def forward(self, x: np.ndarray, *, training: bool, keep_cache: bool | None = None) -> np.ndarray:
        out, cache = F.linear_forward(x, self.weight.data, self.bias.data)
        self._keep(cache, training, keep_cache)
        return out

    def backward(self, dout: np.ndarray) -> np.ndarray:
        dx, dw, db = F.linear_backward(dout, self._take())
        self.weight.accumulate(dw)
        self.bias.accumulate(db)
        return dx


def _drawn(shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], np.ndarray]) -> np.ndarray:
    """float32 of a shape, drawn filter by filter: draws are float64, and of a large layer would fill twice its memory."""
    weight = np.empty(shape, np.float32)
    for row in weight:
        row[...] = draw(row.shape)
    return weight
