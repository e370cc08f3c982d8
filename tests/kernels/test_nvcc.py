"""Every .cu file is compiled by NVIDIA's compilers, where they are: for REAL float and double, for the GPUs of 2018 to 2022."""

import ctypes
import ctypes.util
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import resnet_np

pytestmark = pytest.mark.nojit

KERNELS = Path(resnet_np.__file__).parent / "kernels"
SOURCES = sorted(KERNELS.rglob("*.cu"))
sources = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.parent.name)
reals = pytest.mark.parametrize("real", ["float", "double"])
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90")


@sources
def test_nvrtc_can_read_it(source):
    """It knows no header files, and finds a kernel by name only without C++'s mangling. Nothing adds atomically."""
    text = source.read_text()
    assert "#include" not in text and "atomic" not in re.sub(r"//.*", "", text)
    assert text.count("__global__") == text.count('extern "C" __global__ void') > 0
    assert source.with_suffix(".py").exists()


def test_there_are_sources():
    assert {path.parent.name for path in SOURCES} == {"batchnorm", "conv", "pooling", "sgd", "softmax"}


@pytest.mark.slow
@reals
@sources
def test_nvcc_compiles_it(tmp_path, source, real):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("there is no nvcc here")
    for architecture in ARCHITECTURES:
        command = [nvcc, "-cubin", f"-arch={architecture}", "-Werror", "all-warnings", "-Xptxas", "-v,-warn-spills",
                   f"-DREAL={real}", "-o", str(tmp_path / "kernels.cubin"), str(source)]
        process = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert process.returncode == 0, process.stderr
        most = max(map(int, re.findall(r"Used (\d+) registers", process.stderr)))
        assert most <= 64, process.stderr  # of 65,536 that the 1024 threads of a block share


@pytest.fixture(scope="module")
def nvrtc():
    """The compiler in a library that CuPy uses: CUDA's own, or that of the package nvidia-cuda-nvrtc-cu12."""
    libraries = [name for name in [ctypes.util.find_library("nvrtc")] if name]
    if importlib.util.find_spec("nvidia"):
        for folder in importlib.util.find_spec("nvidia").submodule_search_locations:
            libraries += map(str, Path(folder).glob("*/lib/libnvrtc.so.*"))
    if not libraries:
        pytest.skip("there is no NVRTC here")
    return ctypes.CDLL(libraries[0])


@pytest.mark.slow
@reals
@sources
def test_nvrtc_compiles_it(nvrtc, source, real):
    for architecture in ARCHITECTURES:
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), b"cuda.cu", 0, None, None) == 0
        options = (ctypes.c_char_p * 2)(f"-DREAL={real}".encode(), f"--gpu-architecture={architecture}".encode())
        failed = nvrtc.nvrtcCompileProgram(program, len(options), options)
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        assert not failed and not log.value.strip(), log.value.decode()
