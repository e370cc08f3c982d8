"""What the machine can do at best: the largest matrix product, and memory copied."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from resnet_np import backend

SIZE = 2048  # rows and columns of the product: large enough for OpenBLAS's best, 48 MiB in all
COPIED = 2**25  # float32 values, 128 MiB: beyond every cache


def sgemm(seconds: float) -> list[float]:
    """GFLOP/s of float32 products where the backend computes, one after the other for that long (at least three, after a first)."""
    a, b = map(backend.to_device, np.random.default_rng(0).standard_normal((2, SIZE, SIZE), np.float32))
    matmul, out = backend.namespace(a).matmul, backend.namespace(a).empty_like(a)

    def product() -> None:
        matmul(a, b, out=out)
        backend.wait()

    product()
    return [2 * SIZE**3 / took / 1e9 for took in bursts(product, seconds)]


def copy(seconds: float, threads: int) -> list[float]:
    """GB/s of memory copied by that many threads: bytes read plus bytes written, as the operations' traffic is counted."""
    source, target = np.ones(COPIED, np.float32), np.zeros(COPIED, np.float32)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        times = bursts(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), seconds)
    return [(source.nbytes + target.nbytes) / took / 1e9 for took in times]


def bursts(work: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of every call of work(), repeated for about `seconds` and at least three times."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found
