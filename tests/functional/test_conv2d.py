import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import conv2d_backward, conv2d_forward
from resnet_np.gradcheck import check_entries, require

# x (N, C, H, W), w (F, C, KH, KW), stride, pad
CASES = {
    "one value": ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0),
    "3x3 same": ((2, 3, 7, 5), (4, 3, 3, 3), 1, 1),
    "3x3 valid, one window": ((2, 1, 3, 3), (1, 1, 3, 3), 1, 0),
    "3x3 stride 2, odd": ((2, 3, 7, 9), (5, 3, 3, 3), 2, 1),
    "3x3 stride 2, even": ((1, 2, 8, 6), (3, 2, 3, 3), 2, 1),
    "3x3 pad 2": ((1, 4, 8, 8), (4, 4, 3, 3), 1, 2),
    "3x3 stride 3, unseen edge": ((2, 3, 8, 10), (3, 3, 3, 3), 3, 0),
    "5x5 stride 2": ((1, 5, 9, 4), (3, 5, 5, 5), 2, 2),
    "5x5 same": ((1, 2, 6, 7), (2, 2, 5, 5), 1, 2),
    "1x1": ((2, 5, 4, 3), (6, 5, 1, 1), 1, 0),
    "1x1 stride 2": ((3, 2, 5, 8), (7, 2, 1, 1), 2, 0),
    "1x1 pad 1, windows of padding": ((2, 3, 4, 4), (2, 3, 1, 1), 1, 1),
    "2x2 pad 2": ((1, 2, 4, 4), (3, 2, 2, 2), 1, 2),
    "3x2": ((2, 3, 6, 5), (2, 3, 3, 2), 1, 0),
    "wide rows, 9 filters": ((1, 3, 4, 37), (9, 3, 3, 3), 1, 1),
    "19 images": ((19, 2, 4, 3), (3, 2, 3, 3), 1, 1),
    # Rows of whole vectors, of 8 float32 or 4 float64: the Numba kernels take another way there
    "rows of 8, an odd number": ((2, 3, 5, 8), (5, 3, 3, 3), 1, 1),
    "rows of 8, 5x5": ((1, 2, 6, 8), (3, 2, 5, 5), 1, 2),
    "rows of 8, 3x2": ((2, 3, 6, 9), (2, 3, 3, 2), 1, 0),
    "rows of 8 from 16": ((2, 3, 6, 16), (6, 3, 3, 3), 2, 1),
    "rows of 8 from 15": ((1, 2, 5, 15), (4, 2, 3, 3), 2, 1),
    "rows of 8 from 16, 1x1": ((2, 3, 5, 16), (5, 3, 1, 1), 2, 0),
    "rows of 8 from 16, 2x2": ((2, 2, 4, 16), (3, 2, 2, 2), 2, 0),
    "rows of 8 from 16, 7x7": ((1, 3, 16, 16), (4, 3, 7, 7), 2, 3),
    "rows of 16 from 32": ((2, 4, 4, 32), (5, 4, 3, 3), 2, 1),
    "rows of 8 from 24": ((1, 2, 7, 24), (3, 2, 3, 2), 3, 0),
    "rows of 8 from 24, padded": ((1, 2, 9, 24), (2, 2, 5, 5), 3, 2),
    "rows of 8 from 32, 4x4": ((1, 3, 8, 32), (2, 3, 4, 4), 4, 0),
    "rows of 8, 19 images": ((19, 2, 3, 8), (3, 2, 3, 3), 1, 1),
}
cases = pytest.mark.parametrize(("x_shape", "w_shape", "stride", "pad"), CASES.values(), ids=CASES.keys())


