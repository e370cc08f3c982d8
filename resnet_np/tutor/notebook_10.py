"""Checks of notebook 10, Make it fast."""

from typing import Any

import numpy as np

from resnet_np.bench.operations import describe
from resnet_np.bench.roofline import Point, Roofline
from resnet_np.bench.task import Task
from resnet_np.tutor.checking import call, exercise, same


@exercise("10.1")
def roof(answer: Any) -> str:
    for intensity, peak, bandwidth in ((0.25, 200.0, 40.0), (30.0, 200.0, 40.0), (5.0, 100.0, 20.0), (2.0, 50.0, 100.0)):
        machine = Roofline(Task("resnet8", 1, 1), sgemm=peak, copy=bandwidth, step=1.0, outside=0.0, points=())
        point = Point("", "", 1, seconds=1.0, flops=int(intensity * 1e9), bytes=10**9)
        same(call(answer, intensity, peak, bandwidth), point.gflops / machine.share(point),
             given=f"intensity={intensity:g}, peak={peak:g}, bandwidth={bandwidth:g}",
             hint="memory delivers bandwidth GB/s, and each byte is worth `intensity` FLOP; neither limit may be passed")
    return "the slope, the flat roof and the corner between them"


@exercise("10.2")
def conv_flops(answer: Any) -> str:
    for N, C, F, OH, OW, KH, KW in ((1, 1, 1, 1, 1, 1, 1), (4, 3, 16, 8, 8, 3, 3), (2, 5, 7, 4, 6, 1, 3)):
        x, w, out = np.zeros((N, C, OH, OW)), np.zeros((F, C, KH, KW)), np.zeros((N, F, OH, OW))
        same(call(answer, N, C, F, OH, OW, KH, KW), describe("conv forward", {"x": x, "w": w}, out).flops,
             given=f"N={N}, C={C}, F={F}, OH={OH}, OW={OW}, KH={KH}, KW={KW}", tolerance=1e-9,
             hint="N F OH OW outputs are sums of C KH KW products: a multiplication and an addition each")
    return "your count is the one of resnet-np bench"


@exercise("10.3")
def conv_intensity(answer: Any) -> str:
    for N, C, F, size, dtype in ((2, 4, 8, 8, np.float32), (2, 4, 8, 8, np.float64), (1, 32, 2, 4, np.float32)):
        x, w, out = np.zeros((N, C, size, size), dtype), np.zeros((F, C, 3, 3), dtype), np.zeros((N, F, size, size), dtype)
        operation = describe("conv forward", {"x": x, "w": w}, out)
        same(call(answer, x, w, out), operation.flops / operation.bytes,
             given=f"x {x.shape}, w {w.shape}, out {out.shape}, {x.dtype}",
             hint="FLOP as in 10.2, from the shapes; bytes of x, w and out together: a float64 has twice those of a float32")
    return "float32 and float64, and the filters count too"


@exercise("10.4")
def growth(answer: Any) -> str:
    rng = np.random.default_rng(0)
    for outputs in (2, 4):
        A_T, G, B_T = (rng.uniform(-2, 2, (rows, columns)) for rows, columns in ((outputs, outputs + 2), (outputs + 2, 3),
                                                                               (outputs + 2, outputs + 2)))
        # The error of one product alone reaches every output through its column of A_T; independent ones add by their squares.
        deviation = np.sqrt(np.diag(G @ G.T) * np.diag(B_T @ B_T.T))
        alone = A_T @ np.diag(deviation)
        same(call(answer, A_T, G, B_T), float(np.linalg.norm(alone) ** 2) / (3 * outputs),
             given=f"random matrices for {outputs} outputs: A_T {A_T.shape}, G {G.shape}, B_T {B_T.shape}",
             hint="variances add: square the entries of all three matrices, average over the outputs, divide by the direct sum's 3")
    return "variances, output by output; 1.7 for F(2, 3), 10.8 for F(4, 3)"


@exercise("10.5")
def whole_step(answer: Any) -> str:
    rng = np.random.default_rng(0)
    for factor in (1.0, 2.0, 10.0, 1e9):
        parts = rng.uniform(0.1, 1, 5)  # seconds; the first one is made faster
        faster = parts.copy()
        faster[0] /= factor
        share = float(parts[0] / parts.sum())
        same(call(answer, share, factor), parts.sum() / faster.sum(), given=f"share={share:.4f}, factor={factor:g}",
             hint="of a step of length 1, 1 - share stays and share shrinks; the answer is the old length over the new one")
    return "a step of five parts becomes faster by just that much"
