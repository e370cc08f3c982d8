import numpy as np
import pytest

from resnet_np.backend import using
from resnet_np.errors import InputError
from resnet_np.functional import linear_backward, linear_forward
from resnet_np.gradcheck import check_entries, require

sizes = pytest.mark.parametrize(("images", "inputs", "outputs"), [(1, 1, 1), (3, 7, 5), (1, 64, 10), (17, 3, 9)])


def run(x, w, b, dout):
    out, cache = linear_forward(x, w, b)
    return out, *linear_backward(dout, cache)


def arguments(draw, images, inputs, outputs, dtype=np.float64):
    """x, w, b, dout"""
    return [draw(*shape, dtype=dtype) for shape in ((images, inputs), (outputs, inputs), (outputs,), (images, outputs))]


@sizes
def test_backends_agree(fast_backend, images, inputs, outputs, dtype, draw, close, same_twice):
    x, w, b, dout = arguments(draw, images, inputs, outputs, dtype)
    ours = same_twice(lambda: run(x, w, b, dout))
    with using("loops"):
        oracle = run(x, w, b, dout)
    for a, b in zip(ours, oracle, strict=True):
        close(a, b)


@pytest.mark.peer
@sizes
def test_pytorch_agrees(backend, images, inputs, outputs, dtype, draw, close, torch):
    x, w, b, dout = arguments(draw, images, inputs, outputs, dtype)
    tx, tw, tb = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, w, b))
    out = torch.nn.functional.linear(tx, tw, tb)
    out.backward(torch.from_numpy(dout.copy()))
    theirs = (a.detach().numpy() for a in (out, tx.grad, tw.grad, tb.grad))
    for ours, a in zip(run(x, w, b, dout), theirs, strict=True):
        close(ours, a)


def test_gradient(backend, draw):
    x, w, b, dout = arguments(draw, 3, 4, 5)
    _, dx, dw, db = run(x, w, b, dout)
    require(check_entries(lambda x, w, b: linear_forward(x, w, b)[0],
                          {"x": x, "w": w, "b": b}, {"x": dx, "w": dw, "b": db}, upstream=dout))


def test_rows_of_w_are_outputs(backend):
    """A square w, where a transposed one would pass every check of shapes."""
    out, cache = linear_forward(np.array([[1.0, 10.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 0.25]))
    assert out.tolist() == [[21.5, 43.25]]
    dx, dw, db = linear_backward(np.array([[1.0, 100.0]]), cache)
    assert dx.tolist() == [[301, 402]]
    assert dw.tolist() == [[1, 10], [100, 1000]]
    assert db.tolist() == [1, 100]


@pytest.mark.nojit
@pytest.mark.parametrize(("shapes", "message"), [
    (((2, 64), (10, 32), (10,)), "linear: x has 64 input features but w expects 32: x (2, 64), w (10, 32), b (10,)"),
    (((2, 64), (10, 64), (11,)), "linear: w has 10 output features but b expects 11: x (2, 64), w (10, 64), b (11,)"),
    (((2, 64, 1, 1), (10, 64), (10,)), "linear: x has 4 axes, expected 2 (N, I): x (2, 64, 1, 1), w (10, 64), b (10,)"),
    (((0, 64), (10, 64), (10,)),
     "linear: x is empty, expected at least one value along every axis: x (0, 64), w (10, 64), b (10,)"),
])
def test_errors_name_both_sides(shapes, message):
    with pytest.raises(InputError) as error:
        linear_forward(*(np.ones(shape) for shape in shapes))
    assert str(error.value) == message


@pytest.mark.nojit
def test_an_upstream_gradient_that_does_not_fit_is_refused():
    with using("numpy"):
        _, cache = linear_forward(np.ones((2, 3)), np.ones((4, 3)), np.ones(4))
    with pytest.raises(InputError, match=r"dout is float64 \(4, 2\), expected float64 \(2, 4\)"):
        linear_backward(np.ones((4, 2)), cache)
