import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.functional import add_backward, add_forward, relu_backward, relu_forward
from resnet_np.gradcheck import check_entries, require


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1,), (1, 1, 1, 1)], ids=str)
def test_it_adds(backend, shape, dtype, draw):
    a, b = draw(*shape, dtype=dtype), draw(*shape, dtype=dtype)
    out = add_forward(a, b)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, a + b)


def test_gradient_forks(backend, draw):
    a, b, dout = draw(2, 3, 2, 2), draw(2, 3, 2, 2), draw(2, 3, 2, 2)
    da, db = add_backward(dout)
    require(check_entries(lambda a, b: add_forward(a, b), {"a": a, "b": b}, {"a": da, "b": db}, upstream=dout))


def test_gradient_of_a_residual(backend, spaced, draw):
    """x -> relu(x) + x: the gradient is the sum over both branches, not one of them, and not their difference."""
    x, dout = spaced(2, 3, 3, 2), draw(2, 3, 3, 2)
    _, cache = relu_forward(x)
    d_branch, d_shortcut = add_backward(dout)
    dx = add_forward(relu_backward(d_branch, cache), d_shortcut)
    require(check_entries(lambda x: add_forward(relu_forward(x)[0], x), {"x": x}, {"x": dx}, upstream=dout))


@pytest.mark.nojit
def test_nothing_is_broadcast():
    with pytest.raises(InputError) as error:
        add_forward(np.ones((2, 16, 8, 8)), np.ones((2, 1, 8, 8)))
    assert str(error.value) == ("add: a (2, 16, 8, 8) and b (2, 1, 8, 8) differ in shape; "
                                "a block that changes the shape needs a shortcut that changes it too")
    with pytest.raises(InputError, match="add: dtypes differ, expected .*: a float64, b float32"):
        add_forward(np.ones(2), np.ones(2, np.float32))
