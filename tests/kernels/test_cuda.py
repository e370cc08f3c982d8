"""The kernels for the GPU, on the CPU: cuda.py through the stand-in for CuPy, against array.py; the real .cu files are run."""

import numpy as np
import pytest

from resnet_np.kernels.batchnorm import array as batchnorm
from resnet_np.kernels.conv import array as conv
from resnet_np.kernels.elementwise import array as elementwise
from resnet_np.kernels.fused import array as fused
from resnet_np.kernels.linear import array as linear
from resnet_np.kernels.pooling import array as pooling
from resnet_np.kernels.sgd import array as sgd
from resnet_np.kernels.shortcut import array as shortcut
from resnet_np.kernels.softmax import array as softmax

pytestmark = pytest.mark.nojit

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}  # of the largest value


@pytest.fixture(params=["float32", "float64"])
def draw(request, rng):
    """draw(*shape): random normal numbers of either dtype."""
    return lambda *shape: rng.standard_normal(shape).astype(request.param)


@pytest.fixture
def agree(cupy_standin):
    """agree(array.function, *arguments, **options): what cuda.py's function of this name returns. It is what array.py's returns,
    fresh and C-contiguous; no argument is written, a second call gives the same bits, nothing is copied from or to the device."""

    def run(expected, *arguments, **options):
        module = __import__(expected.__module__.replace(".array", ".cuda").replace(".composed", ".cuda"), fromlist=["cuda"])
        function = getattr(module, expected.__name__)
        device = [cupy_standin.asarray(value) if isinstance(value, np.ndarray) else value for value in arguments]
        for value in device:
            if isinstance(value, cupy_standin.ndarray):
                value._host.setflags(write=False)
        before = len(cupy_standin.transfers.made)
        found, again = function(*device, **options), function(*device, **options)
        assert cupy_standin.transfers.made[before:] == []
        found, again, wanted = (value if isinstance(value, tuple) else (value,) for value in (
            found, again, expected(*arguments, **options)))
        for ours, second, theirs in zip(found, again, wanted, strict=True):
            assert type(ours) is cupy_standin.ndarray and ours.flags.c_contiguous
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            assert not any(np.shares_memory(ours._host, value._host) for value in device if isinstance(value, cupy_standin.ndarray))
            np.testing.assert_array_equal(ours.get(), second.get())
            scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=1e-30)
            np.testing.assert_allclose(ours.get(), theirs, rtol=0, atol=TOLERANCES.get(theirs.dtype.name, 0) * scale)
        return found

    return run


# x (N, C, H, W), w (F, C, KH, KW), stride, pad
CONVOLUTIONS = [
    ((2, 3, 7, 5), (4, 3, 3, 3), 1, 1), ((1, 2, 8, 9), (3, 2, 3, 3), 2, 1), ((3, 1, 9, 11), (2, 1, 7, 7), 2, 3),
    ((2, 4, 5, 3), (5, 4, 1, 1), 1, 0), ((2, 4, 5, 3), (5, 4, 1, 1), 2, 0), ((1, 4, 4, 3), (2, 4, 1, 1), 1, 2),
    ((2, 2, 6, 5), (3, 2, 3, 2), 1, 0), ((1, 3, 8, 7), (2, 3, 2, 2), 3, 0), ((4, 16, 16, 16), (16, 16, 3, 3), 1, 1),
]
convolutions = pytest.mark.parametrize(("x_shape", "w_shape", "stride", "pad"), CONVOLUTIONS, ids=str)


@pytest.mark.parametrize("slab_bytes", [1, 5000, 1 << 28])
@convolutions
def test_convolution(agree, draw, monkeypatch, x_shape, w_shape, stride, pad, slab_bytes):
    monkeypatch.setattr("resnet_np.kernels.conv.cuda.SLAB_BYTES", slab_bytes)
    x, w = draw(*x_shape), draw(*w_shape)
    out, = agree(conv.forward, x, w, stride=stride, pad=pad)
    dout = draw(*out.shape)
    agree(conv.input_grad, dout, w, x_shape=x_shape, stride=stride, pad=pad)
    agree(conv.weight_grad, dout, x, w_shape=w_shape, stride=stride, pad=pad)
    agree(fused.input_grad_plus, dout, w, draw(*x_shape), x_shape=x_shape, stride=stride, pad=pad)


