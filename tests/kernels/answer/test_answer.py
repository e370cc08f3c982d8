"""The compiled program of a net that only answers: equal to its steps one after the other, by array code."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    pytest.skip("NUMBA_DISABLE_JIT is set: the kernels cannot be compiled", allow_module_level=True)

from resnet_np import backend
from resnet_np.kernels import answer
from resnet_np.kernels.answer import Convolution, GlobalPool, MaxPool, Steps, jit, program


def conv(rng, source, channels, filters, kernel, *, stride=1, pad=0, same=None, relu=False):
    weight = rng.standard_normal((filters, channels, kernel, kernel)) / np.sqrt(channels * kernel ** 2)
    return Convolution(source, weight.astype(np.float32), rng.standard_normal(filters).astype(np.float32), stride, pad, same, relu)


def ending(rng, steps, channels, classes, *, largest=False):
    return Steps([*steps, GlobalPool(len(steps), largest), conv(rng, len(steps) + 1, channels, classes, 1)])


def every_kind(rng):
    """name -> (steps, H, W): all kinds of steps, on maps and channels that vectors, tiles and pieces divide or not."""
    return {
        "a residual block, an odd number of blocks": (ending(rng, [
            conv(rng, 0, 3, 24, 3, pad=1, relu=True), conv(rng, 1, 24, 24, 3, pad=1, relu=True),
            conv(rng, 2, 24, 24, 3, pad=1, same=1, relu=True)], 24, 10), 13, 9),
        "whole tiles": (ending(rng, [conv(rng, 0, 3, 16, 3, pad=1, relu=True), conv(rng, 1, 16, 32, 3, pad=1)], 32, 3), 16, 32),
        "many tiles, many filters": (ending(rng, [
            conv(rng, 0, 3, 64, 3, pad=1, relu=True), conv(rng, 1, 64, 160, 3, pad=1, relu=True)], 160, 4), 40, 30),
        "channels that vectors do not divide": (ending(rng, [
            conv(rng, 0, 3, 5, 3, pad=1, relu=True), conv(rng, 1, 5, 19, 3, pad=1), conv(rng, 2, 19, 7, 3, pad=1)], 7, 2), 8, 7),
        "strides, and a projection": (ending(rng, [
            conv(rng, 0, 3, 16, 3, pad=1, relu=True), conv(rng, 1, 16, 40, 3, stride=2, pad=1, relu=True),
            conv(rng, 1, 16, 40, 1, stride=2), conv(rng, 2, 40, 40, 3, pad=1, same=3, relu=True)], 40, 5), 15, 18),
        "7x7, a pool with padding, 1x1": (ending(rng, [
            conv(rng, 0, 3, 16, 7, stride=2, pad=3, relu=True), MaxPool(1, 3, 2, 1, False), conv(rng, 2, 16, 48, 1),
            conv(rng, 3, 48, 16, 1, relu=True)], 16, 1000), 37, 30),
        "2x2, a pool before the ReLU, the largest pixel": (ending(rng, [
            conv(rng, 0, 3, 24, 2, relu=True), conv(rng, 1, 24, 24, 3, pad=1), MaxPool(2, 2, 2, 0, True)], 24, 10, largest=True),
            11, 8),
        "maps of one pixel": (ending(rng, [conv(rng, 0, 3, 16, 3, stride=2, pad=1), conv(rng, 1, 16, 16, 3, pad=1)], 16, 2), 2, 1),
    }


NAMES = list(every_kind(np.random.default_rng(0)))


def exactly(steps, x):
    """By array code, in float64."""
    wide = Steps(step._replace(weight=step.weight.astype(np.float64)) if isinstance(step, Convolution) else step
                 for step in steps.steps)
    with backend.using("numpy"):
        return answer.answer(wide, x.astype(np.float64))


def spied(monkeypatch, name):
    """How often jit.run, or jit.run_shared, is called."""
    calls, kernel = [], getattr(jit, name)
    monkeypatch.setattr(jit, name, lambda *arguments: (calls.append(len(arguments[0])), kernel(*arguments)))
    return calls


@pytest.mark.parametrize("name", NAMES)
def test_it_is_its_steps(rng, name):
    steps, *size = every_kind(rng)[name]
    x = rng.standard_normal((3, 3, *size)).astype(np.float32)
    kept = x.copy()
    logits, exact = answer.answer(steps, x), exactly(steps, x)
    assert logits.dtype == np.float32 and logits.shape == exact.shape
    np.testing.assert_allclose(logits, exact, rtol=0, atol=3e-6 * np.abs(exact).max())
    np.testing.assert_array_equal(x, kept)


def test_every_kind_is_tried(rng):
    """Winograd's sums among them, and a 3x3 convolution that is too large for them."""
    tables = [program.compile_steps(steps, (3, *size), 2).table for steps, *size in every_kind(rng).values()]
    assert {kind for table in tables for kind in table["kind"]} == set(range(5))
    assert any(row["kind"] == program.DIRECT and row["kh"] == 3 and row["stride"] == 1 and row["channels"] > 3
               for table in tables for row in table)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_however_it_is_cut(rng, name, monkeypatch):
    """One picture or several, pieces for one thread or for eight, shared among threads or not."""
    steps, *size = every_kind(rng)[name]
    x = rng.standard_normal((5, 3, *size)).astype(np.float32)
    logits = answer.answer(steps, x)
    shared = spied(monkeypatch, "run_shared")
    monkeypatch.setattr(jit, "SHARED_FROM", 0)
    monkeypatch.setattr(jit, "get_num_threads", lambda: 2)
    for k in (0, 3, 0):  # what one picture has left behind must not reach the next
        np.testing.assert_array_equal(answer.answer(steps, x[k:k + 1]), logits[k:k + 1])
    np.testing.assert_array_equal(answer.answer(steps, x[1:3]), logits[1:3])
    assert shared == [1, 1, 1, 1, 1]
    monkeypatch.setattr(jit, "SHARED_FROM", np.inf)
    for pieces in (1, 8):
        monkeypatch.setattr(jit, "compile_steps",
                            lambda steps, shape, _, pieces=pieces: program.compile_steps(steps, shape, pieces))
        np.testing.assert_array_equal(answer.answer(Steps(steps.steps), x), logits)
    assert len(shared) == 5


