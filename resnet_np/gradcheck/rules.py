"""What must hold and shows in no gradient: a forward pass can be wrong together with its backward pass.

Every rule is a function that raises AssertionError, with a likely cause where one fits. They run on the backend in use.
"""

from collections.abc import Callable

import numpy as np

from resnet_np import functional as F
from resnet_np.backend import to_device, to_host
from resnet_np.errors import ResNetNpError
from resnet_np.functional.parameter import Parameter
from resnet_np.layers import BatchNorm2d, Conv2d, Dropout
from resnet_np.optim import SGD


def convolution_is_a_cross_correlation() -> None:
    """Against the definition: odd sizes and stride 2; rows of 8, for compiled kernels vectors; many channels; small maps."""
    rng = np.random.default_rng(1)
    for shape, filters, stride in (((2, 3, 7, 5), 4, 2), ((2, 3, 4, 8), 4, 1), ((2, 8, 4, 8), 8, 1), ((8, 2, 2, 2), 3, 1)):
        x, w, pad = rng.standard_normal(shape), rng.standard_normal((filters, shape[1], 3, 3)), 1
        out, _ = F.conv2d_forward(to_device(x), to_device(w), stride=stride, pad=pad)
        expected = _correlate(x, w, stride, pad)
        _require(out.shape == expected.shape, f"the output is {out.shape}, expected {expected.shape}",
                 "(H + 2 pad - k) // stride + 1 is rounded wrongly")
        _agree("the output", out, expected, {
            "the filters are turned by 180 degrees": _correlate(x, w[:, :, ::-1, ::-1], stride, pad),
            "the axes of the filters are exchanged": _correlate(x, w.swapaxes(2, 3), stride, pad)})


def batch_statistics_are_taken_over_images_and_pixels() -> None:
    """Every channel of a normalised batch has mean 0 and variance 1 over N, H and W together."""
    x = np.random.default_rng(2).standard_normal((4, 3, 5, 6)) * np.arange(1, 7) + np.arange(5)[:, None]
    _, cache = F.batchnorm_forward(*map(to_device, (x, np.ones(3), np.zeros(3))))
    _agree("the mean", cache.mean, x.mean((0, 2, 3)), {"taken over the images alone, at one pixel": x[:, :, 0, 0].mean(0)})
    _agree("the variance", cache.var, x.var((0, 2, 3)), {
        "taken over the images alone, at one pixel": x[:, :, 0, 0].var(0), "unbiased": x.var((0, 2, 3), ddof=1)})


def running_statistics_follow_the_batches() -> None:
    """0.1 is the weight of the new batch, and the variance that is stored is unbiased."""
    x = np.random.default_rng(3).standard_normal((2, 2, 2, 3)) * 3 + 2
    norm = BatchNorm2d(2)
    norm.astype(np.float64).to_device()
    norm.forward(to_device(x), training=True)
    mean, var, biased = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1), x.var((0, 2, 3))
    _agree("the running mean", norm.buffers["running_mean"], 0.1 * mean, {
        "never updated": np.zeros(2), "momentum is the weight of the old value: the other convention": 0.9 * mean})
    _agree("the running variance", norm.buffers["running_var"], 0.9 + 0.1 * var, {
        "never updated": np.ones(2), "the biased variance is stored": 0.9 + 0.1 * biased,
        "momentum is the weight of the old value: the other convention": 0.1 + 0.9 * var})


def evaluation_uses_the_running_statistics() -> None:
    """A picture gets the same answer alone and in a batch."""
    rng = np.random.default_rng(4)
    norm, x = BatchNorm2d(2), rng.standard_normal((4, 2, 3, 3)).astype(np.float32)
    norm.buffers["running_mean"][...], norm.buffers["running_var"][...] = [1, 2], [3, 4]
    norm.to_device()
    expected = (x - np.reshape([1, 2], (2, 1, 1))) / np.sqrt(np.reshape([3, 4], (2, 1, 1)) + 1e-5)
    of_batch, _ = F.batchnorm_forward(to_device(x), norm.weight.data, norm.bias.data)
    out = norm.forward(to_device(x), training=False)
    _agree("the output in evaluation", out, expected, {"the statistics of the batch are used": to_host(of_batch)})


