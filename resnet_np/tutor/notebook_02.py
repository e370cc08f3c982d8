"""Checks of notebook 2, Backward by hand."""

from typing import Any

import numpy as np

from resnet_np import functional as F
from resnet_np.gradcheck import check_pair
from resnet_np.kernels.conv import array
from resnet_np.tutor.checking import call, exercise, same, wrong

TOLERANCE = 1e-6  # of the largest difference, as in gradcheck


@exercise("2.1")
def weight_gradient(answer: Any) -> str:
    rng = np.random.default_rng(21)
    for H, W, k in ((3, 3, 2), (5, 4, 3), (6, 6, 1)):
        x, w = rng.standard_normal((H, W)), rng.standard_normal((k, k))
        out, cache = F.conv2d_forward(x[None, None], w[None, None])
        dout = rng.standard_normal(out.shape[2:])
        expected = F.conv2d_backward(dout[None, None], cache).dw[0, 0]
        same(call(answer, dout, x), expected, given=f"dout {dout.shape} and x {x.shape}", what="dw", tolerance=1e-9,
             hint="w[i, j] met x[p + i, q + j] in the window (p, q): sum dout[p, q] x[p + i, q + j] over all windows")
    return "your dw is the library's for filters of 2x2, 3x3 and 1x1"


@exercise("2.2")
def windows(answer: Any) -> str:
    for H, W, k, stride in ((5, 5, 3, 1), (6, 4, 2, 2), (7, 7, 3, 2), (5, 5, 1, 2), (4, 4, 4, 1)):
        columns = np.ones_like(array.im2col(np.ones((1, 1, H, W)), k, k, stride=stride, pad=0))
        expected = array.col2im(columns, x_shape=(1, 1, H, W), kh=k, kw=k, stride=stride, pad=0)[0, 0]
        same(call(answer, H, W, k, stride), expected, given=f"H={H}, W={W}, k={k}, stride={stride}",
             hint="go through the windows one by one, and add 1 to every pixel that the window sees")
    return "your counts are what col2im makes of columns full of ones"


@exercise("2.3")
def slope(answer: Any) -> str:
    cases = (("x^2", lambda x: x * x, 3.0, 0.5, 6.0), ("5 x", lambda x: 5 * x, -2.0, 0.1, 5.0),
             # a cube's centred difference is 3 x^2 + h^2, exactly
             ("x^3", lambda x: x**3, 1.0, 0.5, 3.25))
    for name, f, x, h, expected in cases:
        same(call(answer, f, x, h), expected, given=f"f(x) = {name}, x={x:g}, h={h:g}", tolerance=1e-9,
             hint="go h to the right and h to the left of x, and divide by the whole way between the two")
    return "the squares come out exactly, and the cube is off by h^2, as a centred difference must be"


@exercise("2.4")
def mended(answer: Any) -> str:
    rng = np.random.default_rng(24)
    for stride, pad in ((1, 0), (1, 1), (2, 1)):
        place = f"stride={stride}, pad={pad}"
        arrays = {"x": rng.standard_normal((2, 2, 5, 5)), "w": rng.standard_normal((3, 2, 3, 3))}

        def backward(dout: np.ndarray, cache: F.ConvCache, place: str = place) -> dict[str, np.ndarray]:
            gradients = call(answer, dout, cache)
            if not isinstance(gradients, dict) or set(gradients) != {"x", "w"}:
                wrong(f"for {place} expected the gradients as {{'x': dx, 'w': dw}}, got a {type(gradients).__name__}")
            for name, shape in (("x", cache.x.shape), ("w", cache.w.shape)):
                got = gradients[name]
                if not isinstance(got, np.ndarray) or got.shape != shape or got.dtype != np.float64:
                    wrong(f"for {place} d{name}: expected a float64 array of shape {shape}, got {np.shape(got)}")
            return gradients

        reports = check_pair(lambda x, w, s=stride, p=pad: F.conv2d_forward(x, w, stride=s, pad=p), backward, arrays, rng=rng)
        for report in reports:
            if not report.passes(TOLERANCE):
                wrong(f"for {place} the checker says: {report.describe(TOLERANCE)}",
                      hint="look at the one line in which a pixel collects the gradients of its copies")
    return "the checker finds nothing, with stride 1 and 2, with padding and without"
