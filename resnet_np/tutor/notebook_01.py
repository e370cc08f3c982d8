"""Checks of 01_convolution."""

from typing import Any

import numpy as np

from resnet_np.functional.conv2d import output_size
from resnet_np.kernels.conv import array, loops
from resnet_np.tutor.checking import call, exercise, same


@exercise("1.1")
def one_number(answer: Any) -> str:
    rng = np.random.default_rng(1)
    for C, KH, KW in ((1, 3, 3), (3, 3, 3), (2, 2, 3)):
        x, w = rng.standard_normal((C, 6, 7)), rng.standard_normal((C, KH, KW))
        expected = loops.forward(x[None], w[None], stride=1, pad=0)[0, 0]
        for oh, ow in ((0, 0), (2, 1), (3, 4)):
            same(call(answer, x, w, oh, ow), expected[oh, ow], given=f"x {x.shape}, w {w.shape}, oh={oh}, ow={ow}",
                 hint="the window is x[:, oh:oh + KH, ow:ow + KW]; the filter is not turned; all channels are added up")
    return "nine windows, with one to three channels, agree with the loops"


@exercise("1.2")
def size_of_output(answer: Any) -> str:
    for size, kernel, stride, pad in ((5, 3, 1, 0), (5, 3, 1, 1), (32, 3, 2, 1), (6, 3, 2, 1), (7, 2, 2, 0), (224, 7, 2, 3),
                                      (10, 4, 3, 2)):
        expected, _ = output_size(np.empty((1, 1, size, size)), np.empty((1, 1, kernel, kernel)), stride, pad)
        same(call(answer, size, kernel, stride, pad), expected, given=f"size={size}, kernel={kernel}, stride={stride}, pad={pad}",
             hint="padding is on both sides; the division rounds down (//); one window fits even if nothing is left to move")
    return "seven sizes agree with the library"


@exercise("1.3")
def my_im2col(answer: Any) -> str:
    rng = np.random.default_rng(3)
    for (H, W), KH, KW in (((5, 5), 3, 3), ((4, 6), 2, 3), ((3, 7), 3, 1)):
        x = rng.permutation(H * W).reshape(H, W).astype(np.float64)
        same(call(answer, x, KH, KW), array.im2col(x[None, None], KH, KW, stride=1, pad=0)[0],
             given=f"x of shape {(H, W)}, KH={KH}, KW={KW}",
             hint="column p is the window at row p // OW and column p % OW, flattened row by row: window.ravel()")
    return "three pictures give the library's columns"


@exercise("1.4")
def bytes_of_columns(answer: Any) -> str:
    for N, C, H, K in ((1, 1, 5, 3), (2, 3, 8, 3), (4, 2, 6, 1)):
        columns = array.im2col(np.empty((N, C, H, H), np.float32), K, K, stride=1, pad=0)
        side = H - K + 1
        same(call(answer, N, C, K, K, side, side), columns.nbytes, given=f"N={N}, C={C}, KH=KW={K}, OH=OW={side}",
             hint="for each picture the matrix has C*KH*KW rows and OH*OW columns; each number takes 4 bytes")
    return "the library's columns take as many bytes"


@exercise("1.5")
def winograd_1d(answer: Any) -> str:
    rng = np.random.default_rng(5)
    for _ in range(3):
        d, g = rng.integers(-9, 10, 4).astype(np.float64), rng.integers(-9, 10, 3).astype(np.float64)
        expected = loops.forward(d.reshape(1, 1, 1, 4), g.reshape(1, 1, 1, 3), stride=1, pad=0).ravel()
        same(call(answer, d, g), expected, given=f"d={d.astype(int).tolist()}, g={g.astype(int).tolist()}",
             hint="compare each m with the formula, its signs above all; return y0, y1")
    return "both outputs are those of the definition"