def a_frozen_batch_norm_keeps_its_statistics() -> None:
    norm = BatchNorm2d(2)
    norm.freeze()
    norm.to_device()
    norm.forward(to_device(np.random.default_rng(5).standard_normal((4, 2, 3, 3)).astype(np.float32) + 5), training=True)
    kept = bool((norm.buffers["running_mean"] == 0).all()) and bool((norm.buffers["running_var"] == 1).all())
    _require(kept, "the running statistics of a frozen layer moved", "they are updated as if it were not frozen")


def softmax_survives_large_logits() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4]])
    with np.errstate(all="ignore"):
        loss, cache = F.softmax_cross_entropy_forward(to_device(logits), np.array([0, 1]))
    probabilities = to_host(cache.probabilities)
    _require(bool(np.isfinite(float(loss))) and bool(np.isfinite(probabilities).all()), f"the loss of logits of 1e4 is {loss}",
             "exp overflows: the largest logit of a row is not subtracted")
    _agree("the probabilities", probabilities, np.array([[1, 0, 0], [0, 0.5, 0.5]]), {})


def of_equal_pixels_the_first_wins() -> None:
    for k in (2, 3):  # windows of 2x2 have a kernel of their own
        _, cache = F.max_pool_forward(to_device(np.ones((1, 1, k, k))), k=k, stride=k)
        dx = F.max_pool_backward(to_device(np.ones((1, 1, 1, 1))), cache)[0, 0]
        first, last = np.zeros((k, k)), np.zeros((k, k))
        first[0, 0] = last[-1, -1] = 1
        _agree(f"the gradient of a tie of {k}x{k}", dx, first, {
            "sent to every maximum of the tie": np.ones((k, k)), "the last of equals wins": last})


def padding_never_wins_a_max_pool() -> None:
    out, _ = F.max_pool_forward(to_device(np.full((1, 1, 3, 3), -2.0)), k=3, stride=2, pad=1)
    _agree("the maximum of negative pixels", out, np.full((1, 1, 2, 2), -2.0), {
        "padded with 0 instead of -inf": np.zeros((1, 1, 2, 2))})


def dropout_keeps_the_expectation() -> None:
    """Values that stay are divided by 1 - rate, in training; in evaluation nothing happens."""
    layer, x = Dropout(0.2), to_device(np.ones((100, 100)))
    layer.rng = np.random.default_rng(6)
    mean = float(layer.forward(x, training=True).mean())
    _require(abs(mean - 1) < 0.05, f"the mean of ones after dropout 0.2 is {mean:.3f}, expected 1 +- 0.05",
             "what stays is not divided by 1 - rate" if abs(mean - 0.8) < 0.05 else "")
    _require(bool((layer.forward(x, training=False) == x).all()), "values are dropped in evaluation", "dropout is left on")


def relu_leaves_its_argument_alone() -> None:
    """The upstream gradient of a block goes down two branches; nobody may write into it."""
    dout, x = to_device(np.ones((2, 4))), to_device(np.array([[1.0, -1, 1, -1]] * 2))
    F.relu_backward(dout, F.relu_forward(x)[1])
    _require(bool((dout == 1).all()), "ReLU's backward pass wrote into dout", "the shortcut still needs it")


def weight_decay_is_applied_once_and_to_all() -> None:
    """v = grad + decay * w, w -= lr * v, for weights and for the rest where the recipe says so (He et al. 2015: everything)."""
    parameters = {name: Parameter(to_device(np.full(2, 3.0)), decay=name == "weight") for name in ("weight", "bias")}
    SGD(parameters, momentum=0.9, weight_decay=0.1, decay="all").step(0.5)
    for name, parameter in parameters.items():
        _agree(f"{name} after a step", parameter.data, np.full(2, 3 - 0.5 * 0.1 * 3), {
            "decayed twice": np.full(2, 3 - 0.5 * 2 * 0.1 * 3), "not decayed": np.full(2, 3.0)})


