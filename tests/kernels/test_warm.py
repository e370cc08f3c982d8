"""The second process that compiles half of a cold training step."""

import os
import subprocess
import sys
import time

import pytest

numba = pytest.importorskip("numba")
if numba.config.DISABLE_JIT:
    pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled", allow_module_level=True)

from resnet_np.kernels import compile  # noqa: E402
from resnet_np.kernels.micro import MICRO_KERNEL  # noqa: E402

# In place of a kernel that its first call would compile: what is called, with arguments of which types. That decides what Numba
# compiles and what it finds in its cache. Nothing is computed; arrays are set to 0, lest uninitialised memory be read as numbers.
RECORDING = """
import sys
import numba
import numpy as np
from resnet_np.kernels import compile

def recorded(function, **_):
    name = f"{function.__module__.removeprefix('resnet_np.kernels.')}.{function.__name__}"

    def call(*arguments):
        print(name, *(str(numba.typeof(argument)).replace(" ", "") for argument in arguments))
        for argument in arguments:
            if isinstance(argument, np.ndarray) and argument.flags.writeable and argument.dtype.kind in "fu":
                argument.fill(0)

    return call

compile._cached = recorded
step = sys.argv[1]
"""
HELPER = RECORDING + """
import runpy
runpy.run_module("resnet_np.kernels.warm", run_name="__main__")
"""
STEP = RECORDING + """
from resnet_np.models import resnet_cifar, resnet_fast
from resnet_np.optim import SGD, Muon
from resnet_np.training import training_step
from resnet_np.workspace import Workspace

labels = np.zeros(8, np.int64)
net = resnet_fast(8, width=32) if step == "fast" else resnet_cifar(8)
net.precision = "float32" if step == "fast" else step
parameters = net.named_parameters()
filters = {name: p for name, p in parameters.items() if step == "fast" and p.data.ndim == 4}
sgd = SGD({name: p for name, p in parameters.items() if name not in filters})
optimiser = Muon(filters, sgd, rate=1.0) if filters else sgd
for side in (17, 32) if step == "fast" else (32,):
    training_step(net, optimiser, np.zeros((8, 3, side, side), np.float32), labels, lr=0.1, workspace=Workspace())
"""


BACKWARD = {
    "float32": ({"conv.direct._correlate", "conv.winograd._correlate"},
                {"conv.direct._weight_grad", "conv.direct._input_grad", "conv.winograd._weight_grad", "conv.winograd._add_parts",
                 "conv.winograd._transform_sums", "conv.partials._add_parts", "shortcut.jit._backward", "elementwise.jit._add",
                 "elementwise.jit._relu_backward", "batchnorm.jit._gradients", "linear.jit._backward"}),
    "fast": ({"conv.winograd._correlate", "conv.dense._correlate", "pooling.jit._max_forward_2x2"},
             {"conv.dense._multiply_panels", "conv.dense._collect", "conv.direct._correlate", "conv.direct._weight_grad",
              "conv.winograd._weight_grad", "conv.winograd._add_parts", "conv.winograd._transform_sums",
              "conv.partials._add_parts", "batchnorm.jit._gradients", "pooling.jit._max_backward",
              "elementwise.jit._relu_backward", "linear.jit._backward"}),
    "bf16": ({"batchnorm.bf16._normalise"},
             {"shortcut.bf16._backward", "elementwise.bf16._relu", "batchnorm.bf16._gradients", "linear.jit._backward"}),
}
if MICRO_KERNEL == "amx":  # forward and back are one kernel
    BACKWARD["bf16"][1].update({"conv.bf16_direct._weight_grad", "conv.bf16_direct._correlate", "conv.partials._add_parts_of_taps"})
else:
    BACKWARD["bf16"][0].add("conv.bf16._forward")
    BACKWARD["bf16"][1].update({"conv.bf16._weight_grad", "conv.bf16._input_grad", "conv.bf16_winograd._weight_grad",
                                "conv.partials._add_parts"})


def called(script, step):
    """The kernels that such a process calls: name and types."""
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", script, step], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return {tuple(line.split()) for line in process.stdout.splitlines()}


@pytest.mark.slow
@pytest.mark.parametrize("step", BACKWARD)
def test_what_it_compiled_is_not_compiled_again(step):
    """It must call the kernels with the very types of a training step, or nobody would find its work."""
    needed, done = called(STEP, step), called(HELPER, step)
    assert done <= needed
    left = {name for name, *_ in needed - done}
    forward, backward = BACKWARD[step]
    assert backward <= {name for name, *_ in done}
    assert forward <= left  # somebody was listening
    assert not left & backward


@pytest.mark.parametrize(("warm", "threads", "helpers"), [(False, 2, 1), (True, 2, 0), (False, 1, 0)])
def test_help_is_asked_for_where_it_helps(monkeypatch, warm, threads, helpers):
    started, ended = [], []

    class Helper:
        def __init__(self, command, **options):
            started.append(command[1:])

        def wait(self):
            time.sleep(0.05)
            ended.append(True)

    monkeypatch.setattr(compile.subprocess, "Popen", Helper)
    monkeypatch.setattr(compile, "is_warm", lambda step: warm)
    monkeypatch.setattr(compile.numba, "get_num_threads", lambda: threads)
    wait = compile.get_help("bf16")
    wait()
    assert len(ended) == helpers
    assert started == [["-m", "resnet_np.kernels.warm", "bf16"]] * helpers


def test_without_help_it_goes_on_alone(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr(compile, "is_warm", lambda step: False)
    monkeypatch.setattr(compile.subprocess, "Popen", refuse)
    compile.get_help()()  # and there is nobody to wait for


COMPILES = """
import numpy as np
from resnet_np.kernels import compile
from resnet_np.kernels.elementwise import jit

x = np.ones((2, 3), np.float32)
with compile.announced(lambda: print("compiling")):
    jit.add(x, x), jit.relu_forward(x)
with compile.announced(lambda: print("too late")):
    pass
jit.relu_backward(x, x)
"""


@pytest.mark.slow
def test_compiling_is_said_once_and_only_where_it_happens(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for expected in ("compiling\n", ""):
        process = subprocess.run([sys.executable, "-c", COMPILES], env=environment, capture_output=True, text=True, check=True)
        assert process.stdout == expected