def upstream(draw, x_shape, w_shape, stride, pad, dtype=np.float64):
    rows, columns = ((x_shape[i] + 2 * pad - w_shape[i]) // stride + 1 for i in (2, 3))
    return draw(x_shape[0], w_shape[0], rows, columns, dtype=dtype)


def run(x, w, dout, stride, pad):
    out, cache = conv2d_forward(x, w, stride=stride, pad=pad)
    return out, *conv2d_backward(dout, cache)


@cases
def test_backends_agree(fast_backend, x_shape, w_shape, stride, pad, dtype, draw, close, same_twice):
    x, w = draw(*x_shape, dtype=dtype), draw(*w_shape, dtype=dtype)
    dout = upstream(draw, x_shape, w_shape, stride, pad, dtype)
    ours = same_twice(lambda: run(x, w, dout, stride, pad))
    with using("loops"):
        oracle = run(x, w, dout, stride, pad)
    for a, b in zip(ours, oracle, strict=True):
        close(a, b)


def test_backends_agree_on_shapes_nobody_chose(fast_backend, dtype, rng, draw, close):
    for _ in range(20):
        kernel, stride, pad = (int(rng.integers(*bounds)) for bounds in ((1, 6), (1, 4), (0, 3)))
        low = max(1, kernel - 2 * pad)
        x_shape = tuple(int(i) for i in (*rng.integers(1, 4, 2), *rng.integers(low, low + 6, 2)))
        if rng.random() < 0.5:  # an output of whole vectors
            x_shape = (*x_shape[:3], 7 * stride + kernel - 2 * pad + int(rng.integers(0, stride)))
        w_shape = (int(rng.integers(1, 6)), x_shape[1], kernel, kernel)
        x, w = draw(*x_shape, dtype=dtype), draw(*w_shape, dtype=dtype)
        dout = upstream(draw, x_shape, w_shape, stride, pad, dtype)
        ours = run(x, w, dout, stride, pad)
        with using("loops"):
            oracle = run(x, w, dout, stride, pad)
        for a, b in zip(ours, oracle, strict=True):
            close(a, b)


@pytest.mark.peer
@cases
def test_pytorch_agrees(backend, x_shape, w_shape, stride, pad, dtype, draw, close, torch):
    x, w = draw(*x_shape, dtype=dtype), draw(*w_shape, dtype=dtype)
    dout = upstream(draw, x_shape, w_shape, stride, pad, dtype)
    tx, tw = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, w))
    out = torch.nn.functional.conv2d(tx, tw, stride=stride, padding=pad)
    out.backward(torch.from_numpy(dout.copy()))
    theirs = (a.detach().numpy() for a in (out, tx.grad, tw.grad))
    for a, b in zip(run(x, w, dout, stride, pad), theirs, strict=True):
        close(a, b)


@pytest.mark.peer
@pytest.mark.parametrize(("channels", "filters", "size", "stride"), [(3, 16, 32, 1), (16, 32, 32, 2), (64, 64, 8, 1)])
def test_pytorch_agrees_on_resnet20(fast_backend, channels, filters, size, stride, dtype, draw, close, torch):
    x, w = draw(8, channels, size, size, dtype=dtype), draw(filters, channels, 3, 3, dtype=dtype)
    dout = draw(8, filters, size // stride, size // stride, dtype=dtype)
    tx, tw = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, w))
    out = torch.nn.functional.conv2d(tx, tw, stride=stride, padding=1)
    out.backward(torch.from_numpy(dout.copy()))
    theirs = (a.detach().numpy() for a in (out, tx.grad, tw.grad))
    for a, b in zip(run(x, w, dout, stride, 1), theirs, strict=True):
        close(a, b, float32=1e-4)


@pytest.mark.parametrize("case", ["3x3 same", "3x3 stride 2, odd", "1x1 stride 2", "5x5 same", "2x2 pad 2", "3x2"])
def test_gradient(backend, case, draw):
    x_shape, w_shape, stride, pad = CASES[case]
    x, w, dout = draw(*x_shape), draw(*w_shape), upstream(draw, x_shape, w_shape, stride, pad)
    _, dx, dw = run(x, w, dout, stride, pad)
    require(check_entries(lambda x, w: conv2d_forward(x, w, stride=stride, pad=pad)[0],
                          {"x": x, "w": w}, {"x": dx, "w": dw}, upstream=dout,
                          entries=8 if backend == "loops" else None, rng=np.random.default_rng(1)))


def test_it_is_a_cross_correlation(backend):
    """A single bright pixel shows the filter turned by 180 degrees; true convolution would show the filter itself."""
    x, w = np.zeros((1, 1, 3, 4)), np.arange(1.0, 7.0).reshape(1, 1, 2, 3)
    x[0, 0, 1, 2] = 1
    out, _ = conv2d_forward(x, w)
    np.testing.assert_array_equal(out[0, 0], [[6, 5], [3, 2]])


def test_filters_are_the_first_axis(backend):
    x = np.array([1.0, 10.0]).reshape(1, 2, 1, 1)
    w = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).reshape(3, 2, 1, 1)
    assert conv2d_forward(x, w)[0].ravel().tolist() == [21, 43, 65]


def test_overlapping_windows_add_their_gradients(backend):
    x, w = np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3))
    _, cache = conv2d_forward(x, w)
    dx = conv2d_backward(np.ones((1, 1, 2, 2)), cache).dx
    np.testing.assert_array_equal(dx[0, 0], [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]])


