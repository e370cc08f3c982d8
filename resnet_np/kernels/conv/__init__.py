"""Convolution (cross-correlation) of a batch of images; the contract is in `kernels/__init__.py`.

N image, C channel in, F filter, H W input, KH KW kernel, OH OW output; OH = (H + 2 pad - KH) // stride + 1.

A ladder, each rung the oracle of the next. Forward pass of a 3x3 layer of ResNet-20's first stage (16 to 16 channels, 32x32), batch
128, float32, two threads of an AMD EPYC (Zen 4), whose largest sgemm reaches 198 GFLOP/s; 2026-11-24. The multiplications of the
definition are counted:

    rung          GFLOP/s   what was gained
    loops.py        0.004   nothing yet: the definition, product by product, in Python
    array.py           32   im2col makes it one matrix product, which BLAS does; but the columns are nine times the images
    tiles.py          106   the columns exist 32 at a time, in the cache, and are multiplied at once, by explicit SIMD
    direct.py         130   no columns at all: a tap is a distance in the padded image
    winograd.py             36 multiplications in place of 144, for 3x3 filters and stride 1. Measured on an Intel Xeon (Ice Lake),
                            in one run: this layer 52, direct.py 42; with 64 channels on 8x8 maps 135 and 34 (2026-11-30)
    finish.py               fusion: with batch norm and ReLU behind it the layer reaches 132 GFLOP/s in separate sweeps, and 147
                            where the statistics are taken, and the ReLU done, in passing; evaluating, 157 and 209
    bf16_winograd.py  410   16 in place of 36, of half as many bytes: maps and factors in bf16, two products an instruction
                            (2026-11-28)
    bf16_direct.py    482   on a CPU with AMX, whose instruction makes 8,192 products: the definition again, without Winograd's
                            additions. Measured on an Intel Xeon (Emerald Rapids), where bf16_winograd.py reaches 148 (2026-11-29)

loops and array are backends; jit.py is the third: dense.py for a batch of 2x2 maps, winograd.py where it suits, direct.py
where rows are whole half-vectors, else tiles.py; the fourth, cuda.py, is array.py's product for many images at once, on a GPU. Maps
in bf16 go by bf16.py: on a CPU with AMX by bf16_direct.py, else by bf16_winograd.py where it suits, else by im2col's product. (One
run, on a machine that others shared: in a quieter hour direct.py reached 160. The figures of finish.py are from when winograd.py
made 16 multiplications in place of 36.)
"""

import numpy as np

from resnet_np.backend import kernels


def forward(x: np.ndarray, w: np.ndarray, *, stride: int, pad: int) -> np.ndarray:
    """x (N, C, H, W), w (F, C, KH, KW) -> out (N, F, OH, OW)."""
    return kernels(__name__, x).forward(x, w, stride=stride, pad=pad)


def input_grad(dout: np.ndarray, w: np.ndarray, *, x_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    """dout (N, F, OH, OW), w (F, C, KH, KW) -> dx of shape x_shape (N, C, H, W)."""
    return kernels(__name__, dout).input_grad(dout, w, x_shape=x_shape, stride=stride, pad=pad)


def weight_grad(dout: np.ndarray, x: np.ndarray, *, w_shape: tuple[int, ...], stride: int, pad: int) -> np.ndarray:
    """dout (N, F, OH, OW), x (N, C, H, W) -> dw of shape w_shape (F, C, KH, KW)."""
    return kernels(__name__, dout).weight_grad(dout, x, w_shape=w_shape, stride=stride, pad=pad)
