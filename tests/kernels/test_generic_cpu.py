"""On a CPU without AVX or fused multiply-add the same source gives the same numbers, within rounding."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    pytest.skip("NUMBA_DISABLE_JIT is set: the numba backend cannot run", allow_module_level=True)

CHECK = """
import numpy as np
from resnet_np import functional as F
from resnet_np.backend import using

rng = np.random.default_rng(0)
for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
    for shape, stride in (((2, 3, 7, 9), 1), ((2, 3, 6, 16), 1), ((2, 3, 8, 16), 2), ((3, 9, 6, 4), 1), ((3, 8, 8, 8), 1)):
        x, w = rng.standard_normal(shape).astype(dtype), rng.standard_normal((8, shape[1], 3, 3)).astype(dtype)
        results = []
        for name in ("numba", "numpy"):
            with using(name):
                out, cache = F.conv2d_forward(x, w, stride=stride, pad=1)
                results.append((out, *F.conv2d_backward(np.cos(out), cache)))
        for ours, theirs in zip(*results):
            assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()
print("agreed")
"""


def test_a_generic_cpu(empty_cache):
    """With a cache of its own: Numba's files do not tell CPUs apart by this variable."""
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    process = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0 and "agreed" in process.stdout, process.stderr[-2000:]