def test_borders_and_missing_channels_stay_zero(rng):
    """Of all maps, whatever came before: that is what the next picture reads."""
    for steps, *size in every_kind(rng).values():
        for _ in range(3):
            answer.answer(steps, rng.standard_normal((1, 3, *size)).astype(np.float32))
        plan, = steps.plans.values()
        desk, = plan._desks
        last_writers = {row["to"]: (row, step) for row, step in zip(plan.program.table, steps.steps, strict=True)}
        for row, step in last_writers.values():
            if isinstance(step, GlobalPool) or row["oh"] * row["ow"] == 1 and row["to_row"] == program.LANES:
                continue  # no border
            planes = row["filters"] // program.LANES
            begin = row["to"] - row["to_row"] - program.LANES
            maps = desk.memory[begin:begin + planes * row["to_plane"]].reshape(planes, -1, row["to_row"] // program.LANES,
                                                                               program.LANES).copy()
            inside = maps[:, 1:1 + row["oh"], 1:1 + row["ow"]]
            if isinstance(step, Convolution):
                missing = inside.transpose(0, 3, 1, 2).reshape(-1, row["oh"], row["ow"])[len(step.weight):]
                assert not missing.any()
            assert inside.any()
            inside[...] = 0
            assert not maps.any()


def test_several_threads_of_python(rng, monkeypatch):
    """Four ask at once, for one picture and for many, all of them for the first time; the main thread shares its steps."""
    steps, *size = every_kind(rng)["strides, and a projection"]
    x = rng.standard_normal((64, 3, *size)).astype(np.float32)
    expected, wrong, asked = answer.answer(steps, x), [], []
    shared = spied(monkeypatch, "run_shared")
    monkeypatch.setattr(jit, "SHARED_FROM", 0)
    monkeypatch.setattr(jit, "get_num_threads", lambda: 2)
    steps.plans.clear()

    def ask(first, count):
        for k in range(first, 64 - count, 4):
            asked.append(k)
            if not np.array_equal(answer.answer(steps, x[k:k + count]), expected[k:k + count]):
                wrong.append(k)

    asking = [threading.Thread(target=ask, args=(first, count)) for first, count in enumerate((1, 1, 9, 20))]
    for thread in asking:
        thread.start()
    ask(0, 1)
    for thread in asking:
        thread.join()
    assert not wrong and len(asked) > 70 and len(shared) == 16
    assert len(steps.plans) == 1


