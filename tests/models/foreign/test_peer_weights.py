"""PyTorch writes and reads the files: the same logits on both sides."""

import importlib.util
import sys

import numpy as np
import pytest
from PIL import Image

import data_tools
from resnet_np.data.normalise import IMAGENET
from resnet_np.models import build, load_weights
from resnet_np.models.checkpoint import net_arrays
from resnet_np.models.foreign.export import export

pytestmark = pytest.mark.peer

WEIGHTS = "resnet20-12fca82f.th"


@pytest.fixture(scope="module")
def akamaster(torch, shared):
    """The yardstick's PyTorch net with the public ResNet-20 weights, evaluating."""
    sys.path.insert(0, str(shared / "peers"))  # it imports its neighbour
    try:
        spec = importlib.util.spec_from_file_location("torch_finetune", shared / "peers" / "torch_finetune.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(shared / "peers"))
    return module.load(shared / "pretrained" / WEIGHTS).eval()


@pytest.fixture(scope="module")
def samples(shared):
    """uint8 (20, 3, 32, 32) and labels: the first pictures of the official test set."""
    paths = sorted((shared / "data" / "official-samples").glob("cifar10_*.png"))
    pictures = [np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path in paths]
    return np.ascontiguousarray(pictures), np.array([int(path.stem.rpartition("_")[2]) for path in paths])


def logits(torch, net, x):
    with torch.no_grad():
        return net(torch.from_numpy(x)).numpy()


def close(ours, theirs, tolerance=1e-4):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(1, np.abs(theirs).max()))


def test_the_public_resnet20(torch, shared, akamaster, samples):
    imported = load_weights("resnet20", shared / "pretrained" / WEIGHTS)
    report, checkpoint = imported.report, imported.checkpoint
    assert (report.dialect, report.container, report.mapped, report.left_over) == ("akamaster CIFAR", "torch stream", 97, ())
    assert report.assumed == {"zero_pad": "both", "normaliser": "imagenet", "image_size": "32", "crop": "1.0",
                              "class_names": "CIFAR-10's"}
    assert checkpoint.net.architecture["shortcut"] == "A"
    assert checkpoint.metadata["imported"]["sha256"].startswith("12fca82f0bebc413")
    pictures, labels = samples
    assert pictures.shape == (20, 3, 32, 32)
    x = checkpoint.normaliser(pictures)
    np.testing.assert_array_equal(x, IMAGENET(pictures))
    ours, theirs = checkpoint.net.forward(x, training=False), logits(torch, akamaster, x)
    assert np.abs(ours - theirs).max() <= 1e-4
    np.testing.assert_array_equal(ours.argmax(1), theirs.argmax(1))
    assert (ours.argmax(1) == labels).sum() >= 18  # 91.78 % of the official test set


@pytest.mark.slow
def test_the_public_resnet20_on_the_test_pictures(cifar10, shared):
    """PyTorch gets 8,103 of the JPEG copy's 10,000 right; ../shared/FACTS.md."""
    checkpoint = load_weights("resnet20", shared / "pretrained" / WEIGHTS).checkpoint
    pictures, labels = cifar10
    right = sum(int((checkpoint.net.forward(checkpoint.normaliser(pictures[i:i + 500]), training=False).argmax(1)
                     == labels[i:i + 500]).sum()) for i in range(0, len(labels), 500))
    assert abs(right - 8103) <= 3


@pytest.fixture(scope="module")
def cifar10(cifar10_copy):
    """The 10,000 test pictures of the JPEG copy, and their labels."""
    found = data_tools.find(str(cifar10_copy), say=lambda line: None, progress=False)
    return found.test_images, found.test_labels


# Nets that PyTorch wrote
def random_net(torch, architecture):
    """Random weights and running statistics that are not trivial, from a seed of their own."""
    from resnet_np.bench.peer import Net

    generator = torch.Generator().manual_seed(0)
    net = Net(architecture)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith("running_mean"):
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
            elif tensor.is_floating_point() and tensor.ndim == 1 and not name.endswith("bias"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            elif name.endswith("num_batches_tracked"):
                tensor.fill_(1234)
    return net.eval()


def write(torch, forge, container, state, path):
    if container == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path, {"format": "pt"})
    elif container == "torch tar":
        path.write_bytes(forge.write("tar", {name: np.atleast_1d(tensor.numpy()) for name, tensor in state.items()}))
    else:
        whole = {"epoch": 90, "net": state, "best_prec1": 0.5} if container == "torch stream" else state
        torch.save(whole, path, _use_new_zipfile_serialization=container == "torch zip")


