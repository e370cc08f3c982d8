import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import global_average_pool_backward, global_average_pool_forward
from resnet_np.gradcheck import check_entries, require

shapes = pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 5, 3, 7), (3, 1, 1, 1)], ids=str)


def run(x, dout):
    out, cache = global_average_pool_forward(x)
    return out, global_average_pool_backward(dout, cache)


@shapes
def test_backends_agree(fast_backend, shape, dtype, draw, close, same_twice):
    x, dout = draw(*shape, dtype=dtype), draw(*shape[:2], dtype=dtype)
    ours = same_twice(lambda: run(x, dout))
    with using("loops"):
        oracle = run(x, dout)
    for a, b in zip(ours, oracle, strict=True):
        close(a, b, float32=1e-6)


@pytest.mark.peer
@shapes
def test_pytorch_agrees(backend, shape, dtype, draw, close, torch):
    x, dout = draw(*shape, dtype=dtype), draw(*shape[:2], dtype=dtype)
    tx = torch.from_numpy(x.copy()).requires_grad_()
    out = torch.nn.functional.adaptive_avg_pool2d(tx, 1).flatten(1)
    out.backward(torch.from_numpy(dout.copy()))
    ours, dx = run(x, dout)
    close(ours, out.detach().numpy())
    close(dx, tx.grad.numpy())


def test_gradient(backend, draw):
    x, dout = draw(2, 3, 2, 5), draw(2, 3)
    _, dx = run(x, dout)
    require(check_entries(lambda x: global_average_pool_forward(x)[0], {"x": x}, {"x": dx}, upstream=dout))


def test_every_pixel_has_the_same_share(backend):
    out, cache = global_average_pool_forward(np.arange(12.0).reshape(1, 2, 2, 3))
    assert out.tolist() == [[2.5, 8.5]]
    dx = global_average_pool_backward(np.array([[6.0, 12.0]]), cache)
    np.testing.assert_array_equal(dx[0], [np.full((2, 3), 1.0), np.full((2, 3), 2.0)])
    dx[0, 0, 0, 0] = 9  # fresh memory: a broadcast view would refuse, or change six pixels
    assert dx[0, 0, 0, 1] == 1


@pytest.mark.nojit
def test_errors_name_both_sides():
    with pytest.raises(InputError, match=r"global_average_pool: x has 2 axes, expected 4 \(N, C, H, W\): x \(2, 3\)"):
        global_average_pool_forward(np.ones((2, 3)))
    with using("numpy"):
        _, cache = global_average_pool_forward(np.ones((2, 3, 4, 4)))
    with pytest.raises(InputError, match=r"dout is float64 \(3, 2\), expected float64 \(2, 3\)"):
        global_average_pool_backward(np.ones((3, 2)), cache)