def test_nobody_waits_for_pictures_after_an_interrupt(rng, monkeypatch):
    """Ctrl-C in the main thread: its helpers end, the next batch is answered."""
    steps, *size = every_kind(rng)["whole tiles"]
    x = rng.standard_normal((64, 3, *size)).astype(np.float32)
    expected, kernel, calls = answer.answer(steps, x), jit.run, []
    monkeypatch.setattr(jit, "get_num_threads", lambda: 2)

    def interrupted(*arguments):
        calls.append(threading.current_thread() is threading.main_thread())
        if calls[-1]:
            raise KeyboardInterrupt
        kernel(*arguments)

    monkeypatch.setattr(jit, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        answer.answer(steps, x)
    assert len(calls) < 8  # turns of eight pictures
    monkeypatch.setattr(jit, "run", kernel)
    np.testing.assert_array_equal(answer.answer(steps, x), expected)


@pytest.mark.parametrize("name", ["strides, and a projection", "7x7, a pool with padding, 1x1",
                                  "2x2, a pool before the ReLU, the largest pixel"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_seen_and_leaves_nothing_behind(rng, name, value):
    steps, *size = every_kind(rng)[name]
    x = rng.standard_normal((3, 3, *size)).astype(np.float32)
    expected = answer.answer(steps, x)
    x[1, 1, 1, 1] = value
    logits = np.concatenate([answer.answer(steps, x[k:k + 1]) for k in range(3)])
    assert not np.isfinite(logits[1]).any()
    np.testing.assert_array_equal(logits[[0, 2]], expected[[0, 2]])


def test_no_picture_is_no_answer(rng):
    steps, *size = every_kind(rng)["whole tiles"]
    assert answer.answer(steps, np.zeros((0, 3, *size), np.float32)).shape == (0, 3)


def test_a_few_sizes_are_kept(rng):
    steps, *_ = every_kind(rng)["whole tiles"]
    for size in (8, 9, 10, 8, 11, 12):
        answer.answer(steps, np.zeros((1, 3, size, size), np.float32))
    assert list(steps.plans) == [(3, size, size) for size in (10, 8, 11, 12)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_its_own_helpers(rng, monkeypatch):
    monkeypatch.setattr(jit, "_pool", None)
    assert jit.helping() is jit.helping()
    jit._after_fork()
    assert jit._pool is None and jit._one_at_a_time.acquire(blocking=False)
    jit._one_at_a_time.release()


GUARDED = """
    import ctypes, mmap, sys
    import numpy as np
    sys.path.insert(0, sys.argv[1])
    import test_answer
    from resnet_np.kernels import answer
    from resnet_np.kernels.answer import Steps, jit, program

    libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
    kept = []

    def guarded(size):
        "That end where a page begins that may not be touched: zeros."
        pages = max(1, -(-4 * size // page))
        memory = mmap.mmap(-1, (pages + 1) * page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert libc.mprotect(ctypes.c_void_p(base + pages * page), page, 0) == 0
        kept.append(memory)
        return np.frombuffer(memory, np.float32, size, pages * page - 4 * size)

    def scratch(size):
        "Not numbers: what was not written may not be used."
        array = guarded(size)
        array[...] = np.nan
        return array

    program.aligned = guarded
    rng = np.random.default_rng(0)
    threads = jit.get_num_threads
    for shared in (0, 1 << 60):
        jit.SHARED_FROM = shared
        jit.get_num_threads = (lambda: 2) if shared == 0 else threads
        for steps, *size in test_answer.every_kind(rng).values():
            x = guarded(6 * size[0] * size[1]).reshape(2, 3, *size)
            x[...] = rng.standard_normal(x.shape)
            order = iter([guarded, scratch, scratch])  # memory, scratch, that of all threads
            jit.aligned = lambda size: next(order)(size)
            assert np.isfinite(answer.answer(steps, x)).all() and np.isfinite(answer.answer(steps, x[1:])).all()
            plan, = steps.plans.values()
            assert (plan._shared is not None) == (shared == 0)
    print("untouched")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
def test_guard_pages():
    """In a process of its own: a read beyond an array would kill it. One thread: its scratch is the last of the array."""
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(GUARDED), os.path.dirname(__file__)], capture_output=True,
                             text=True, timeout=300, env=os.environ | {"NUMBA_NUM_THREADS": "1"})
    assert process.returncode == 0 and "untouched" in process.stdout, process.stderr[-2000:]