def test_a_convolution_is_one_product(cupy_standin, agree, draw):
    """One launch of im2col serves the batch, and a 1x1 kernel needs none."""
    agree(conv.forward, draw(8, 3, 6, 6), draw(4, 3, 3, 3), stride=1, pad=1)
    assert cupy_standin.launches == ["im2col"] * 2  # agree calls twice
    agree(conv.forward, draw(8, 3, 6, 6), draw(4, 3, 1, 1), stride=1, pad=0)
    assert len(cupy_standin.launches) == 2


def test_infinity_stays_where_its_window_is(agree, draw):
    x = draw(1, 2, 6, 6)
    x[0, 0, 2, 2] = np.inf
    out, = agree(conv.forward, x, np.abs(draw(3, 2, 3, 3)), stride=1, pad=1)
    assert np.isinf(out.get()).sum() == 3 * 9


def normed(draw, shape):
    """x, and mean, inv_std, gamma, beta of its channels."""
    x, C = draw(*shape), shape[1]
    mean, var = batchnorm.statistics(x)
    return x, mean, 1 / np.sqrt(var + x.dtype.type(1e-5)), draw(C), draw(C)


PLANES = pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 2), (5, 7, 1, 1), (37, 2, 3, 11), (3, 4, 17, 19)], ids=str)


@pytest.fixture(params=[None, 1, 40], ids=["one part", "a part an image", "parts"])
def parts(request, monkeypatch):
    """The sum over a channel in one part, or in several."""
    if request.param:
        monkeypatch.setattr("resnet_np.kernels.batchnorm.cuda.PART_VALUES", request.param)


@PLANES
def test_batchnorm(agree, draw, parts, shape):
    x, mean, inv_std, gamma, beta = normed(draw, shape)
    agree(batchnorm.statistics, x)
    agree(batchnorm.normalise, x, mean, inv_std, gamma, beta)
    dout = draw(*shape)
    agree(batchnorm.backward, dout, x, mean, inv_std, gamma)
    agree(batchnorm.frozen_backward, dout, x, mean, inv_std, gamma)


@PLANES
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("adds", [False, True])
def test_batchnorm_with_what_is_behind_it(agree, draw, shape, relu, adds):
    x, mean, inv_std, gamma, beta = normed(draw, shape)
    same = draw(*shape) if adds else None
    agree(fused.normalise, x, mean, inv_std, gamma, beta, same, relu=relu)
    w = draw(3, shape[1], 1, 1)
    agree(fused.conv_statistics, x, w, stride=2, pad=0)
    y = conv.forward(x, w, stride=1, pad=0)
    same = draw(*y.shape) if adds else None
    agree(fused.conv_normalise, x, w, *batchnorm.statistics(y), draw(3), draw(3), same, relu=relu, stride=1, pad=0)


@PLANES
@pytest.mark.parametrize("frozen", [False, True])
def test_batchnorm_behind_a_relu(agree, draw, parts, shape, frozen):
    x, mean, inv_std, gamma, beta = normed(draw, shape)
    out = fused.normalise(x, mean, inv_std, gamma, beta, None, relu=True)
    agree(fused.normalise_relu_backward, draw(*shape), out, x, mean, inv_std, gamma, beta, frozen=frozen)


def test_parts_of_a_batch(standin, draw):
    """As many as fill a large GPU, if none becomes too small; from shapes alone."""
    from resnet_np.kernels.batchnorm.cuda import _parts

    for shape, expected in {(128, 16, 32, 32): 16, (512, 16, 32, 32): 16, (512, 64, 8, 8): 4, (128, 64, 8, 8): 1, (4, 3, 2, 2): 1,
                            (2, 3, 99, 99): 2, (512, 1024, 8, 8): 1}.items():
        assert _parts(np.broadcast_to(np.float32(0), shape)) == expected


