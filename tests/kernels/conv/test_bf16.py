"""Convolution in bf16: right to the format's own rounding, the same bits for any threads, and never a byte beyond its arrays.

Both ways to compute it are tested on any machine: by tiles, without Winograd (AMX, or vectors in its place), and by vectors.
"""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set: the kernels cannot be compiled", allow_module_level=True)

from resnet_np.kernels import micro  # noqa: E402
from resnet_np.kernels.conv import array, bf16, bf16_direct, bf16_winograd, partials  # noqa: E402
from resnet_np.precision import BF16, bits, rounded, widened  # noqa: E402

STEP = 2.0**-7  # between two bf16 numbers, at most, as a share of the smaller: two roundings of nearly the same differ by one step
SUM = 1_000 * 2.0**-24  # of float32 sums of a thousand products, in any order, as a share of the sum of their sizes, at most
# x (N, C, H, W), F, kernel, stride, pad
DIRECT = {
    "stem": ((3, 3, 8, 8), 16, 3, 1, 1),
    "stride 2": ((2, 16, 8, 8), 32, 3, 2, 1),
    "stride 2, odd": ((2, 32, 7, 9), 48, 3, 2, 1),
    "1x1": ((2, 32, 5, 5), 64, 1, 1, 0),
    "1x1 stride 2": ((2, 16, 7, 7), 32, 1, 2, 0),
    "7x7 stride 2": ((2, 3, 17, 15), 16, 7, 2, 3),
    "no padding": ((2, 16, 5, 6), 16, 3, 1, 0),
    "5x5": ((2, 16, 9, 9), 16, 5, 1, 2),
    "more pixels than a block": ((1, 16, 12, 11), 16, 2, 1, 0),
    "17 images": ((17, 16, 4, 4), 16, 1, 1, 0),
    "7 filters": ((2, 5, 6, 6), 7, 3, 1, 1),
}
MANY = {  # weights, whose gradient is taken another way
    "stride 2": ((3, 128, 5, 5), 64, 3, 2, 1), "1x1": ((2, 256, 3, 3), 256, 1, 1, 0), "Winograd": ((9, 192, 4, 4), 192, 3, 1, 1),
    "Winograd, odd": ((2, 192, 3, 5), 192, 3, 1, 1),
}
WINOGRAD = {
    "one tile": ((1, 16, 2, 2), 16), "one pixel": ((2, 16, 1, 1), 16), "odd": ((2, 16, 5, 7), 32), "a row": ((1, 32, 1, 9), 16),
    "ResNet-20": ((3, 16, 32, 32), 16), "three vectors": ((2, 48, 6, 6), 48), "wide": ((1, 16, 4, 70), 16),
    "64": ((17, 64, 8, 8), 64),
}


def slow_unless_in_use(way):
    """The marks of a test of that way: what this CPU does not use must be compiled for the test alone, for half a minute."""
    return [] if way == bf16.TILES and micro.MICRO_KERNEL != "portable" else [pytest.mark.slow]


@pytest.fixture(params=[
    pytest.param(way, id=name, marks=slow_unless_in_use(way)) for way, name in ((False, "vectors"), (True, "tiles"))])
def each_way(request, monkeypatch):
    monkeypatch.setattr(bf16, "TILES", request.param)


@pytest.fixture
def by_vectors(monkeypatch):
    monkeypatch.setattr(bf16, "TILES", False)


WIDE = MANY | {name: (*case, 3, 1, 1) for name, case in WINOGRAD.items()} | {
    "the stem of CIFAR, two windows as one": ((2, 3, 4, 32), 16, 3, 1, 1), "two windows as one": ((2, 16, 3, 64), 32, 3, 1, 1),
    "1x1 pad 1": ((2, 16, 5, 5), 16, 1, 1, 1), "2x2 pad 2": ((2, 16, 4, 4), 16, 2, 1, 2),
    "160 channels": ((2, 160, 3, 3), 16, 3, 1, 1),
    "72 channels": ((2, 72, 4, 5), 16, 3, 1, 1), "stride 3": ((2, 16, 9, 9), 16, 3, 3, 1), "1x1": ((3, 1040, 2, 3), 16, 1, 1, 0),
    "the stem of ImageNet": ((2, 3, 40, 37), 64, 7, 2, 3), "2x2 stride 2": ((2, 16, 6, 9), 16, 2, 2, 0),
}


