"""In which precision a net computes: refused where it would only be slow, named where it counts, the same in every record."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_np import backend
from resnet_np.cli import main
from resnet_np.errors import CheckpointError, InputError
from resnet_np.models import load_checkpoint, resnet_cifar, resnet_fast
from resnet_np.training import arithmetic

micro = pytest.importorskip("resnet_np.kernels.micro")


@pytest.fixture
def no_instruction(monkeypatch):
    """A CPU that has none for bf16."""
    monkeypatch.setattr(micro, "MICRO_KERNEL", "portable")
    monkeypatch.delenv(micro.VARIABLE, raising=False)
    monkeypatch.setattr(backend, "current", lambda: "numba")


def test_training_is_refused_where_it_would_be_slow(no_instruction, monkeypatch):
    arithmetic.check_training("float32")
    with pytest.raises(InputError, match="bf16: this CPU has no instruction for it .*; train in float32 .*RESNET_NP_MICRO_KERNEL"):
        arithmetic.check_training("bf16")
    monkeypatch.setenv(micro.VARIABLE, "portable")  # whoever asks for it by name
    arithmetic.check_training("bf16")


@pytest.mark.parametrize("command", ["train --minutes 5", "train", "finetune x.npz"])
def test_it_is_refused_before_anything_else_is_done(no_instruction, command, capsys, tmp_path):
    out = tmp_path / "run"
    assert main([*command.split(), "--precision", "bf16", "--data", "/no/such/place", "--out", str(out)]) == 2
    assert "bf16: this CPU has no instruction for it" in capsys.readouterr().err and not out.exists()


def test_other_bits_are_not_gone_on_with(no_instruction, monkeypatch):
    begun = {"backend": "numba", "micro_kernel": "vdpbf16ps"}
    with pytest.raises(CheckpointError, match="by vdpbf16ps, which is not to be had here; .*: resnet-np finetune a --precision fl"):
        arithmetic.check_resume("bf16", begun, Path("a"))
    monkeypatch.setattr(micro, "supported", lambda: ("vdpbf16ps", "portable"))
    with pytest.raises(CheckpointError, match="by vdpbf16ps, not by portable; set RESNET_NP_MICRO_KERNEL=vdpbf16ps"):
        arithmetic.check_resume("bf16", begun, Path("a"))
    for precision, metadata in (("float32", begun), ("bf16", begun | {"backend": "cupy"}), ("bf16", {"backend": "numba"}),
                                ("bf16", begun | {"micro_kernel": "portable"})):
        arithmetic.check_resume(precision, metadata, Path("a"))
    monkeypatch.setattr(backend, "current", lambda: "cupy")  # which has bits of its own, and may go on with any run
    arithmetic.check_resume("bf16", begun, Path("a"))


def test_what_is_said(no_instruction, monkeypatch):
    assert arithmetic.describe("bf16") == "bf16 (portable)" and arithmetic.describe("float32") == "float32"
    assert "--precision float32" in arithmetic.slow("bf16") and arithmetic.slow("float32") == ""
    assert "this CPU has no instruction" in arithmetic.slow("bf16")
    monkeypatch.setattr(micro, "OLDEST_LLVM", (99, 0, 0))
    assert "this Numba compiles no instruction for it (python -m pip install --upgrade numba)" in arithmetic.slow("bf16")
    monkeypatch.setenv(micro.VARIABLE, "portable")
    assert arithmetic.slow("bf16").startswith("bf16: RESNET_NP_MICRO_KERNEL=portable was asked for; ")
    monkeypatch.setattr(micro, "MICRO_KERNEL", "vdpbf16ps")
    assert arithmetic.describe("bf16") == "bf16 (vdpbf16ps)" and arithmetic.slow("bf16") == ""
    monkeypatch.setattr(backend, "current", lambda: "numpy")
    assert arithmetic.describe("bf16") == "bf16" and arithmetic.micro_kernel("bf16") is None


@pytest.mark.nojit
def test_an_older_cupy_has_no_bf16(cupy_standin, monkeypatch):
    with backend.using("cupy"):
        arithmetic.check("bf16")
        monkeypatch.setattr(cupy_standin, "__version__", "13.6.0")
        arithmetic.check("float32")
        with pytest.raises(InputError, match="bf16: CuPy 13.6.0 has no arrays of it, CuPy 14 has; install .* --precision float32"):
            arithmetic.check("bf16")


@pytest.mark.nojit
@pytest.mark.parametrize("precision", ["fp32", "BF16", "float64", None])
def test_a_precision_that_there_is_not(precision):
    with pytest.raises(InputError, match="precision is .*, expected one of float32, bf16"):
        resnet_cifar(8).precision = precision


@pytest.mark.parametrize(("build", "width", "limit"), [(resnet_cifar, 16, 0.1), (resnet_fast, 32, 0.5)])
@pytest.mark.parametrize("name", [pytest.param("numpy", marks=pytest.mark.nojit), pytest.param("numba", marks=pytest.mark.slow)])
def test_a_net_in_bf16(rng, name, build, width, limit):
    """Pictures in, logits and gradients out: all float32, and near those of float32. Where a max pool finds two pixels nearly the
    same, rounding may decide: that hardly moves the logits, but the gradient goes another way."""
    with backend.using(name):
        compare_with_float32(rng, functools.partial(build, width=width), limit)


def compare_with_float32(rng, build, limit):
    x, dlogits = rng.standard_normal((4, 3, 16, 16)).astype(np.float32), rng.standard_normal((4, 10)).astype(np.float32)
    found = {}
    for precision in ("float32", "bf16"):
        net = build(8, seed=1)
        net.precision = precision
        logits = net.forward(x, training=True)
        dx = net.backward(dlogits, need_dx=True)
        assert logits.dtype == dx.dtype == np.float32 and dx.shape == x.shape
        assert all(parameter.grad.dtype == np.float32 for parameter in net.named_parameters().values())
        last = [parameter for parameter in net.named_parameters().values() if parameter.data.ndim == 4][-1]
        found[precision] = logits, last.grad, net.features(x)
    for half, single, most in zip(found["bf16"], found["float32"], (0.1, limit, 0.1), strict=True):
        assert 1e-4 <= np.linalg.norm(half - single) / np.linalg.norm(single) <= most


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Fifty noisy pictures of each of two colours."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for k, name in enumerate(("dark", "bright")):
        (folder / name).mkdir()
        for i in range(50):
            Image.fromarray(rng.integers(50 * k, 200 + 50 * k, (16, 16, 3)).astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A run in bf16, as a user starts it; by array code, which trains in it on any CPU."""
    out = tmp_path_factory.mktemp("bf16") / "run"
    assert main(["train", "--data", str(photos), "--model", "resnet8", "--epochs", "1", "--batch-size", "32", "--image-size", "16",
                 "--precision", "bf16", "--backend", "numpy", "--out", str(out)]) == 0
    return out