def test_the_variance_of_a_large_mean(agree, draw, parts):
    """In one pass, float32 is off by 6 %."""
    x = draw(16, 2, 16, 16) + 1000
    _, var = agree(batchnorm.statistics, x)
    np.testing.assert_allclose(var.get(), x.var(axis=(0, 2, 3), dtype=np.float64), rtol=1e-5)


def test_nan_passes_through_batchnorm_and_relu(agree, draw):
    x, mean, inv_std, gamma, beta = normed(draw, (2, 3, 4, 4))
    x[1, 2, 3, 3] = np.nan
    out, = agree(fused.normalise, x, mean, inv_std, gamma, beta, None, relu=True)
    assert np.isnan(out.get()).sum() == 1
    agree(fused.normalise_relu_backward, draw(*x.shape), out.get(), x, mean, inv_std, gamma, beta, frozen=False)
    mean, _ = agree(batchnorm.statistics, x)
    np.testing.assert_array_equal(np.isnan(mean.get()), [False, False, True])


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4, 5)], ids=str)
def test_elementwise(agree, draw, shape):
    a, b = draw(*shape), draw(*shape)
    a.flat[:4] = 0, np.nan, np.inf, -np.inf
    out, = agree(elementwise.relu_forward, a)
    agree(elementwise.relu_backward, b, out.get())
    agree(elementwise.add, a, b)
    agree(elementwise.multiply, a, b)


def test_an_infinite_gradient_stops_at_a_closed_relu(agree, draw):
    dout, out = draw(4), draw(4)
    dout[0], out[0] = np.inf, 0
    dx, = agree(elementwise.relu_backward, dout, out)
    assert dx.get()[0] == 0


def test_linear(agree, draw):
    agree(linear.forward, draw(5, 7), draw(3, 7), draw(3))
    agree(linear.backward, draw(5, 3), draw(5, 7), draw(3, 7))


@pytest.mark.parametrize(("shape", "stride", "channels", "before"), [((2, 3, 5, 7), 2, 6, 1), ((1, 2, 4, 4), 1, 2, 0)], ids=str)
def test_shortcut(agree, draw, shape, stride, channels, before):
    out, = agree(shortcut.forward, draw(*shape), channels=channels, stride=stride, before=before)
    agree(shortcut.backward, draw(*out.shape), x_shape=shape, stride=stride, before=before)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (3, 40, 7, 7)], ids=str)
def test_global_average(agree, draw, shape):
    agree(pooling.global_average_forward, draw(*shape))
    agree(pooling.global_average_backward, draw(*shape[:2]), x_shape=shape)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (3, 40, 7, 7)], ids=str)
def test_global_max(agree, draw, shape):
    """Of equals the first wins, NaN wins."""
    agree(pooling.global_max_forward, draw(*shape))
    agree(pooling.global_max_forward, np.full(shape, -np.inf, draw(1).dtype))
    few = np.round(draw(*shape))
    few[few == 1] = np.nan
    agree(pooling.global_max_forward, few)


WINDOWS = pytest.mark.parametrize(("shape", "k", "stride", "pad"), [
    ((2, 3, 9, 11), 3, 2, 1), ((1, 1, 4, 4), 2, 2, 0), ((2, 2, 7, 5), 3, 1, 1), ((1, 2, 5, 5), 5, 1, 0), ((1, 2, 8, 8), 2, 3, 1),
    ((2, 1, 4, 6), 1, 1, 0), ((1, 3, 6, 6), 4, 2, 2)], ids=str)


@WINDOWS
def test_max_pool(agree, draw, shape, k, stride, pad):
    out, winners = agree(pooling.max_forward, draw(*shape), k=k, stride=stride, pad=pad)
    agree(pooling.max_backward, draw(*out.shape), winners.get(), x_shape=shape)


@WINDOWS
def test_max_pool_of_equal_infinite_and_missing_values(agree, draw, shape, k, stride, pad):
    """Of equals the first wins, padding never does, NaN wins."""
    dtype = draw(1).dtype
    agree(pooling.max_forward, np.zeros(shape, dtype), k=k, stride=stride, pad=pad)
    agree(pooling.max_forward, np.full(shape, -np.inf, dtype), k=k, stride=stride, pad=pad)
    x = draw(*shape)
    x[..., ::2, 1::3], x[..., :3, 0] = -np.inf, np.nan
    x[0, 0, -1] = np.inf
    out, winners = agree(pooling.max_forward, x, k=k, stride=stride, pad=pad)
    assert np.isnan(out.get()).any()
    agree(pooling.max_backward, draw(*out.shape), winners.get(), x_shape=shape)


