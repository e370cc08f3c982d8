"""bf16 for Numba: its conversions are those of ml_dtypes, and each micro-kernel multiplies what the loops multiply."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set: the intrinsics cannot be compiled", allow_module_level=True)

from resnet_np.kernels import bfloat, micro  # noqa: E402
from resnet_np.kernels.elementwise import bf16 as elementwise  # noqa: E402
from resnet_np.kernels.elementwise import jit, loops  # noqa: E402
from resnet_np.precision import BF16, bits, rounded, widened  # noqa: E402

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 3.4028235e38, -3.4e38, 1.00390625, 1.01171875, 1.0039063, 2.0**-126, 1e30]


@numba.njit
def _round_and_widen(x, narrow, wide):
    for i in range(0, x.shape[0], bfloat.LANES):
        bfloat.narrow(narrow, i, bfloat.load(x, i))
        bfloat.store(wide, i, bfloat.widen(narrow, i))


@numba.njit
def _pairs(x, out):
    bfloat.narrow_pairs(out, 0, bfloat.load(x, 0), bfloat.load(x, bfloat.LANES))


@pytest.fixture
def numbers(rng):
    """float32 of all sizes, ties, and what is not finite."""
    sizes = rng.standard_normal(1024) * 10.0 ** rng.integers(-30, 30, 1024)
    ties = (rng.integers(0x3F000000, 0x40000000, 1024) & 0xFFFF0000 | 0x8000).astype(np.uint32).view(np.float32)
    return np.concatenate([sizes.astype(np.float32), ties, np.array(SPECIAL + [0.0] * (-len(SPECIAL) % 16), np.float32)])


def test_rounding_is_to_nearest_even(numbers):
    narrow, wide = np.empty(len(numbers), np.uint16), np.empty(len(numbers), np.float32)
    _round_and_widen(numbers, narrow, wide)
    want = numbers.astype(BF16)
    np.testing.assert_array_equal(narrow.view(BF16).astype(np.float32), want.astype(np.float32))
    np.testing.assert_array_equal(wide, want.astype(np.float32))


def test_whole_maps(numbers, rng):
    x = numbers[:2 * 3 * 5 * 7].reshape(2, 3, 5, 7)
    np.testing.assert_array_equal(jit.round_maps(x).view(np.uint16), rounded(x).view(np.uint16))
    np.testing.assert_array_equal(loops.round_maps(x).view(np.uint16), rounded(x).view(np.uint16))
    odd = np.array(SPECIAL, np.float32).reshape(1, 1, 2, -1)
    np.testing.assert_array_equal(jit.round_maps(odd).astype(np.float32), rounded(odd).astype(np.float32))
    np.testing.assert_array_equal(loops.round_maps(odd).astype(np.float32), rounded(odd).astype(np.float32))


def test_pairs(rng):
    x, out = rng.standard_normal(32).astype(np.float32), np.empty(32, np.uint16)
    _pairs(x, out)
    np.testing.assert_array_equal(out.view(BF16), np.stack([x[:16], x[16:]], 1).ravel().astype(BF16))


def test_elementwise(rng):
    """Maps of 105 values an image: whole vectors, and a rest."""
    a, b = (rounded(rng.standard_normal((2, 3, 5, 7)).astype(np.float32)) for _ in range(2))
    A, B = widened(a), widened(b)
    for ours, want in ((elementwise.add(a, b), A + B), (elementwise.relu_forward(a), np.maximum(A, 0)),
                       (elementwise.relu_backward(a, b), np.where(B > 0, A, 0)), (elementwise.multiply(a, b), A * B)):
        np.testing.assert_array_equal(bits(ours), bits(rounded(want)))
    a[0, 0, 0, 0] = a[1, 2, 4, 6] = np.nan
    out = elementwise.relu_forward(a)
    assert np.isnan(out[0, 0, 0, 0]) and np.isnan(out[1, 2, 4, 6])


@numba.njit
def _eight_rows(a, b, depth, out, accumulate):
    bfloat.multiply_pairs(a, 0, 2 * depth, 0, 2, b, 0, 64, depth, out, 0, 32, 8, 2, 1, accumulate)


@numba.njit
def _sixteen_rows(a, b, depth, out, accumulate):
    bfloat.multiply_pairs(a, 0, 2, 32, 96, b, 0, 32, depth // 3, out, 0, 16, 16, 1, 3, accumulate)


def loops_multiply_pairs(a, b, out):
    """a (rows, K, 2), b (K, columns, 2), out (rows, columns): the contract, in three loops and float64."""
    out = out.astype(np.float64)
    for r in range(a.shape[0]):
        for f in range(b.shape[1]):
            for k in range(a.shape[1]):
                out[r, f] += float(a[r, k, 0]) * float(b[k, f, 0]) + float(a[r, k, 1]) * float(b[k, f, 1])
    return out


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("depth", [3, 9])
def test_multiply_pairs(rng, depth, accumulate):
    for kernel, rows, columns in ((_eight_rows, 8, 32), (_sixteen_rows, 16, 16)):
        a = rng.standard_normal((rows, depth, 2)).astype(BF16)
        b, out = rng.standard_normal((depth, columns, 2)).astype(BF16), rng.standard_normal((rows, columns)).astype(np.float32)
        want = loops_multiply_pairs(a, b, out if accumulate else np.zeros_like(out))
        sizes = loops_multiply_pairs(abs(a), abs(b), abs(out))
        laid = a if rows == 8 else np.ascontiguousarray(a.transpose(1, 0, 2))
        kernel(laid.view(np.uint16).ravel(), b.view(np.uint16).ravel(), depth, out.ravel(), accumulate)
        assert (np.abs(out - want) <= (2 * depth + 1) * 2.0**-23 * sizes).all()


@pytest.mark.slow
@pytest.mark.skipif(micro.MICRO_KERNEL == "portable", reason="it is the one that the other tests run on")
def test_the_portable_micro_kernel_passes_the_same_tests():
    files = [str(Path(__file__)), *(str(Path(__file__).parent / "conv" / f"test_bf16{name}.py") for name in ("", "_tiles"))]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *files]
    process = subprocess.run(command, env=os.environ | {micro.VARIABLE: "portable"}, cwd=Path(__file__).parents[2],
                             capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stdout[-3000:]


def test_the_micro_kernel_can_be_chosen_and_an_unknown_one_is_refused(tmp_path):
    """And the code that was compiled for one is not run for the other."""
    script = ("import sys; from resnet_np.kernels import compile, micro; print(micro.MICRO_KERNEL, compile.cache_folder())")
    folders = {}
    for name in micro.supported():
        environment = os.environ | {micro.VARIABLE: name, "NUMBA_CACHE_DIR": str(tmp_path)}
        process = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
        chosen, folders[name] = process.stdout.split()
        assert chosen == name
    assert len(set(folders.values())) == len(micro.supported())
    environment = os.environ | {micro.VARIABLE: "amx2"}
    process = subprocess.run([sys.executable, "-m", "resnet_np", "doctor"], env=environment, capture_output=True, text=True)
    assert "got 'amx2', expected one that this CPU has: " in process.stdout + process.stderr
    assert "Traceback" not in process.stderr
