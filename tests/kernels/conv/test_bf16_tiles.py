"""Products of tiles and the tables of windows: what the direct convolution in bf16 is made of, against plain loops."""

import os
import subprocess
import sys

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set: the intrinsics cannot be compiled", allow_module_level=True)

from resnet_np.kernels import micro  # noqa: E402
from resnet_np.kernels.bfloat import copy_pairs, turn  # noqa: E402
from resnet_np.kernels.conv import bf16_tiles as tiles  # noqa: E402
from resnet_np.kernels.conv import bf16_windows as w  # noqa: E402
from resnet_np.precision import BF16  # noqa: E402


@numba.njit
def _down(count, a, starts, a_row, a_piece, pieces, blocks, b, out):
    tiles.begin()
    tiles.multiply_down(count, a, starts[0], starts[1], starts[2], starts[3], a_row, a_piece, pieces, blocks, b, 0, out, 0)
    tiles.end()


@numba.njit
def _across(count, a, blocks, b, starts, b_row, out, places, out_row, accumulate):
    tiles.begin()
    tiles.multiply_across(count, a, 0, blocks, b, starts[0], starts[1], starts[2], starts[3], b_row,
                          out, places[0], places[1], places[2], places[3], out_row, accumulate)
    tiles.end()


def draw(rng, *shape):
    return rng.standard_normal(shape).astype(BF16)


def flat(array):
    return np.ascontiguousarray(array).view(np.uint16).ravel()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(("pieces", "blocks"), [(1, 1), (3, 2)])
def test_multiply_down(rng, count, pieces, blocks):
    """Windows of 16 pixels that overlap, as a convolution's do: rows 48 apart, pieces 500 apart."""
    a, b = draw(rng, 4_000), draw(rng, pieces, blocks, 16, 16, 2)  # pairs, columns, of a pair
    starts, row, piece, out = np.array([0, 700, 64, 1500]), 48, 500, np.full((4, 16, 16), 7, np.float32)
    _down(count, flat(a), starts, row, piece, pieces, blocks, flat(b), out.ravel())
    A, B = a.astype(np.float64), b.astype(np.float64).transpose(0, 1, 2, 4, 3).reshape(pieces, 32 * blocks, 16)
    for i in range(count):
        rows = [[A[starts[i] + r * row + p * piece:][:32 * blocks] for r in range(16)] for p in range(pieces)]
        want = sum(np.array(rows[p]) @ B[p] for p in range(pieces))
        sizes = sum(abs(np.array(rows[p])) @ abs(B[p]) for p in range(pieces))
        assert (np.abs(out[i] - want) <= 32 * pieces * blocks * 2.0**-23 * sizes).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(("blocks", "accumulate"), [(1, True), (3, True), (3, False)])
def test_multiply_across(rng, count, blocks, accumulate):
    """It adds to what is there, and to nothing else."""
    a, b = draw(rng, blocks, 16, 32), draw(rng, 16 * blocks + 9, 48, 2)
    starts, places = np.array([0, 32, 3 * 96, 4 * 96 + 64]), np.array([0, 16, 32, 48])
    before = rng.standard_normal((16, 70)).astype(np.float32)
    out = before.copy()
    _across(count, flat(a), blocks, flat(b), starts, 96, out.ravel(), places, 70, accumulate)
    A, B = a.astype(np.float64).transpose(1, 0, 2).reshape(16, -1), b.astype(np.float64)
    want = before.astype(np.float64)
    want[:, :16 * count] *= accumulate
    sizes = abs(want)
    for i in range(count):
        pair, column = starts[i] // 96, starts[i] % 96 // 2
        columns = B[pair:pair + 16 * blocks, column:column + 16].transpose(0, 2, 1).reshape(-1, 16)
        want[:, places[i]:places[i] + 16] += A @ columns
        sizes[:, places[i]:places[i] + 16] += abs(A) @ abs(columns)
    assert (np.abs(out - want) <= 32 * blocks * 2.0**-23 * sizes).all()
    np.testing.assert_array_equal(out[:, 16 * count:], before[:, 16 * count:])


@numba.njit
def _turned(source, step, to_step, out):
    turn(out, 0, to_step, source, 0, step)


