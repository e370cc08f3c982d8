"""A disk that is full, and a folder that may only be read: one line, and what was there is as it was."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from data_tools import cifar
from data_tools.image_set import ImageSet
from resnet_np.data import CIFAR10
from resnet_np.models import Checkpoint, load_checkpoint, resnet_cifar, save_checkpoint
from resnet_np.models.checkpoint import net_arrays

pytestmark = [pytest.mark.nojit, pytest.mark.slow]

READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'
NAMESPACE = ["unshare", "--map-root-user", "--mount"]

# A tiny run through the command's own error handling: $1 the folder, $2 "start" or "resume", $3 the bytes that a file may have.
RUN = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from resnet_np import backend, cli
from resnet_np.training import RunFolder, loop, preset

backend.use("numpy")
path, mode, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(7)
images = rng.integers(0, 256, (80, 3, 8, 8)).astype(np.uint8)
pictures = SimpleNamespace(
    crop=1.0,
    name="custom", classes=("dark", "bright"), train_images=images, train_labels=np.arange(80) % 2,
    test_images=images[:40], test_labels=np.arange(40) % 2, origin="a test", official=None)
loop.SAVE_SECONDS = 0
loop.curves, loop.save = (lambda records: None), (lambda figure, stream: None)

def run(options):
    def say(line):
        print(line, flush=True)
        if limit and line.startswith("forecast"):  # the first checkpoint is written by now
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    config = preset("quick", model="resnet8", epochs=2, batch_size=16, lr=0.05)
    with RunFolder.open(path, resume=mode == "resume") as folder:
        loop.train(config, pictures, folder, resume=mode == "resume", say=say, progress=False)

cli.COMMANDS["train"].run = run
sys.exit(cli.main(["train"]))
"""


def run(path, mode="start", *, limit=0, prefix=()):
    command = [*prefix, sys.executable, "-c", RUN, str(path), mode, str(limit)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def assert_same_end(path, whole):
    for name in ("last.npz", "best.npz"):
        found, expected = (load_checkpoint(folder / name) for folder in (path, whole))
        expected_arrays = net_arrays(expected.net) | {f"velocity/{key}": array for key, array in expected.velocities.items()}
        found_arrays = net_arrays(found.net) | {f"velocity/{key}": array for key, array in found.velocities.items()}
        assert found_arrays.keys() == expected_arrays.keys()
        assert all(np.array_equal(found_arrays[key], expected_arrays[key]) for key in expected_arrays)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    process = run(path)
    assert process.returncode == 0, process.stderr
    return path


def needs_namespace():
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("unshare cannot make a mount namespace here")


def in_namespace(setup, path):
    """The prefix of a command that runs after `setup`, a line of sh in which $0 is the folder."""
    return [*NAMESPACE, "sh", "-c", f'{setup} && exec "$@"', str(path)]


@pytest.mark.skipif(os.name == "nt", reason="needs RLIMIT_FSIZE")
def test_files_that_must_not_grow(whole, tmp_path):
    path = tmp_path / "run"
    process = run(path, limit=100_000)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1 and "Traceback" not in process.stdout
    assert process.stderr.startswith("resnet-np: training, after step 1: cannot write ") and "File too large" in process.stderr
    assert f"--resume --out {path}" in process.stderr
    assert {file.name for file in path.iterdir()} == {"config.json", "last.npz"}
    assert load_checkpoint(path / "last.npz").metadata["progress"]["step"] == 0
    process = run(path, "resume")
    assert process.returncode == 0, process.stderr
    assert_same_end(path, whole)


def test_a_full_disk(whole, tmp_path):
    needs_namespace()
    path, kept = tmp_path / "disk", tmp_path / "kept"
    path.mkdir()
    kept.mkdir()
    # Two checkpoints of 640 kB fit, a third in the making does not; what is left is carried out of the namespace.
    setup = f'mount -t tmpfs -o size=1800k none "$0" && trap \'cp -r "$0"/. {kept}\' EXIT && {{ "$@"; exit $?; }}'
    process = subprocess.run([*NAMESPACE, "sh", "-c", setup, str(path), sys.executable, "-c", RUN, str(path / "run"), "start", "0"],
                             capture_output=True, text=True, timeout=120)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1 and "No space left on device" in process.stderr
    left = {file.name for file in (kept / "run").iterdir()}
    assert {"config.json", "last.npz", "previous.npz"} <= left and not any(name.startswith(".") for name in left)
    process = run(kept / "run", "resume")
    assert process.returncode == 0, process.stderr
    assert_same_end(kept / "run", whole)


def test_a_folder_that_may_only_be_read(whole, tmp_path):
    needs_namespace()
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.iterdir()}
    new = tmp_path / "new"
    new.mkdir()
    for path, mode in ((whole, "resume"), (new, "start")):
        process = run(path, mode, prefix=in_namespace(READ_ONLY, path))
        assert process.returncode == 2
        assert process.stderr == f"resnet-np: --out: nothing can be written in the folder {path}: Read-only file system\n"
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.iterdir()} == before
    assert list(new.iterdir()) == []


def test_evaluating_in_a_folder_that_may_only_be_read(rng, tmp_path):
    needs_namespace()
    images, labels = rng.integers(0, 256, (20, 3, 32, 32)).astype(np.uint8), np.arange(20) % 10
    names = tuple("abcdefghij")
    data = cifar.write(ImageSet("custom", names, images, labels, images, labels, "a test", None), tmp_path / "data", "bin")
    out = tmp_path / "run"
    out.mkdir()
    save_checkpoint(out / "best.npz", Checkpoint(resnet_cifar(8), CIFAR10, names))
    command = [*in_namespace(READ_ONLY, out), sys.executable, "-m", "resnet_np", "evaluate", str(out), "--data", str(data)]
    for more, code in (([], 0), (["--out", str(out / "x.png")], 2)):
        process = subprocess.run([*command, "--backend", "numpy", *more], capture_output=True, text=True, timeout=120)
        assert process.returncode == code, process.stderr
        assert "Read-only file system; choose another place with --out" in (process.stderr if more else process.stdout)
        assert process.stderr.count("\n") == (1 if more else 0)
    assert [path.name for path in out.iterdir()] == ["best.npz"]
