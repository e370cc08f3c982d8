"""Every .cu file is compiled by NVIDIA's compiler, where there is one: for REAL float and double, for the GPUs of 2018 to 2022."""

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
@pytest.mark.parametrize("real", ["float", "double"])
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