def momentum_survives_a_resume() -> None:
    def optimiser() -> tuple[Parameter, SGD]:
        parameter = Parameter(to_device(np.ones(2)), decay=True)
        parameter.grad[...] = 1
        return parameter, SGD({"w": parameter}, momentum=0.9, weight_decay=0)

    parameter, whole = optimiser()
    whole.step(0.1)
    resumed_parameter, resumed = optimiser()
    resumed_parameter.data[...] = parameter.data
    resumed.load_state(whole.state())
    whole.step(0.1)
    resumed.step(0.1)
    _agree("the weight after a resume", resumed_parameter.data, to_host(parameter.data), {
        "the velocity is lost": np.full(2, 1 - 0.1 - 0.1)})


def nan_passes_through() -> None:
    """So that it is found where it arose."""
    x = to_device(np.full((2, 2, 4, 4), np.nan))
    conv = Conv2d(2, 2, 3, rng=np.random.default_rng(0)).astype(np.float64).to_device()
    for name, out in (("relu", F.relu_forward(x)[0]), ("max pool", F.max_pool_forward(x, k=2, stride=2)[0]),
                      ("convolution", conv.forward(x, training=False))):
        _require(bool(np.isnan(to_host(out)).all()), f"{name} turns NaN into a number",
                 "a comparison is written the wrong way round")


RULES: tuple[Callable[[], None], ...] = (
    convolution_is_a_cross_correlation, batch_statistics_are_taken_over_images_and_pixels, running_statistics_follow_the_batches,
    evaluation_uses_the_running_statistics, a_frozen_batch_norm_keeps_its_statistics, softmax_survives_large_logits,
    of_equal_pixels_the_first_wins, padding_never_wins_a_max_pool, dropout_keeps_the_expectation, relu_leaves_its_argument_alone,
    weight_decay_is_applied_once_and_to_all, momentum_survives_a_resume, nan_passes_through)


def name_of(rule: Callable[[], None]) -> str:
    """A rule in words: its name."""
    return rule.__name__.replace("_", " ")


def broken(rule: Callable[[], None]) -> str:
    """Why the rule does not hold on the backend in use; "" if it does."""
    try:
        rule()
    except (AssertionError, ResNetNpError, ValueError, IndexError, TypeError) as error:  # what wrong code does when it is called
        return str(error) or type(error).__name__
    return ""


def _require(holds: bool, what: str, cause: str) -> None:
    if not holds:
        raise AssertionError(f"{what}; {cause}" if cause else what)


def _agree(what: str, ours: np.ndarray, expected: np.ndarray, suspects: dict[str, np.ndarray]) -> None:
    ours = to_host(ours)
    if ours.shape == expected.shape and np.allclose(ours, expected, rtol=1e-5, atol=1e-6):
        return
    alike = (cause for cause, wrong in suspects.items() if ours.shape == wrong.shape and np.allclose(ours, wrong, rtol=1e-5))
    shown, wanted = (np.array2string(np.ravel(array)[:3], precision=4) for array in (ours, expected))
    _require(False, f"{what} is {shown}, expected {wanted}", next(alike, ""))


def _correlate(x: np.ndarray, w: np.ndarray, stride: int, pad: int) -> np.ndarray:
    """The definition: out[n, f, oh, ow] = sum of the window's pixels times the filter."""
    k = w.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows, columns = ((size + 2 * pad - k) // stride + 1 for size in x.shape[2:])
    out = np.empty((len(x), len(w), rows, columns))
    for oh in range(rows):
        for ow in range(columns):
            window = padded[:, None, :, oh * stride:oh * stride + k, ow * stride:ow * stride + k]
            out[:, :, oh, ow] = (window * w).sum((2, 3, 4))
    return out
