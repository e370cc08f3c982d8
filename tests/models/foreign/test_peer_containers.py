"""Files that PyTorch and safetensors write: every array has the bits that PyTorch reads."""

import collections
import warnings
import zipfile

import numpy as np
import pytest

from resnet_np.errors import CheckpointError
from resnet_np.models.foreign.containers import read

pytestmark = [pytest.mark.peer, pytest.mark.nojit]
READ = "float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8 or bool"


@pytest.fixture
def state(torch):
    """A tensor of every kind that a state dict may hold."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    shared = random(10, 12)
    return collections.OrderedDict(
        parameter=torch.nn.Parameter(random(4, 3, 3, 3)), half=random(5).half(), bfloat=random(3, 5).bfloat16(),
        double=random(7).double(), transposed=random(3, 4).t(),
        channels_last=random(2, 3, 4, 5).to(memory_format=torch.channels_last), offset=random(100)[40:60], row=shared[3],
        column=shared[:, 5], window=shared[2:5, 3:9:2], expanded=random(1, 3).expand(4, 3),
        half_view=random(9).half()[2:], bfloat_transposed=random(4, 6).bfloat16().t(), scalar=torch.tensor(7), empty=random(0, 3),
        int32=torch.arange(3, dtype=torch.int32), int16=torch.arange(3, dtype=torch.int16),
        int8=torch.arange(-2, 2, dtype=torch.int8),
        uint8=torch.arange(3, dtype=torch.uint8), bools=torch.tensor([True, False]),
        odd=torch.tensor([float("nan"), float("inf"), -0.0, 1e-40]), odd_half=torch.tensor([float("inf"), -0.0, 6e-8]).half(),
    )


def expected(tensor):
    wide = str(tensor.dtype) in ("torch.float64", "torch.bfloat16")
    return (tensor.detach().float() if wide else tensor.detach()).contiguous().numpy()


def compare(found, state):
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        array = expected(tensor)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("new", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_torch_save(torch, state, tmp_path, new, protocol):
    path = tmp_path / "net.pth"
    optimiser = torch.optim.SGD([state["parameter"]], lr=0.1, momentum=0.9)
    state["parameter"].sum().backward()
    optimiser.step()
    whole = {"epoch": 3, "best": torch.tensor(9.5), "accuracy": np.float64(3), "optimizer": optimiser.state_dict(), "net": state,
             "rng": torch.get_rng_state(), "device": torch.device("cpu"), "size": torch.Size([1, 2]), "type": torch.float16}
    for content in (whole, state):
        torch.save(content, path, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
        found = read(path)
        assert found.container == ("torch zip" if new else "torch stream")
        assert list(found.arrays) == list(state)
        compare(found.arrays, state)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "stream"])
def test_a_net(torch, tmp_path, new):
    net = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)))
    torch.save(net.state_dict(), tmp_path / "net.pth", _use_new_zipfile_serialization=new)
    found = read(tmp_path / "net.pth").arrays
    compare(found, net.state_dict())
    assert found["module.1.num_batches_tracked"].dtype == np.int64
    torch.save(net, tmp_path / "net.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(CheckpointError, match="a whole pickled net"):
        read(tmp_path / "net.pth")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torchscript(torch, tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read(tmp_path / "net.pt")


def test_safetensors(torch, state, tmp_path):
    from safetensors.torch import save_file

    own = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    save_file(own, tmp_path / "net.safetensors", metadata={"format": "pt"})
    compare(read(tmp_path / "net.safetensors").arrays, state)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_complex_quantised_and_sparse(torch, tmp_path):
    quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    for tensor, came in (
            (torch.ones(3, dtype=torch.complex64), "ComplexFloat numbers"), (quantised, "QInt8 numbers"),
            (torch.eye(3).to_sparse(), "a sparse tensor"), (torch.ones(3, dtype=torch.uint16), "uint16 numbers"),
            (torch.ones(3).to(torch.float8_e4m3fn), "float8_e4m3fn numbers")):
        for zipped in (True, False):
            torch.save({"w": tensor}, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
            with pytest.raises(CheckpointError, match=f"holds {came}, expected .*{READ}; .*model.float"):
                read(tmp_path / "net.pth")


def test_every_type_of_numbers_is_read_or_refused_with_what_is_read(torch, tmp_path):
    read_here, refused = [], []
    for kind in {value for value in vars(torch).values() if isinstance(value, torch.dtype)}:
        name = str(kind).removeprefix("torch.")
        try:
            with warnings.catch_warnings(action="ignore"):  # PyTorch's, about experiments
                torch.save({"w": torch.empty(3, dtype=kind)}, tmp_path / "net.pth")
        except (KeyError, RuntimeError):
            continue  # PyTorch itself cannot save it, or makes it in another way
        try:
            assert list(read(tmp_path / "net.pth").arrays) == ["w"]
            read_here.append(name)
        except CheckpointError as error:
            came = {"complex64": "ComplexFloat", "complex128": "ComplexDouble"}.get(name, name)
            assert f"the pickle holds {came} numbers, expected {READ};" in str(error)
            refused.append(name)
    assert set(read_here) == set(READ.replace(" or", ",").split(", "))
    assert {"float8_e4m3fn", "float8_e8m0fnu", "uint16", "complex64"} < set(refused)


def test_torch_reads_what_we_wrote_by_hand(torch, forge, write, arrays):
    """So that the other tests do not read a format of their own."""
    for kind in ("tar", "stream", "zip"):
        if kind == "tar":
            del arrays["mask"]  # of a kind that did not exist then
        path = write(forge.write(kind, arrays))
        found = torch.load(path, weights_only=False)
        compare(read(path).arrays, found)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name].numpy(), array, strict=True)


def test_published_weights(torch, shared):
    path = shared / "pretrained" / "resnet20-12fca82f.th"
    found = read(path)
    assert found.container == "torch stream" and len(found.arrays) == 97
    compare(found.arrays, torch.load(path, map_location="cpu", weights_only=True)["state_dict"])


def test_a_zip_that_was_packed_again(torch, state, tmp_path):
    """PyTorch reads it, too."""
    torch.save(state, tmp_path / "net.pth")
    with zipfile.ZipFile(tmp_path / "net.pth") as source:
        with zipfile.ZipFile(tmp_path / "again.pth", "w", zipfile.ZIP_DEFLATED) as packed:
            for name in source.namelist():
                packed.writestr(name, source.read(name))
    assert (tmp_path / "again.pth").stat().st_size < (tmp_path / "net.pth").stat().st_size
    compare(read(tmp_path / "again.pth").arrays, state)


def test_numbers_that_are_not_those_of_the_tensor(torch, tmp_path):
    """Their sign is turned when they are read."""
    torch.save({"w": torch._neg_view(torch.ones(3))}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="a tensor whose neg bit is set; save it after .resolve_neg"):
        read(tmp_path / "net.pth")


def test_arrays_of_numpy(torch, tmp_path):
    torch.save({"state_dict": {"conv1.weight": np.ones(3)}}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="expected tensors"):
        read(tmp_path / "net.pth")
    torch.save({"conv1.weight": np.ones(3)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="it holds NumPy's arrays in a file of PyTorch, expected tensors; numpy.savez"):
        read(tmp_path / "net.pth")


def test_a_loss_for_each_of_the_papers_steps(torch, state, tmp_path):
    torch.save({"state_dict": state, "losses": [1 / step for step in range(1, 64_001)]}, tmp_path / "net.pth")
    compare(read(tmp_path / "net.pth").arrays, state)