@pytest.mark.parametrize(("shape", "k", "stride"), [((2, 3, 9, 11), 3, 2), ((1, 1, 4, 4), 2, 2), ((2, 2, 5, 5), 3, 1)], ids=str)
def test_average_pool(agree, draw, shape, k, stride):
    out, = agree(pooling.average_forward, draw(*shape), k=k, stride=stride)
    agree(pooling.average_backward, draw(*out.shape), x_shape=shape, k=k, stride=stride)


@pytest.mark.parametrize("shape", [(5, 10), (1, 1), (300, 3)], ids=str)
def test_softmax(agree, draw, shape):
    logits, targets = draw(*shape), softmax.probabilities(draw(*shape))
    agree(softmax.probabilities, logits)
    _, probabilities = agree(softmax.cross_entropy_forward, logits, targets)
    agree(softmax.cross_entropy_backward, probabilities.get(), targets)


def test_softmax_of_large_infinite_and_missing_logits(agree, draw):
    logits = draw(5, 4)
    logits[0], logits[1, 2], logits[2, 3], logits[3, 0], logits[4, 1] = (1e4, -1e4, 0, 5), -np.inf, np.nan, np.nan, np.inf
    targets = np.zeros_like(logits)
    targets[:, 1] = 1
    with np.errstate(invalid="ignore"):
        losses, _ = agree(softmax.cross_entropy_forward, logits, targets)
    np.testing.assert_array_equal(np.isnan(losses.get()), [False, False, True, True, True])


@pytest.mark.parametrize("weight_decay", [0.0, 1e-4])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("shape", [(5,), (3, 2, 3, 3), (300, 2)], ids=str)
def test_sgd(cupy_standin, draw, shape, nesterov, weight_decay):
    from resnet_np.kernels.sgd import cuda

    w, grad, v = draw(*shape), draw(*shape), draw(*shape)
    device = [cupy_standin.asarray(value) for value in (w, grad, v)]
    device[1]._host.setflags(write=False)
    cupy_standin.transfers.made.clear()
    options = {"lr": np.float64(0.1), "momentum": 0.9, "nesterov": nesterov, "weight_decay": weight_decay}
    for _ in range(2):
        cuda.update(*device, **options)
        sgd.update(w, grad, v, **options)
    assert cupy_standin.transfers.made == []
    assert cupy_standin.launches == ["update"] * 2  # one sweep a step
    for ours, theirs in zip(device, (w, grad, v), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours.get(), theirs, rtol=0, atol=TOLERANCES[w.dtype.name] * np.abs(theirs).max())


def test_without_decay_an_infinite_weight_does_not_spoil_its_gradient(cupy_standin):
    from resnet_np.kernels.sgd import cuda

    w, grad, v = (cupy_standin.asarray(np.array([value], np.float32)) for value in (np.inf, 1, 0))
    cuda.update(w, grad, v, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    assert float(v[0]) == 1


def test_a_source_is_compiled_once_a_dtype(cupy_standin, monkeypatch):
    from resnet_np.kernels.softmax import cuda

    made, RawModule = [], cupy_standin.RawModule
    monkeypatch.setattr(cupy_standin, "RawModule", lambda **arguments: made.append(arguments) or RawModule(**arguments))
    for dtype in (np.float32, np.float64, np.float32):
        logits = cupy_standin.zeros((2, 3), dtype)
        cuda.cross_entropy_forward(logits, cuda.probabilities(logits))
    assert [arguments["options"] for arguments in made] == [("-DREAL=float",), ("-DREAL=double",)]


def test_the_device_refuses_a_size_beyond_int(cupy_standin):
    from resnet_np.kernels import device

    assert device._argument(2**31 - 1, np.dtype(np.float32)).dtype == np.int32
    with pytest.raises(OverflowError):
        device._argument(2**31, np.dtype(np.float32))