def draw(rng, shape, filters, kernel, stride, pad):
    x = rounded(rng.standard_normal(shape).astype(np.float32))
    w = rng.standard_normal((filters, shape[1], kernel, kernel)).astype(np.float32)
    size = [(side + 2 * pad - kernel) // stride + 1 for side in shape[2:]]
    return x, w, rounded(rng.standard_normal((shape[0], filters, *size)).astype(np.float32))


def run(x, w, dout, stride, pad):
    settings = {"stride": stride, "pad": pad}
    return (bf16.forward(x, w, **settings), bf16.input_grad(dout, w, x_shape=x.shape, **settings),
            bf16.weight_grad(dout, x, w_shape=w.shape, **settings))


@pytest.mark.slow
@pytest.mark.parametrize("case", DIRECT.values(), ids=DIRECT)
def test_direct(rng, each_way, case):
    compare_with_the_definition(rng, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", WIDE.values(), ids=WIDE)
def test_tiles(rng, monkeypatch, case):
    """What only tiles compute so: 3x3 filters with stride 1, all shapes that Winograd's way is tested on, and many weights."""
    monkeypatch.setattr(bf16, "TILES", True)
    compare_with_the_definition(rng, case)


def compare_with_the_definition(rng, case):
    """What array.py computes in float64 with the same rounded factors, to one step of the format where the result is rounded."""
    stride, pad = case[3:]
    x, w, dout = draw(rng, *case)
    settings = {"stride": stride, "pad": pad}
    X, W, D = widened(x).astype(np.float64), rounded(w).astype(np.float64), widened(dout).astype(np.float64)

    def exact(X, W, D):
        return (array.forward(X, W, **settings), array.input_grad(D, W, x_shape=x.shape, **settings),
                array.weight_grad(D, X, w_shape=w.shape, **settings))

    names = zip(run(x, w, dout, stride, pad), exact(X, W, D), exact(abs(X), abs(W), abs(D)), (STEP, STEP, 0), strict=True)
    for ours, want, sizes, step in names:
        assert ours.dtype == (BF16 if step else np.float32)
        assert (np.abs(ours.astype(np.float64) - want) <= step * np.abs(want) + SUM * sizes).all()


# Winograd's sums once more, in NumPy: factors rounded as the kernels round them, the rest in float64.
BT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
AT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)


def tiles(x):
    """x (N, C, H, W) -> (N, C, tiles down, tiles across, 4, 4): what each tile of 2x2 outputs sees; 0 outside."""
    high, wide = (-(-side // 2) for side in x.shape[2:])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 2 * high + 1 - x.shape[2]), (1, 2 * wide + 1 - x.shape[3])))
    return np.stack([np.stack([padded[:, :, 2 * i:2 * i + 4, 2 * j:2 * j + 4] for j in range(wide)], 2) for i in range(high)], 2)


def exactly(array):
    return array.astype(BF16).astype(np.float64)


def winograd(x, w):
    """-> out, and the sum of the sizes of what is added up in it."""
    d = exactly(np.einsum("ia,nchwab,jb->nchwij", BT, tiles(x), BT))
    u = exactly(np.einsum("ia,fcab,jb->fcij", G, w, G))

    def product(d, u, AT):
        out = np.einsum("ai,nfhwij,bj->nfhawb", AT, np.einsum("nchwij,fcij->nfhwij", d, u), AT)
        n, f, high, _, wide, _ = out.shape
        return out.reshape(n, f, 2 * high, 2 * wide)[:, :, :x.shape[2], :x.shape[3]]

    return product(d, u, AT.astype(np.float64)), product(abs(d), abs(u), abs(AT).astype(np.float64))


def winograd_weights(x, dout):
    d = exactly(np.einsum("ia,nchwab,jb->nchwij", BT, tiles(x), BT))
    two = tiles(dout)[..., 1:3, 1:3]
    e = exactly(np.einsum("ai,nfhwab,bj->nfhwij", AT, two, AT))

    def product(d, e, G):
        return np.einsum("ia,fcij,jb->fcab", G, np.einsum("nchwij,nfhwij->fcij", d, e), G)

    return product(d, e, G.astype(np.float64)), product(abs(d), abs(e), abs(G).astype(np.float64))


@pytest.mark.parametrize("case", [
    pytest.param(case, id=name, marks=slow_unless_in_use(False)) for name, case in WINOGRAD.items()])
def test_winograd(rng, by_vectors, case):
    compare_with_winograd(rng, case)


def compare_with_winograd(rng, case):
    x, w, dout = draw(rng, *case, 3, 1, 1)
    assert bf16_winograd.suits(w.shape, 1, 1)
    X, D, turned = widened(x), widened(dout), w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    for ours, (want, sizes), step in zip(run(x, w, dout, 1, 1), (winograd(X, w), winograd(D, turned), winograd_weights(X, D)),
                                         (STEP, STEP, 0), strict=True):
        assert (np.abs(ours.astype(np.float64) - want) <= step * np.abs(want) + SUM * sizes).all()


@pytest.mark.slow
@pytest.mark.parametrize("case", MANY.values(), ids=MANY)
def test_many_weights(rng, by_vectors, case):
    shape, filters, kernel, stride, pad = case
    if bf16_winograd.suits((filters, shape[1], kernel, kernel), stride, pad):
        compare_with_winograd(rng, case[:2])
    else:
        compare_with_the_definition(rng, case)


@pytest.mark.slow
def test_winograd_is_as_good_as_the_format(rng, by_vectors):
    """The error of the output over its deviation: rounding Winograd's factors costs 4.0e-3, rounding the output too 4.4e-3."""
    x, w, _ = draw(rng, (4, 64, 16, 16), 64, 3, 1, 1)
    exact = array.forward(widened(x).astype(np.float64), w.astype(np.float64), stride=1, pad=1)
    for ours, least, most in ((winograd(widened(x), w)[0], 3e-3, 5e-3), (bf16.forward(x, w, stride=1, pad=1), 3.5e-3, 5.5e-3)):
        assert least <= np.sqrt(np.mean((ours.astype(np.float64) - exact) ** 2)) / exact.std() <= most


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", [
    pytest.param(DIRECT["stride 2"], id="direct", marks=pytest.mark.slow),
    pytest.param((*WINOGRAD["odd"], 3, 1, 1), id="Winograd")])
def test_what_is_not_finite_gets_through(rng, each_way, case, value):
    x, w, dout = draw(rng, *case)
    damaged, wrong = x.copy(order="K"), dout.copy(order="K")
    damaged[0, 1, 2, 3] = wrong[1, 3, 1, 0] = value
    out, dx, _ = run(damaged, w, wrong, *case[3:])
    assert not np.isfinite(out[0].astype(np.float32)).all() and np.isfinite(out[1].astype(np.float32)).all()
    assert not np.isfinite(dx[1].astype(np.float32)).all() and np.isfinite(dx[0].astype(np.float32)).all()
    assert not np.isfinite(bf16.weight_grad(wrong, x, w_shape=w.shape, stride=case[3], pad=case[4])[3]).all()


@pytest.mark.parametrize("case", [  # 17 images: so many jobs, for it has no divisors
    pytest.param(((17, 3, 8, 8), 16, 3, 1, 1), id="stem", marks=pytest.mark.slow),
    pytest.param(((17, 16, 8, 8), 32, 3, 2, 1), id="stride 2", marks=pytest.mark.slow),
    pytest.param((*WINOGRAD["64"], 3, 1, 1), id="Winograd")])
def test_same_bits_for_any_threads(rng, each_way, case):
    x, w, dout = draw(rng, *case)
    found = []
    before = numba.get_num_threads()
    try:
        for threads in range(1, before + 1):
            numba.set_num_threads(threads)
            found.append([array.tobytes() for array in run(x, w, dout, *case[3:])])
    finally:
        numba.set_num_threads(before)
    assert all(bits == found[0] for bits in found)


@pytest.mark.slow
@pytest.mark.parametrize("case", [DIRECT["stem"], ((2, 16, 4, 4), 16, 1, 1, 0), (*WINOGRAD["64"], 3, 1, 1)])
def test_what_is_not_finite_stays_in_its_image(rng, each_way, case):
    """The first pixel of an image lies behind the last of the one before."""
    x, w, dout = draw(rng, *case)
    x[1, 0, 0, 0] = dout[1, 0, 0, 0] = np.inf
    out, dx, _ = run(x, w, dout, *case[3:])
    for array_ in (out, dx):
        finite = np.isfinite(array_.astype(np.float32)).all(axis=(1, 2, 3))
        assert not finite[1] and finite[[k for k in range(len(x)) if k != 1]].all()


@pytest.mark.slow
@pytest.mark.parametrize("case", [DIRECT["stem"], DIRECT["stride 2, odd"], DIRECT["1x1"], WIDE["160 channels"], WIDE["1x1"],
                                  (*WINOGRAD["64"], 3, 1, 1)])
def test_scratch_may_hold_anything(rng, monkeypatch, case):
    """Not a number that was left in it may reach a result."""
    def full_of_nan(shape, dtype):
        return np.full(shape, 0xFFFF if dtype == np.uint16 else np.nan, dtype)

    monkeypatch.setattr(bf16, "TILES", True)
    x, w, dout = draw(rng, *case)
    want = run(x, w, dout, *case[3:])
    for module in (bf16_direct, partials):
        monkeypatch.setattr(module, "empty", full_of_nan)
    for ours, expected in zip(run(x, w, dout, *case[3:]), want, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_arguments_stay(rng, each_way):
    x, w, dout = draw(rng, (2, 16, 6, 6), 16, 3, 1, 1)
    copies = x.copy(order="K"), w.copy(), dout.copy(order="K")
    run(x, w, dout, 1, 1)
    for given, copy in zip((x, w, dout), copies, strict=True):
        np.testing.assert_array_equal(given, copy)


@pytest.mark.parametrize("stride", [pytest.param(2, marks=pytest.mark.slow), 1])
def test_maps_lie_channels_last(rng, each_way, stride):
    x, w, dout = draw(rng, (2, 16, 6, 6), 32, 3, stride, 1)
    for array_ in run(x, w, dout, stride, 1)[:2]:
        assert bits(array_).flags.c_contiguous


GUARDED = """
import ctypes, mmap, sys
import numpy as np
from resnet_np.kernels.batchnorm import bf16 as batchnorm
from resnet_np.kernels.conv import bf16, bf16_direct
from resnet_np.kernels.elementwise import bf16 as elementwise
from resnet_np.kernels.fused import bf16 as fused
from resnet_np.precision import BF16

kept = []
def guarded(array):
    '''A copy whose last byte is the last before a page that nobody may touch.'''
    page = mmap.PAGESIZE
    pages = -(-array.nbytes // page)
    memory = mmap.mmap(-1, (pages + 1) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + pages * page), page, 0) == 0
    copy = np.frombuffer(memory, array.dtype, array.size, pages * page - array.nbytes).reshape(array.shape)
    copy[...] = array
    kept.append(memory)
    return copy

def maps(rng, *shape):
    n, c, h, w = shape
    values = (rng.standard_normal((n, h, w, c)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return guarded(values).view(BF16).transpose(0, 3, 1, 2)

def empty(shape, dtype):
    '''Scratch and results are guarded too, and are not numbers at first.'''
    array = np.full(shape, 0xFFFF if dtype == np.uint16 else np.nan, dtype)
    return guarded(array) if array.size else array

bf16_direct.empty = empty
rng = np.random.default_rng(0)
cases = [((3, 3, 8, 8), 16, 3, 1, 1), ((2, 16, 8, 8), 32, 3, 2, 1), ((2, 32, 7, 9), 48, 3, 2, 1), ((2, 32, 5, 5), 64, 1, 1, 0),
         ((2, 16, 7, 7), 32, 1, 2, 0), ((2, 3, 17, 15), 16, 7, 2, 3), ((2, 16, 5, 6), 16, 3, 1, 0), ((2, 16, 5, 7), 32, 3, 1, 1),
         ((3, 48, 6, 6), 48, 3, 1, 1), ((1, 16, 1, 1), 16, 3, 1, 1), ((3, 128, 5, 5), 64, 3, 2, 1), ((2, 256, 3, 3), 256, 1, 1, 0),
         ((2, 192, 3, 5), 192, 3, 1, 1), ((2, 160, 3, 3), 16, 3, 1, 1), ((1, 1040, 2, 3), 16, 1, 1, 0),
         ((2, 16, 5, 5), 16, 1, 1, 1),
         ((2, 16, 3, 32), 16, 3, 1, 1), ((5, 64, 8, 8), 64, 3, 1, 1)]
ways = (False, True) if "both" in sys.argv else (bf16.TILES,)
for bf16.TILES, (shape, filters, kernel, stride, pad) in ((way, case) for way in ways for case in cases):
    x, w = maps(rng, *shape), guarded(rng.standard_normal((filters, shape[1], kernel, kernel)).astype(np.float32))
    size = [(side + 2 * pad - kernel) // stride + 1 for side in shape[2:]]
    dout, channel = maps(rng, shape[0], filters, *size), guarded(np.ones(filters, np.float32))
    settings = dict(stride=stride, pad=pad)
    y, mean, var = fused.conv_statistics(x, w, **settings)
    results = [y, bf16.input_grad(dout, w, x_shape=x.shape, **settings), bf16.weight_grad(dout, x, w_shape=w.shape, **settings),
               fused.conv_normalise(x, w, channel, channel, channel, channel, dout, relu=True, **settings),
               fused.input_grad_plus(dout, w, x, x_shape=x.shape, **settings),
               fused.normalise(dout, channel, channel, channel, channel, dout, relu=True),
               fused.normalise_relu_backward(dout, dout, dout, channel, channel, channel, channel, frozen=False)[0],
               batchnorm.backward(dout, dout, channel, channel, channel)[0]]
    assert all(np.isfinite(result.astype(np.float32)).all() for result in results)
for shape in ((3, 16, 4, 4), (3, 5, 3, 3), (1, 1, 1, 1)):  # whole vectors, and a rest
    a, b = maps(rng, *shape), maps(rng, *shape)
    results = elementwise.relu_forward(a), elementwise.relu_backward(a, b), elementwise.add(a, b)
    assert all(np.isfinite(result.astype(np.float32)).all() for result in results)
print("untouched")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
@pytest.mark.parametrize("micro_kernel", ["", "portable"])
def test_guard_pages(micro_kernel):
    """In a process of its own: a read beyond an array would kill it. The portable micro-kernel goes both ways."""
    environment = os.environ | ({"RESNET_NP_MICRO_KERNEL": micro_kernel} if micro_kernel else {})
    command = [sys.executable, "-c", textwrap.dedent(GUARDED), "both" if micro_kernel else ""]
    process = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert process.returncode == 0 and "untouched" in process.stdout, process.stderr[-2000:]


COMPILED = """
import json
import numba
import numpy as np
from resnet_np.kernels import compile

cached, found = compile._cached, {}

def only_compiled(function, *, parallel):
    kernel = cached(function, parallel=parallel)
    name = f"{function.__module__.removeprefix('resnet_np.kernels.')}.{function.__name__}"

    def call(*arguments):  # nothing is computed: this CPU may not have the instructions
        kernel.compile(tuple(map(numba.typeof, arguments)))
        code = "".join(kernel.inspect_asm().values())
        found[name] = code.count("vdpbf16ps"), code.count("zmm")
        for argument in arguments:
            if isinstance(argument, np.ndarray) and argument.flags.writeable and argument.dtype.kind in "fu":
                argument.fill(0)

    return call

compile._cached = only_compiled
from resnet_np.models import resnet_cifar
from resnet_np.optim import SGD
from resnet_np.training import training_step
from resnet_np.workspace import Workspace

net = resnet_cifar(8)
net.precision = "bf16"
pictures, labels = np.zeros((8, 3, 32, 32), np.float32), np.zeros(8, np.int64)
training_step(net, SGD(net.named_parameters()), pictures, labels, lr=0.1, workspace=Workspace())
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif("vdpbf16ps" in micro.supported(), reason="this CPU has it: the other tests run what this one compiles")
def test_vectors_are_compiled_on_any_machine(empty_cache):
    """All kernels of a training step, for a CPU with vdpbf16ps and registers of 64 bytes."""
    features = "+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512bf16"
    environment = os.environ | {"NUMBA_CPU_FEATURES": features}
    process = subprocess.run([sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr[-2000:]
    found = json.loads(process.stdout)
    products = {name for name, (products, _) in found.items() if products}
    assert products == {"conv.bf16._forward", "conv.bf16._weight_grad", "conv.bf16._input_grad", "conv.bf16_winograd._correlate",
                        "conv.bf16_winograd._weight_grad"}
    assert all(registers for _, registers in found.values()), found
    pytest.skip("compiled, not run: this CPU has no vdpbf16ps")