@numba.njit
def _paired(source, first, second, out):
    copy_pairs(out, 0, source, first, second)


def test_turn_and_pairs(rng):
    source, out = rng.integers(0, 1 << 16, 400).astype(np.uint16), np.zeros((16, 20), np.uint16)
    _turned(source, 24, 20, out.ravel())
    np.testing.assert_array_equal(out[:, :16], source[:384].reshape(16, 24)[:, :16].T)
    assert (out[:, 16:] == 0).all()
    pairs = np.empty(32, np.uint16)
    _paired(source, 5, 100, pairs)
    np.testing.assert_array_equal(pairs, np.stack([source[5:21], source[100:116]], 1).ravel())


# size, kernel, stride, pad
CASES = [(8, 3, 1, 1), (32, 3, 1, 1), (7, 3, 1, 1), (5, 1, 1, 0), (9, 3, 2, 1), (32, 3, 2, 1), (7, 1, 2, 0), (17, 7, 2, 3),
         (9, 3, 3, 1), (5, 1, 1, 1), (4, 2, 1, 2), (3, 2, 2, 3), (1, 3, 1, 1),
         (6, 2, 1, 0), (6, 2, 2, 0), (40, 5, 1, 2), (4, 3, 2, 0)]


def read(axes, table, group, tile, row):
    """Of a window: which image and place it begins at, in the padded image; by the plane's layout."""
    y, x = axes
    at = table.starts[tile] + row * x.step
    image, rest = divmod(at, table.rows * table.pitch)
    return image, rest // table.pitch, rest % table.pitch


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("group", [1, 3])
def test_windows(case, group):
    """Each output is computed once, by the window that belongs to it, and nothing is read behind the plane."""
    size, kernel, stride, pad = case
    y, x = w.forward_axis(size, kernel, stride, pad), w.forward_axis(size + 3, kernel, stride, pad)
    table = w.windows(y, x, group, (y.windows, x.windows), 32)
    targets = table.targets.reshape(-1, 16)
    assert sorted(targets[targets >= 0]) == list(range(group * y.windows * x.windows))
    for tile, row in zip(*np.nonzero(targets >= 0), strict=True):
        image, rest = divmod(targets[tile, row], y.windows * x.windows)
        assert read((y, x), table, group, tile, row) == (image, rest // x.windows * stride, rest % x.windows * stride)
    piece = -(-kernel * 32 // 32) * 32
    assert all(start * 32 + 15 * x.step * 32 + (kernel - 1) * table.pitch * 32 + piece <= table.length for start in table.starts)
    assert len(table.starts) <= group * y.windows * -(-x.windows // 16)  # no more tiles than row after row
    if y.gap == x.gap == stride - 1 == 0 and kernel == 1 and group * size * (size + 3) >= 16:
        assert table.length <= group * size * (size + 3) * 32  # images are read where they lie


def test_windows_that_are_wider_than_high():
    """With padding above and below that no window needs there are more rows of windows than of pixels; each begins elsewhere."""
    y, x = w.forward_axis(4, 1, 1, 1), w.forward_axis(4, 3, 1, 1)
    table = w.windows(y, x, 2, (6, 4), 32)
    assert sorted(target for target in table.targets if target >= 0) == list(range(2 * 6 * 4))


def test_doubled_windows():
    """Of 16 channels: four pixels fill two tiles, as three do."""
    x = w.forward_axis(32, 3, 1, 1)
    pair = x.doubled(16)
    assert (pair.kernel, pair.step, pair.windows, pair.target_step) == (4, 2, 16, 2)
    table = w.windows(x, pair, 2, (32, 32), 16)
    assert sorted(table.targets) == list(range(0, 2 * 32 * 32, 2)) and len(table.starts) == 64
    assert (table.starts % 2 == 0).all() and table.pitch % 2 == 0  # so that a row of a tile is a cache line
    assert x.doubled(32) is x and w.forward_axis(16, 3, 1, 1).doubled(16).windows == 16
    assert w.forward_axis(64, 3, 2, 1).doubled(16).step == 2


@pytest.mark.parametrize("case", CASES)
def test_axes_of_the_way_back(case):
    """Every pixel is written once, and the taps that reach it are those that the definition names."""
    size, kernel, stride, pad = case
    outputs = (size + 2 * pad - kernel) // stride + 1
    found = {}
    for phase in range(stride):
        axis = w.backward_axis(size, kernel, stride, pad, phase)
        if axis is None:
            continue
        taps = list(range(phase, kernel, stride))[::-1]
        for k in range(axis.windows):
            first = axis.first + k * axis.step - axis.before  # in outputs
            pixel = axis.target + k * axis.target_step
            assert pixel not in found
            found[pixel] = {(first + m, tap) for m, tap in enumerate(taps) if 0 <= first + m < outputs}
            assert axis.first + k * axis.step >= 0 and first + axis.kernel <= outputs + axis.gap
    assert sorted(found) == list(range(size))
    for pixel, pairs in found.items():
        assert pairs == {(o, tap) for o in range(outputs) for tap in range(kernel) if o * stride + tap - pad == pixel}


def test_groups():
    assert w.groups(128, 64, 256) == 4 and w.groups(128, 1024, 256) == 1 and w.groups(3, 1, 256) == 3 and w.groups(7, 64, 256) == 1


def test_without_the_systems_grant_there_are_no_tiles(monkeypatch):
    everything = {feature: True for needs in micro.NEEDS.values() for feature in needs}
    monkeypatch.setattr(micro, "get_host_cpu_features", lambda: everything)
    monkeypatch.setattr(micro.config, "CPU_FEATURES", None)
    monkeypatch.setattr(micro.config, "CPU_NAME", None)
    for granted, expected in ((True, ("amx", "vdpbf16ps", "portable")), (False, ("vdpbf16ps", "portable"))):
        monkeypatch.setattr(micro, "tiles_granted", lambda granted=granted: granted)
        assert micro.supported() == expected


@pytest.mark.parametrize(("system", "machine", "answer", "granted"), [
    ("linux", "x86_64", 0, True), ("linux", "x86_64", -1, False), ("win32", "AMD64", 0, False), ("linux", "aarch64", 0, False)])
def test_the_system_is_asked(monkeypatch, system, machine, answer, granted):
    class Library:
        def __init__(self, name):
            pass

        def syscall(self, *numbers):
            assert numbers == (158, 0x1023, 18)
            return answer

    monkeypatch.setattr(micro.sys, "platform", system)
    monkeypatch.setattr(micro.platform, "machine", lambda: machine)
    monkeypatch.setattr(micro.ctypes, "CDLL", Library)
    assert micro.tiles_granted.__wrapped__() is granted


COMPILED = """
from resnet_np.kernels import micro
micro.MICRO_KERNEL = "amx"  # whatever this CPU has: nothing is run
import numba, numpy as np
from resnet_np.kernels.conv import bf16_direct as direct
from resnet_np.kernels.conv.bf16_finish import nothing

code = []
def only_compile(kernel):
    def call(*arguments):
        signature = tuple(map(numba.typeof, arguments))
        kernel.compile(signature)
        code.append(kernel.inspect_asm(kernel.signatures[0]))
    return call

for name in ("_pack", "_correlate", "_weight_grad"):
    setattr(direct, name, only_compile(getattr(direct, name)))
direct.add_parts_of_taps = lambda *_: None  # it would run, and this CPU may know nothing of AVX-512
x, w = np.zeros((1, 4, 4, 16), np.uint16), np.zeros((16, 16, 3, 3), np.float32)
direct.correlate(x, w, 1, 1, nothing())
direct.weight_grad(x, x, w.shape, 1, 1)
print(*(sum(instruction in text for text in code) for instruction in ("ldtilecfg", "tdpbf16ps", "tilerelease")))
"""


@pytest.mark.slow
def test_amx_is_compiled_on_any_machine(empty_cache):
    """For a CPU that has it, by name; and run where this machine is one."""
    environment = os.environ | {"NUMBA_CPU_NAME": "sapphirerapids", "NUMBA_CPU_FEATURES": ""}
    process = subprocess.run([sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.split() == ["2", "2", "2"]
    if "amx" not in micro.supported():
        pytest.skip("compiled, not run: this CPU has no AMX, or the system does not grant it")
