"""The backend cupy from end to end, through the stand-in for CuPy (tests/standin): the path is pure, and its numbers are right."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from resnet_np import backend, doctor
from resnet_np import functional as F
from resnet_np.data import Normaliser, TrainLoader
from resnet_np.errors import BackendError, CheckpointError, InputError, TrainingError
from resnet_np.gradcheck import rules, table
from resnet_np.models import load_checkpoint, resnet_cifar
from resnet_np.models.checkpoint import net_arrays
from resnet_np.optim import SGD
from resnet_np.training import RunFolder, loop, report, training_step
from resnet_np.training import run as running
from resnet_np.training.finetune import FeatureLoader
from resnet_np.training.loop import train
from resnet_np.training.predict import predict
from resnet_np.training.step import StepResult, read
from resnet_np.workspace import Workspace

pytestmark = pytest.mark.nojit


@pytest.fixture
def device(cupy):
    """On a GPU, or its stand-in."""
    with backend.using("cupy"):
        yield cupy


@pytest.fixture
def standin_device(cupy_standin):
    """On the stand-in, which counts what crosses and can be made to fail."""
    with backend.using("cupy"):
        yield cupy_standin


def run(config, pictures, folder, resume=False):
    lines = []
    with RunFolder.open(folder, resume=resume) as opened:
        result = train(config, pictures, opened, resume=resume, say=lines.append, progress=False)
    return result, lines, load_checkpoint(folder / "last.npz")


def close(net, other, tolerance):
    other = net_arrays(other)
    for name, array in net_arrays(net).items():
        assert np.abs(array - other[name]).max() <= tolerance * max(1, np.abs(array).max()), name


# Two steps: in float32 every step makes of another rounding a larger difference, with so many random numbers about.
STEM = {"model": "resnet18", "width": 4, "stem": "imagenet", "fused": False, "lr": 0.001, "max_steps": 2}
EVERYTHING = {"model": "resnet14", "shortcut": "B", "dropout": 0.2, "cutout": 3, "mixup": 0.4, "label_smoothing": 0.1,
              "max_steps": 2}
FAST = {"model": "fast8", "width": 24, "image_size": 16, "muon": 0.1, "lookahead": 2, "bias_rate": 8.0, "shift": 1,
        "padding": "reflect", "flip": "alternating", "start_scale": 0.6, "start_share": 0.5, "max_steps": 2}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, STEM, EVERYTHING, FAST], ids=["short", "stem", "everything", "fast"])
def test_a_run_is_that_of_the_cpu(recipe, pictures, tmp_path, cupy, changes):
    config, ends = recipe(**changes), {}
    for name in ("numpy", "cupy"):
        with backend.using(name):
            ends[name] = run(config, pictures, tmp_path / name)
    lines = ends["cupy"][1]
    assert lines[-1].startswith("run ") and any(f"backend cupy, {backend.device_name()}" in line for line in lines)
    close(ends["cupy"][2].net, ends["numpy"][2].net, 1e-3)
    for line, other in zip(*((tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ends), strict=True):
        assert json.loads(line)["train_loss"] == pytest.approx(json.loads(other)["train_loss"], rel=1e-3)
    assert ends["cupy"][0]["versions"]["device"] == backend.device_name()


@pytest.mark.slow
def test_twenty_steps_in_float64(cupy, rng):
    """Of ResNet-20, at a learning rate of 0.01: issue 7, "done when" 2."""
    x, labels, ends = rng.standard_normal((4, 3, 16, 16)), rng.integers(0, 10, 4), {}
    for name in ("numpy", "cupy"):
        with backend.using(name):
            net = resnet_cifar(20, seed=0).astype(np.float64).to_device()
            optimiser, there = SGD(net.named_parameters(), weight_decay=1e-4), backend.to_device(x)
            losses = [float(training_step(net, optimiser, there, labels, lr=0.01, workspace=Workspace()).loss) for _ in range(20)]
            ends[name] = losses, net.to_host()
    np.testing.assert_allclose(ends["cupy"][0], ends["numpy"][0], rtol=1e-8)
    close(ends["cupy"][1], ends["numpy"][1], 1e-8)


def test_a_step_in_bf16(cupy, rng):
    """By rounding, as array code computes it. Sums of another order round to the neighbour now and then; that moves gradients far
    less than rounding has: by half as much at most, over all weights.
    """
    x, labels, gradients = rng.standard_normal((8, 3, 16, 16)).astype(np.float32), rng.integers(0, 10, 8), {}
    for name, precision in (("numpy", "float32"), ("numpy", "bf16"), ("cupy", "bf16")):
        with backend.using(name):
            net = resnet_cifar(8, seed=0, shortcut="B").to_device()
            net.precision = precision
            step = training_step(net, SGD(net.named_parameters()), backend.to_device(x), labels, lr=0.1, workspace=Workspace())
            gradients[name, precision] = np.concatenate([backend.to_host(parameter.grad).ravel()
                                                         for parameter in net.named_parameters().values()])
            assert np.isfinite(float(step.loss)) and gradients[name, precision].dtype == np.float32
    ours = np.linalg.norm(gradients["cupy", "bf16"] - gradients["numpy", "bf16"])
    assert ours <= np.linalg.norm(gradients["numpy", "bf16"] - gradients["numpy", "float32"]) / 2


@pytest.mark.parametrize("more", [{}, {"augment": False}, {"cutout": 3, "mixup": 0.4}], ids=str)
def test_one_copy_a_step(standin_device, pictures, more):
    """Up: the pictures as bytes with their labels and what was drawn for them; nothing down, until the losses are read."""
    loader = TrainLoader(
        pictures.train_images, pictures.train_labels, Normaliser.measured(pictures.train_images), batch_size=16, seed=0,
        classes=2, **more)
    net = resnet_cifar(8, classes=2).to_device()
    optimiser, results = SGD(net.named_parameters()), []
    loader.batch(1)  # the normaliser goes up once
    standin_device.transfers.made.clear()
    for t in (1, 2):
        x, labels = loader.batch(t)
        results.append(training_step(net, optimiser, x, labels, lr=0.1, workspace=Workspace(), smoothing=0.1))
    integers = 8 * 16 * (3 * more.get("augment", True) + 3 * ("mixup" in more))  # windows; centres and pairs
    bytes_ = 16 * 3 * 8 * 8 + 8 * 16 + integers
    assert [made[:2] for made in standin_device.transfers.made] == 2 * [("to device", f"asarray ({bytes_},)")]
    numbers = read(results)
    assert standin_device.transfers.to_host == 2 and all(type(loss) is float for loss, _ in numbers)


def test_one_copy_a_step_of_a_head_alone(standin_device):
    numbers = np.arange(8)
    features, labels = FeatureLoader(np.float32(numbers[:, None] * np.ones(5)), numbers, batch_size=4, seed=0).batch(1)
    assert [made[:2] for made in standin_device.transfers.made] == [("to device", "asarray (112,)")]
    np.testing.assert_array_equal(backend.to_host(features), backend.to_host(labels)[:, None] * np.ones(5))


def test_arrays_go_up_as_they_are(standin_device, rng):
    """Of every dtype, none, or empty, and those that are not contiguous."""
    arrays = {"a": rng.random(3), "b": np.arange(5, dtype=np.uint8), "c": np.zeros((0, 2)), "d": np.float32([[1, 2], [3, 4]]).T,
              "e": np.arange(7, dtype=np.int64)}
    there = backend.to_device_at_once(arrays)
    assert standin_device.transfers.to_device == 1 and list(there) == list(arrays)
    for name, array in arrays.items():
        back = backend.to_host(there[name])
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    assert all(array._host.ctypes.data % array.itemsize == 0 for array in there.values())
    assert backend.to_device_at_once({}) == {}


def test_labels_on_the_device(device, rng):
    logits = rng.standard_normal((4, 3))
    on_device, labels = device.asarray(logits), np.array([0, 2, 2, 1])
    mixed = rng.dirichlet(np.ones(3), 4)
    for given in (labels, labels.astype(np.uint8), mixed):
        loss, cache = F.softmax_cross_entropy_forward(on_device, device.asarray(given), smoothing=0.1)
        expected, from_host = F.softmax_cross_entropy_forward(on_device, given, smoothing=0.1)
        assert float(loss) == float(expected) and cache.targets.dtype == np.float64
        np.testing.assert_array_equal(cache.targets.get(), from_host.targets.get())
    for wrong in ([0, 3, 1, 2], [0, -1, 1, 2]):
        loss, _ = F.softmax_cross_entropy_forward(on_device, device.asarray(np.array(wrong)))
        assert np.isnan(float(loss))
    for wrong, message in ((labels[:3], "labels .3,. for 4 rows"), (mixed[:, :2], "labels .4, 2. for logits .4, 3."),
                           (labels * 1.0, "labels are float64, expected a NumPy array of integers")):
        with pytest.raises(InputError, match=message):
            F.softmax_cross_entropy_forward(on_device, device.asarray(wrong))


@pytest.mark.slow
def test_losses_are_read_once_an_interval(recipe, pictures, tmp_path, device, monkeypatch):
    lengths = []
    monkeypatch.setattr(loop, "READ_STEPS", 3)
    monkeypatch.setattr(loop, "read", lambda results: lengths.append(len(results)) or read(results))
    run(recipe(), pictures, tmp_path / "run")  # two epochs of four steps
    assert lengths == [3, 1, 3, 1]


@pytest.mark.slow
@pytest.mark.parametrize("names", [("cupy", "numpy"), ("numpy", "cupy")], ids="-".join)
def test_a_run_goes_on_elsewhere(recipe, pictures, tmp_path, cupy, monkeypatch, names):
    with backend.using("numpy"):
        _, _, whole = run(recipe(), pictures, tmp_path / "whole")
    with backend.using(names[0]), monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run(recipe(), pictures, tmp_path / "run")
    with backend.using(names[1]):
        _, lines, last = run(recipe(), pictures, tmp_path / "run", resume=True)
    assert lines[0] == (f"resuming   after step 3 of 8, begun on the backend {names[0]}: the next steps have other last bits there")
    close(last.net, whole.net, 1e-3)
    assert last.velocities.keys() == whole.velocities.keys()


def stop_at(monkeypatch, step):
    def stopped(*arguments, learn=running.training_step, **keywords):
        stopped.count += 1
        if stopped.count == step:
            import signal

            signal.raise_signal(signal.SIGINT)
        return learn(*arguments, **keywords)

    stopped.count = 0
    monkeypatch.setattr(running, "training_step", stopped)


def test_other_backends_still_refuse_each_other(recipe, pictures, tmp_path):
    with backend.using("numpy"):
        run(recipe(epochs=1), pictures, tmp_path / "run")
    with backend.using("loops"), pytest.raises(CheckpointError, match="pass --backend numpy"):
        run(recipe(epochs=1), pictures, tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite(device):
    numbers = device.asarray(np.array([1.0, np.nan], np.float32))
    with pytest.raises(TrainingError, match="the loss of one of the last 2 steps is nan; the same run on the backend numba would"):
        read([StepResult(loss, loss) for loss in numbers])


@pytest.mark.slow
def test_a_run_whose_loss_is_not_finite_keeps_its_last_good_checkpoint(recipe, pictures, tmp_path, device):
    with pytest.raises(TrainingError, match="is (nan|inf)"):
        run(recipe(lr=1e30, warmup=0), pictures, tmp_path / "run")
    assert all(np.isfinite(array).all() for array in net_arrays(load_checkpoint(tmp_path / "run" / "last.npz").net).values())


@pytest.mark.slow
@pytest.mark.parametrize("where", [running, report], ids=["in a step", "in the forecast"])
def test_a_device_that_is_full_says_which_batch_would_fit(recipe, pictures, tmp_path, standin_device, monkeypatch, where):
    def full(*_, **__):
        raise standin_device.cuda.memory.OutOfMemoryError("Out of memory allocating 1,073,741,824 bytes")

    monkeypatch.setattr(where, "training_step", full)
    standin_device.cuda.Device().mem_info = (0, 1 << 20)
    with pytest.raises(TrainingError, match=r"memory \(0.0 GiB\) is full with batches of 16 pictures of 8x8; about \d would fit"):
        run(recipe(), pictures, tmp_path / "run")


@pytest.mark.slow
def test_evaluation_and_predictions(recipe, pictures, tmp_path, cupy):
    with backend.using("numpy"):
        run(recipe(), pictures, tmp_path / "run")
    found = {}
    for name in ("numpy", "cupy"):
        checkpoint = load_checkpoint(tmp_path / "run" / "best.npz")
        with backend.using(name):
            checkpoint.net.to_device()
            found[name] = predict(checkpoint, pictures.test_images, top=2)
    for one, other in zip(found["numpy"], found["cupy"], strict=True):
        assert dict(one.top) == pytest.approx(dict(other.top), abs=1e-5)


# Every operation, and one net for how they go together; layers and blocks have no kernels of their own.
SUBJECTS = [subject for subject in table.subjects() if subject.name[0].islower() or subject.name == "ResNet-8, option A"]


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_gradients(device, subject):
    """The real kernels, in float64."""
    row = table.run(subject)
    assert row.passes, row.failure or row.worst.describe(row.bar)
    assert row.kernels and all(kernel.endswith("/cuda") for kernel in row.kernels)


def test_the_doctor_names_the_device(standin_device):
    assert dict(doctor.findings())["CuPy"] == "14.2.0, a stand-in, 6.0 of 8.0 GiB free (--backend cupy)"


def test_host_and_device_do_not_mix(device):
    x = np.ones((1, 2, 4, 4), np.float32)
    with pytest.raises(InputError, match="x on the device, w in memory"):
        F.conv2d_forward(device.asarray(x), np.ones((1, 2, 3, 3), np.float32))
    with pytest.raises(BackendError, match="got a ndarray in the computer's memory"):
        F.relu_forward(x)
    with pytest.raises(InputError, match="logits in memory, labels on the device"):
        F.softmax_cross_entropy_forward(x.reshape(2, 16), device.asarray(np.array([1, 2])))


@pytest.mark.parametrize(("module", "message"), [
    (None, r"CuPy cannot be imported \(.*\); python -m pip install \"\.\[cuda13\]\""),
    (0, "the driver lists no NVIDIA GPU; see what nvidia-smi"),
    ("cudaErrorNoDevice: no CUDA-capable device is detected", "there is no NVIDIA GPU that can be used here .cudaErrorNoDevice"),
], ids=["no CuPy", "no device", "no driver"])
def test_what_is_missing_is_said(monkeypatch, module, message):
    class CUDARuntimeError(RuntimeError):
        pass

    def count():
        if isinstance(module, int):
            return module
        raise CUDARuntimeError(module)

    runtime = SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDeviceCount=count)
    monkeypatch.setitem(sys.modules, "cupy", None if module is None else SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    monkeypatch.setattr(backend, "_usable", {})
    with pytest.raises(BackendError, match=message):
        backend.use("cupy")


def test_a_device_too_full_to_begin(cupy_standin, monkeypatch):
    """The driver says so, before CuPy has a pool that could."""
    def ones(*_):
        raise cupy_standin.cuda.runtime.CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")

    monkeypatch.setattr(cupy_standin, "ones", ones)
    with pytest.raises(BackendError, match="the device's memory is full .cudaErrorMemoryAllocation: out of memory.; nvidia-smi"):
        backend.use("cupy")


def test_a_cupy_without_its_libraries(cupy_standin, monkeypatch):
    """It imports, and cannot compute."""
    def ones(*_):
        raise ImportError('=====\nFailure finding "libcublas.so.13"')

    monkeypatch.setattr(cupy_standin, "ones", ones)
    with pytest.raises(BackendError, match="CuPy cannot compute here .Failure finding .libcublas.so.13... python -m pip install"):
        backend.use("cupy")


def test_an_optimiser_whose_net_was_moved(cupy_standin):
    net = resnet_cifar(8)
    optimiser = SGD(net.named_parameters())
    with backend.using("cupy"):
        net.to_device()
        with pytest.raises(InputError, match="conv1.weight was moved between the device and the computer's memory"):
            optimiser.step(0.1)


def test_nobody_else_imports_cupy(tmp_path):
    """Without --backend cupy it is as if CuPy were not installed."""
    (tmp_path / "cupy.py").write_text("raise SystemExit('imported')")
    code = "import resnet_np.training, resnet_np.gradcheck, resnet_np.kernels.conv.cuda, sys; assert 'cupy' not in sys.modules"
    subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"], check=True)


@pytest.mark.parametrize("rule", rules.RULES, ids=rules.name_of)
def test_rule(device, rule):
    assert rules.broken(rule) == ""
