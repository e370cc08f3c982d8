import numpy as np
import pytest

from resnet_np.errors import InputError
from resnet_np.functional import scale_backward, scale_forward
from resnet_np.gradcheck import check_entries, require


def test_values_and_dtype(backend, dtype, draw):
    x, dout = draw(3, 4, dtype=dtype), draw(3, 4, dtype=dtype)
    out, cache = scale_forward(x, factor=1 / 9)
    dx = scale_backward(dout, cache)
    np.testing.assert_array_equal(out, x * dtype.type(1 / 9))
    np.testing.assert_array_equal(dx, dout * dtype.type(1 / 9))
    assert out.dtype == dx.dtype == dtype


def test_gradient(backend, draw):
    x, dout = draw(3, 4), draw(3, 4)
    dx = scale_backward(dout, scale_forward(x, factor=-0.7)[1])
    require(check_entries(lambda x: scale_forward(x, factor=-0.7)[0], {"x": x}, {"x": dx}, upstream=dout))


def test_what_makes_no_sense(backend, draw):
    with pytest.raises(InputError, match="finite"):
        scale_forward(draw(3, 4), factor=np.inf)
    with pytest.raises(InputError, match="like the output"):
        scale_backward(draw(3, 5), scale_forward(draw(3, 4), factor=2.0)[1])
