"""The lines of the table that are pairs of functions."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import to_device
from resnet_np.gradcheck.causes import assigned, factors, is_forward, is_gradient
from resnet_np.gradcheck.differences import Suspects, TensorReport
from resnet_np.gradcheck.rows import SINGLE, Check, Subject
from resnet_np.gradcheck.subjects import check_pair


def operations() -> Iterator[Subject]:
    for name, x_shape, w_shape, stride, pad in (
        ("3x3, no padding", (2, 3, 5, 6), (4, 3, 3, 3), 1, 0),
        ("3x3", (2, 3, 5, 6), (4, 3, 3, 3), 1, 1),
        ("3x3, stride 2", (2, 3, 7, 7), (4, 3, 3, 3), 2, 1),
        ("3x3, rows of vectors", (2, 2, 3, 8), (5, 2, 3, 3), 1, 1),
        ("3x3, stride 2, rows of vectors", (2, 2, 4, 16), (3, 2, 3, 3), 2, 1),
        ("3x3, Winograd", (3, 9, 6, 4), (10, 9, 3, 3), 1, 1),
        ("3x3, maps of 2x2", (8, 2, 2, 2), (3, 2, 3, 3), 1, 1),
        ("1x1, stride 2", (2, 3, 5, 5), (6, 3, 1, 1), 2, 0),
        ("2x4, stride 3", (2, 2, 7, 8), (3, 2, 2, 4), 3, 0),
        ("7x7, stride 2", (1, 2, 9, 9), (2, 2, 7, 7), 2, 3),
    ):
        yield Subject(f"conv2d {name}", "every entry", SINGLE, _conv(x_shape, w_shape, stride, pad, None))
    for name, x_shape, w_shape, stride in (
        ("16 channels, 32x32", (2, 16, 32, 32), (16, 16, 3, 3), 1),
        ("32 to 64, 16x16, stride 2", (2, 32, 16, 16), (64, 32, 3, 3), 2),
    ):
        yield Subject(f"conv2d {name}", "directions", SINGLE, _conv(x_shape, w_shape, stride, 1, 3))
    yield Subject("batchnorm", "every entry", SINGLE, _batchnorm)
    yield Subject("batchnorm, frozen statistics", "every entry", SINGLE, _batchnorm_frozen)
    yield _pair("bias", F.bias_forward, lambda dout, cache: dict(zip("xb", F.bias_backward(dout, cache), strict=True)),
                x=(3, 2, 4, 5), b=(2,))
    yield _pair("bias and relu", lambda x, b: F.bias_forward(x, b, relu=True),
                lambda dout, cache: dict(zip("xb", F.bias_backward(dout, cache), strict=True)), x=(3, 2, 4, 5), b=(2,))
    fused_cases: tuple[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
        ("relu", (2, 3, 4, 5), (4, 3, 3, 3), {"relu": True, "pad": 1}),
        ("1x1, stride 2", (2, 3, 5, 5), (4, 3, 1, 1), {"relu": False, "stride": 2}),
        ("relu, stride 2", (2, 2, 4, 16), (3, 2, 3, 3), {"relu": True, "stride": 2, "pad": 1}),
        ("relu, Winograd", (2, 8, 4, 4), (9, 8, 3, 3), {"relu": True, "pad": 1}),
        ("relu, maps of 2x2", (8, 2, 2, 2), (3, 2, 3, 3), {"relu": True, "pad": 1}),
    )
    for name, images, filters, options in fused_cases:
        yield Subject(f"fused conv bn {name}", "every entry", SINGLE, _conv_batchnorm(images, filters, False, options))
        yield Subject(f"fused conv bn same {name}", "every entry", SINGLE, _conv_batchnorm(images, filters, True, options))
        yield Subject(f"fused conv bn {name}, frozen", "every entry", SINGLE, _conv_batchnorm_frozen(images, filters, options))
    yield _pair("relu", F.relu_forward, lambda dout, cache: {"x": F.relu_backward(dout, cache)}, x=(3, 4, 5))
    yield _pair("add", lambda a, b: (F.add_forward(a, b), None),
                lambda dout, _: dict(zip("ab", F.add_backward(dout), strict=True)), a=(2, 3, 4), b=(2, 3, 4))
    for side in ("both", "end"):
        yield _pair(f"shortcut A, zeros {side}", lambda x, side=side: F.shortcut_forward(x, channels=7, stride=2, zero_pad=side),
                    lambda dout, cache: {"x": F.shortcut_backward(dout, cache)}, x=(2, 3, 5, 5))
    yield _pair("global average pool", F.global_average_pool_forward,
                lambda dout, cache: {"x": F.global_average_pool_backward(dout, cache)}, x=(2, 3, 4, 5))
    yield _pair("global max pool", F.global_max_pool_forward,
                lambda dout, cache: {"x": F.global_max_pool_backward(dout, cache)}, x=(2, 3, 4, 5))
    for k, stride, pad in ((2, 2, 0), (3, 2, 1)):
        yield _pair(f"max pool {k}x{k}, stride {stride}", lambda x, k=k, stride=stride, pad=pad: F.max_pool_forward(
            x, k=k, stride=stride, pad=pad), lambda dout, cache: {"x": F.max_pool_backward(dout, cache)}, x=(2, 2, 7, 8))
        yield _pair(f"average pool {k}x{k}, stride {stride}", lambda x, k=k, stride=stride: F.average_pool_forward(
            x, k=k, stride=stride), lambda dout, cache: {"x": F.average_pool_backward(dout, cache)}, x=(2, 2, 7, 8))
    yield _pair("linear", F.linear_forward, lambda dout, cache: dict(zip("xwb", F.linear_backward(dout, cache), strict=True)),
                x=(3, 4), w=(4, 4), b=(4,))
    yield _pair("scale", lambda x: F.scale_forward(x, factor=0.3), lambda dout, cache: {"x": F.scale_backward(dout, cache)},
                x=(3, 4))
    yield _pair("dropout", lambda x: F.dropout_forward(x, rate=0.4, rng=np.random.default_rng(1)),
                lambda dout, cache: {"x": F.dropout_backward(dout, cache)}, x=(5, 6))
    for name, smoothing in (("", 0.0), (", labels smoothed", 0.1)):
        yield Subject(f"softmax cross-entropy{name}", "every entry", SINGLE, _cross_entropy(np.array([0, 3, 1, 4]), smoothing))
    mixed = np.array([[0.7, 0.3, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0.2, 0, 0, 0.8], [0.25, 0.25, 0.25, 0.25, 0]])
    yield Subject("softmax cross-entropy, labels mixed", "every entry", SINGLE, _cross_entropy(mixed, 0.0))


def _pair(name: str, forward: Callable, backward: Callable[[Any, Any], Mapping], **shapes: tuple[int, ...]) -> Subject:
    def check(rng: np.random.Generator) -> list[TensorReport]:
        arrays = {key: rng.standard_normal(shape) for key, shape in shapes.items()}
        return check_pair(forward, backward, arrays, rng=rng)

    return Subject(name, "every entry", SINGLE, check)


def _conv(x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: int, pad: int, directions: int | None) -> Check:
    def suspects(cache: F.ConvCache, dout: np.ndarray) -> Suspects:
        rows, columns = (_windows(size, k, stride, pad) for size, k in zip(x_shape[2:], w_shape[2:], strict=True))
        windows = np.broadcast_to(rows[:, None] * columns, x_shape)
        return {"x": [assigned(windows)], "w": factors({"the batch size": x_shape[0]})}

    def backward(dout: np.ndarray, cache: F.ConvCache) -> Mapping[str, np.ndarray]:
        dx, dw = F.conv2d_backward(dout, cache)
        assert dx is not None  # need_dx is True
        return {"x": dx, "w": dw}

    return lambda rng: check_pair(
        lambda x, w: F.conv2d_forward(x, w, stride=stride, pad=pad), backward,
        {"x": rng.standard_normal(x_shape), "w": rng.standard_normal(w_shape)},
        rng=rng, directions=directions, suspects=suspects)


def _windows(size: int, k: int, stride: int, pad: int) -> np.ndarray:
    """How many windows of a row of `size` pixels see each of them."""
    places = np.arange((size + 2 * pad - k) // stride + 1)[:, None] * stride + np.arange(k) - pad
    return np.bincount(places[(places >= 0) & (places < size)], minlength=size)


def _batchnorm(rng: np.random.Generator) -> list[TensorReport]:
    shape = (3, 2, 4, 5)
    sizes = {"the batch size": 3, "the pixels of a map": 20, "the values of a channel": 60}

    def suspects(cache: F.BatchNormCache, dout: np.ndarray) -> Suspects:
        scale = (cache.gamma * cache.inv_std)[:, None, None]
        centred = dout - dout.mean((0, 2, 3), keepdims=True)
        return {"x": [is_gradient("mean and variance treated as constants", scale * dout),
                      is_gradient("variance treated as a constant", scale * centred),
                      is_forward("forward does not use the statistics of the batch: running ones?", scale * dout), *factors(sizes)],
                "gamma": factors(sizes), "beta": factors(sizes)}

    return check_pair(
        F.batchnorm_forward, lambda dout, cache: dict(zip(("x", "gamma", "beta"), F.batchnorm_backward(dout, cache), strict=True)),
        {"x": rng.standard_normal(shape) + 1, "gamma": rng.standard_normal(2), "beta": rng.standard_normal(2)},
        rng=rng, suspects=suspects)


def _batchnorm_frozen(rng: np.random.Generator) -> list[TensorReport]:
    mean, var = to_device(rng.standard_normal(2)), to_device(rng.uniform(0.5, 2, 2))
    return check_pair(
        lambda x, gamma, beta: F.batchnorm_frozen_forward(x, gamma, beta, mean, var),
        lambda dout, cache: dict(zip(("x", "gamma", "beta"), F.batchnorm_frozen_backward(dout, cache), strict=True)),
        {"x": rng.standard_normal((3, 2, 4, 5)), "gamma": rng.standard_normal(2), "beta": rng.standard_normal(2)}, rng=rng)


def _conv_batchnorm(x_shape: tuple[int, ...], w_shape: tuple[int, ...], adds: bool, options: dict[str, Any]) -> Check:
    def backward(dout: np.ndarray, cache: F.ConvNormCache) -> dict[str, np.ndarray]:
        grads = F.conv_batchnorm_backward(dout, cache)
        assert grads.dx is not None  # need_dx is True
        found = {"x": grads.dx, "w": grads.dw, "gamma": grads.dgamma, "beta": grads.dbeta}
        return found | ({"same": grads.dsame} if grads.dsame is not None else {})

    def suspects(cache: F.ConvNormCache, dout: np.ndarray) -> Suspects:
        norm, dsum = cache.batchnorm, F.relu_backward(dout, cache.relu) if cache.relu else dout
        scale = (norm.gamma * norm.inv_std)[:, None, None]
        centred = dsum - dsum.mean((0, 2, 3), keepdims=True)
        x, w = [], []
        for cause, dy in (("mean and variance treated as constants", dsum), ("variance treated as a constant", centred)):
            wrong = F.conv2d_backward(scale * dy, cache.conv)
            assert wrong.dx is not None  # need_dx is True
            x.append(is_gradient(cause, wrong.dx))
            w.append(is_gradient(cause, wrong.dw))
        return {"x": x, "w": w, "same": [is_gradient("the ReLU is forgotten", dout)]}

    def check(rng: np.random.Generator) -> list[TensorReport]:
        shapes = {"x": x_shape, "w": w_shape, "gamma": w_shape[:1], "beta": w_shape[:1]}
        arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        if adds:
            x, w = to_device(arrays["x"]), to_device(arrays["w"])
            out, _ = F.conv2d_forward(x, w, stride=options.get("stride", 1), pad=options.get("pad", 0))
            arrays["same"] = rng.standard_normal(out.shape)
        return check_pair(
            lambda **given: F.conv_batchnorm_forward(**given, **options), backward, arrays, rng=rng, suspects=suspects)

    return check


def _conv_batchnorm_frozen(x_shape: tuple[int, ...], w_shape: tuple[int, ...], options: dict[str, Any]) -> Check:
    def backward(dout: np.ndarray, cache: F.ConvNormCache) -> dict[str, np.ndarray]:
        grads = F.conv_batchnorm_backward(dout, cache)
        assert grads.dx is not None  # need_dx is True
        return {"x": grads.dx, "w": grads.dw, "gamma": grads.dgamma, "beta": grads.dbeta}

    def check(rng: np.random.Generator) -> list[TensorReport]:
        mean, var = to_device(rng.standard_normal(w_shape[0])), to_device(rng.uniform(0.5, 2, w_shape[0]))
        shapes = {"x": x_shape, "w": w_shape, "gamma": w_shape[:1], "beta": w_shape[:1]}
        return check_pair(
            lambda x, w, gamma, beta: F.conv_batchnorm_frozen_forward(x, w, gamma, beta, mean, var, **options), backward,
            {name: rng.standard_normal(shape) for name, shape in shapes.items()}, rng=rng)

    return check


def _cross_entropy(labels: np.ndarray, smoothing: float) -> Check:
    def suspects(cache: F.CrossEntropyCache, dout: np.ndarray) -> Suspects:
        count = len(cache.targets)
        return {"logits": [is_gradient("the labels are not subtracted", dout * cache.probabilities / count),
                           *factors({"the batch size": count})]}

    return lambda rng: check_pair(
        lambda logits: F.softmax_cross_entropy_forward(logits, labels, smoothing=smoothing),
        lambda dout, cache: {"logits": dout * F.softmax_cross_entropy_backward(cache)},
        {"logits": rng.standard_normal((4, 5))}, rng=rng, suspects=suspects)