@pytest.mark.parametrize(("size", "kernel", "stride", "pad", "expected"), [
    (32, 3, 1, 1, 32), (32, 3, 2, 1, 16), (33, 3, 2, 1, 17), (8, 3, 2, 0, 3), (7, 3, 2, 0, 3), (5, 1, 2, 0, 3),
    (4, 1, 2, 0, 2), (112, 7, 2, 3, 56),
])
def test_output_size(fast_backend, size, kernel, stride, pad, expected):
    out, _ = conv2d_forward(np.ones((1, 1, size, size)), np.ones((1, 1, kernel, kernel)), stride=stride, pad=pad)
    assert out.shape == (1, 1, expected, expected)


def test_the_first_layer_needs_no_input_gradient(backend, draw):
    x, w = draw(2, 3, 5, 5), draw(4, 3, 3, 3)
    out, cache = conv2d_forward(x, w, pad=1)
    dout = draw(*out.shape)
    without, both = conv2d_backward(dout, cache, need_dx=False), conv2d_backward(dout, cache)
    assert without.dx is None
    np.testing.assert_array_equal(without.dw, both.dw)


def test_a_nan_spreads_to_the_windows_that_see_it_and_no_further(backend, dtype):
    x, w = np.ones((2, 1, 5, 5), dtype), np.zeros((5, 1, 3, 3), dtype)
    x[0, 0, 0, 0] = np.nan
    out, _ = conv2d_forward(x, w, pad=1)
    expected = np.zeros((2, 5, 5, 5), bool)
    expected[0, :, :2, :2] = True
    np.testing.assert_array_equal(np.isnan(out), expected)


def test_strided_arrays_are_accepted(fast_backend, draw, close):
    x, w, dout = draw(2, 6, 6, 3), draw(3, 3, 3, 4), draw(2, 4, 4, 4)
    ours = run(x.transpose(0, 3, 1, 2), w.T, dout[:, ::-1], 1, 0)
    plain = run(*(np.ascontiguousarray(a) for a in (x.transpose(0, 3, 1, 2), w.T, dout[:, ::-1])), 1, 0)
    for a, b in zip(ours, plain, strict=True):
        close(a, b)


@pytest.mark.nojit
def test_the_cache_holds_what_was_given_and_no_copy(draw):
    x, w = draw(2, 3, 5, 5), draw(4, 3, 3, 3)
    with using("numpy"):
        _, cache = conv2d_forward(x, w, stride=2, pad=1)
    assert cache.x is x
    assert cache.w is w
    assert (cache.stride, cache.pad) == (2, 1)


ONES, FILTERS = np.ones((8, 3, 32, 32), np.float32), np.ones((16, 3, 3, 3), np.float32)


@pytest.mark.nojit
@pytest.mark.parametrize(("x", "w", "options", "message"), [
    (ONES, np.ones((16, 16, 3, 3), np.float32), {},
     "conv2d: x has 3 channels but w expects 16: x (8, 3, 32, 32), w (16, 16, 3, 3)"),
    (ONES[0], FILTERS, {},
     "conv2d: x has 3 axes, expected 4 (N, C, H, W): x (3, 32, 32), w (16, 3, 3, 3)"),
    (ONES, np.ones((16, 3, 3, 3)), {},
     "conv2d: dtypes differ, expected all float32 or all float64: x float32, w float64"),
    (ONES[:, :, :2], np.ones((16, 3, 5, 3), np.float32), {"pad": 1},
     "conv2d: a 5x3 window does not fit into 2x32 pixels padded by 1; pad more or use a smaller kernel: "
     "x (8, 3, 2, 32), w (16, 3, 5, 3)"),
    (ONES, FILTERS, {"stride": 0}, "conv2d: stride is 0, expected one whole number >= 1"),
    (ONES, FILTERS, {"stride": (2, 2)}, "conv2d: stride is (2, 2), expected one whole number >= 1"),
    (ONES, FILTERS, {"pad": -1}, "conv2d: pad is -1, expected one whole number >= 0"),
    (ONES, FILTERS, {"pad": "same"}, "conv2d: pad is 'same', expected one whole number >= 0"),
])
def test_errors_name_both_sides(x, w, options, message):
    with pytest.raises(InputError) as error:
        conv2d_forward(x, w, **options)
    assert str(error.value) == message


@pytest.mark.nojit
def test_an_upstream_gradient_that_does_not_fit_is_refused():
    with using("numpy"):
        _, cache = conv2d_forward(ONES, FILTERS, stride=2, pad=1)
    with pytest.raises(InputError, match=r"dout is float32 \(8, 16, 32, 32\), expected float32 \(8, 16, 16, 16\)"):
        conv2d_backward(np.ones((8, 16, 32, 32), np.float32), cache)
    with pytest.raises(InputError, match=r"dout is float64 \(8, 16, 16, 16\), expected float32"):
        conv2d_backward(np.ones((8, 16, 16, 16)), cache)