CONTAINERS = ["torch zip", "torch stream", "torch tar", "safetensors"]
DIALECTS = [("torchvision", ""), ("torchvision", "module."), ("Hugging Face", ""), ("kuangliu CIFAR", "module.")]


# Every container with every dialect in narrow nets; each of both in nets of full width.
WRITTEN = [*((8, container, *dialect) for container in CONTAINERS for dialect in DIALECTS),
           *(pytest.param(64, container, *dialect, marks=pytest.mark.slow)
             for container, dialect in zip(CONTAINERS, DIALECTS, strict=True))]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("width, container, dialect, prefix", WRITTEN)
def test_what_pytorch_writes(torch, rng, forge, spelled, tmp_path, name, width, container, dialect, prefix):
    architecture = build(name, stem="cifar" if dialect == "kuangliu CIFAR" else "imagenet", width=width, classes=1000).architecture
    theirs = random_net(torch, architecture)
    write(torch, forge, container, spelled(theirs.state_dict(), dialect, prefix), tmp_path / "weights")
    imported = load_weights(name, tmp_path / "weights")
    assert imported.checkpoint.net.architecture == architecture
    assert (imported.report.container, imported.report.dialect) == (container, dialect)
    assert len(imported.report.left_over) == sum(key.endswith("tracked") for key in theirs.state_dict())
    for key, array in net_arrays(imported.checkpoint.net).items():
        assert array.tobytes() == theirs.state_dict()[key].numpy().tobytes(), key
    x = rng.standard_normal((2, 3, 64, 64), np.float32)
    close(imported.checkpoint.net.forward(x, training=False), logits(torch, theirs, x))


@pytest.mark.parametrize("name, options, dialect", [
    ("resnet20", {}, "akamaster CIFAR"), ("resnet20", {"shortcut": "B"}, "akamaster CIFAR"),
    ("resnet20", {"shortcut": "B"}, "chenyaofo CIFAR"), ("resnet18", {"stem": "cifar", "width": 16}, "torchvision"),
    ("resnet50", {"stem": "cifar", "width": 8}, "torchvision")])
def test_nets_for_small_pictures(torch, rng, forge, spelled, tmp_path, name, options, dialect):
    architecture = build(name, **options).architecture
    theirs = random_net(torch, architecture)
    write(torch, forge, "torch zip", spelled(theirs.state_dict(), dialect, "module."), tmp_path / "weights")
    imported = load_weights(None, tmp_path / "weights")
    assert imported.checkpoint.net.architecture == architecture and imported.report.dialect == dialect
    x = rng.standard_normal((4, 3, 32, 32), np.float32)
    close(imported.checkpoint.net.forward(x, training=False), logits(torch, theirs, x))


def test_half_precision(torch, rng, tmp_path):
    """float16 and bfloat16 tensors: the net that PyTorch has after .half().float()."""
    architecture = build("resnet18", stem="imagenet", width=4, classes=5).architecture
    for dtype in torch.float16, torch.bfloat16:
        theirs = random_net(torch, architecture).to(dtype)
        torch.save(theirs.state_dict(), tmp_path / "weights.pth")
        net = load_weights(None, tmp_path / "weights.pth").checkpoint.net
        x = rng.standard_normal((2, 3, 64, 64), np.float32)
        close(net.forward(x, training=False), logits(torch, theirs.float(), x))


# Nets that PyTorch reads
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("name, options", [
    ("resnet20", {}), ("resnet20", {"zero_pad": "end"}), ("resnet20", {"shortcut": "B"}), ("plain20", {}),
    ("resnet18", {"stem": "imagenet", "width": 8}), ("resnet50", {"stem": "imagenet", "width": 8, "stride_in": "1x1"}),
    ("resnet50", {"stem": "cifar", "width": 8})])
def test_pytorch_loads_an_export_strictly(torch, trained, rng, tmp_path, name, options, suffix):
    from safetensors.torch import load_file

    from resnet_np.bench.peer import Net
    from resnet_np.models import Checkpoint

    ours = trained(name, **options)
    path = tmp_path / f"net{suffix}"
    export(Checkpoint(ours, IMAGENET, tuple("abcdefghij")), path)
    if suffix == ".npz":
        with np.load(path) as arrays:
            state = {key: torch.from_numpy(array) for key, array in arrays.items() if key != "__metadata__"}
    else:
        state = load_file(path)
    theirs = Net(ours.architecture).eval()
    theirs.load_state_dict(state, strict=True)
    x = rng.standard_normal((2, 3, 40, 32))
    close(ours.forward(x.astype(np.float32), training=False), logits(torch, theirs, x.astype(np.float32)))
    close(ours.astype(np.float64).forward(x, training=False), logits(torch, theirs.double(), x), 1e-9)
