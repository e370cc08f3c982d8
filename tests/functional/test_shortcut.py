import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import shortcut_backward, shortcut_forward
from resnet_np.gradcheck import check_entries, require

# x (N, C, H, W), channels, stride
CASES = [((2, 3, 4, 6), 6, 2), ((1, 2, 5, 7), 5, 2), ((3, 4, 3, 2), 4, 1), ((1, 1, 1, 1), 3, 2), ((2, 3, 7, 8), 4, 3)]
cases = pytest.mark.parametrize(("shape", "channels", "stride"), CASES, ids=str)
sides = pytest.mark.parametrize("zero_pad", ["both", "end"])


def run(x, dout, **options):
    out, cache = shortcut_forward(x, **options)
    return out, shortcut_backward(dout, cache)


def upstream(draw, shape, channels, stride, dtype=np.float64):
    return draw(shape[0], channels, -(-shape[2] // stride), -(-shape[3] // stride), dtype=dtype)


@cases
@sides
def test_backends_agree(fast_backend, shape, channels, stride, zero_pad, dtype, draw, same_twice):
    x, dout = draw(*shape, dtype=dtype), upstream(draw, shape, channels, stride, dtype)
    ours = same_twice(lambda: run(x, dout, channels=channels, stride=stride, zero_pad=zero_pad))
    with using("loops"):
        oracle = run(x, dout, channels=channels, stride=stride, zero_pad=zero_pad)
    for a, b in zip(ours, oracle, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.peer
@cases
@sides
def test_pytorch_agrees(backend, shape, channels, stride, zero_pad, dtype, draw, torch):
    """Against the expression of the public CIFAR ResNets: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, after))."""
    x, dout = draw(*shape, dtype=dtype), upstream(draw, shape, channels, stride, dtype)
    extra = channels - shape[1]
    before = extra // 2 if zero_pad == "both" else 0
    tx = torch.from_numpy(x.copy()).requires_grad_()
    out = torch.nn.functional.pad(tx[:, :, ::stride, ::stride], (0, 0, 0, 0, before, extra - before))
    out.backward(torch.from_numpy(dout.copy()))
    ours, dx = run(x, dout, channels=channels, stride=stride, zero_pad=zero_pad)
    np.testing.assert_array_equal(ours, out.detach().numpy())
    np.testing.assert_array_equal(dx, tx.grad.numpy())


@sides
def test_gradient(backend, zero_pad, draw):
    x, dout = draw(2, 2, 3, 5), draw(2, 5, 2, 3)
    _, dx = run(x, dout, channels=5, stride=2, zero_pad=zero_pad)
    require(check_entries(lambda x: shortcut_forward(x, channels=5, stride=2, zero_pad=zero_pad)[0],
                          {"x": x}, {"x": dx}, upstream=dout))


@pytest.mark.parametrize(("zero_pad", "expected"), [("both", [0, 1, 2, 0, 0]), ("end", [1, 2, 0, 0, 0])])
def test_where_the_zero_channels_go(backend, zero_pad, expected):
    x = np.array([[1.0, 9], [2, 9]]).reshape(1, 2, 1, 2)  # two channels; the second pixel is skipped
    out, _ = shortcut_forward(x, channels=5, stride=2, zero_pad=zero_pad)
    assert out.ravel().tolist() == expected


@pytest.mark.nojit
@pytest.mark.parametrize(("options", "message"), [
    ({"channels": 2, "stride": 1},
     "shortcut: x has 3 channels but the output has 2, expected at least as many: x (2, 3, 4, 4)"),
    ({"channels": 6, "stride": 2, "zero_pad": "front"}, 'shortcut: zero_pad is \'front\', expected "both" or "end"'),
    ({"channels": 6, "stride": 0}, "shortcut: stride is 0, expected one whole number >= 1"),
])
def test_errors_name_both_sides(options, message):
    with pytest.raises(InputError) as error:
        shortcut_forward(np.ones((2, 3, 4, 4)), **options)
    assert str(error.value) == message


@pytest.mark.nojit
def test_an_upstream_gradient_that_does_not_fit_is_refused():
    with using("numpy"):
        _, cache = shortcut_forward(np.ones((2, 3, 5, 4)), channels=6, stride=2)
    with pytest.raises(InputError, match=r"dout is float64 \(2, 6, 2, 2\), expected float64 \(2, 6, 3, 2\)"):
        shortcut_backward(np.ones((2, 6, 2, 2)), cache)