@pytest.mark.nojit
def test_it_is_recorded(trained):
    result = json.loads((trained / "result.json").read_text())
    assert result["precision"] == result["config"]["precision"] == "bf16"
    assert result["micro_kernel"] is None  # that is Numba's affair
    checkpoint = load_checkpoint(trained / "best.npz")
    assert checkpoint.metadata["config"]["precision"] == checkpoint.net.precision == "bf16"
    assert all(parameter.data.dtype == np.float32 for parameter in checkpoint.net.named_parameters().values())


@pytest.mark.nojit
def test_evaluating_repeats_the_precision_of_the_run(photos, trained, capsys):
    """To the last bit, unless another is asked for."""
    losses = {}
    for given in ("", "bf16", "float32"):
        capsys.readouterr()
        precision = ["--precision", given] if given else []
        assert main(["evaluate", str(trained), "--data", str(photos), "--json", "--backend", "numpy", *precision]) == 0
        evaluation = json.loads(capsys.readouterr().out)
        losses[given] = evaluation["loss"]
        assert evaluation["precision"] == (given or "bf16")
    assert losses[""] == losses["bf16"] == json.loads((trained / "result.json").read_text())["test_loss"] != losses["float32"]
    assert losses["float32"] == pytest.approx(losses["bf16"], rel=0.02)


@pytest.mark.nojit
@pytest.mark.parametrize(("given", "words"), [("bf16", "best.npz, in bf16"), ("float32", "best.npz")])
def test_the_commands_say_it(photos, trained, capsys, given, words):
    settings = ["--precision", given, "--backend", "numpy"]
    assert main(["evaluate", str(trained), "--data", str(photos), *settings]) == 0
    assert f"{words}\n" in capsys.readouterr().out
    photo = str(photos / "dark" / "0.png")
    assert main(["predict", str(trained), photo, *settings]) == 0
    assert f"{words}: 2 classes, pictures of 16 x 16 pixels\n" in capsys.readouterr().out
    assert main(["predict", str(trained), photo, "--json", *settings]) == 0
    assert json.loads(capsys.readouterr().out)["precision"] == given
