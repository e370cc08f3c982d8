"""Five ways to name the same tensors: recognised, and the net deduced; whatever is another net is refused, never loaded."""

import numpy as np
import pytest

from resnet_np.errors import CheckpointError
from resnet_np.models.checkpoint import net_arrays
from resnet_np.models.foreign.dialects import deduce, detect
from resnet_np.models.layout import shapes

pytestmark = pytest.mark.nojit

IMAGENET, CIFAR = {"stem": "imagenet", "width": 8}, {"stem": "cifar", "width": 8}
NETS = [
    ("torchvision", "resnet18", IMAGENET), ("torchvision", "resnet34", IMAGENET | {"width": 4}),
    ("torchvision", "resnet50", IMAGENET), ("torchvision", "resnet101", IMAGENET | {"width": 2}),
    ("torchvision", "resnet152", IMAGENET | {"width": 2}),
    ("torchvision", "resnet18", CIFAR), ("torchvision", "resnet50", CIFAR),
    ("kuangliu CIFAR", "resnet18", CIFAR), ("kuangliu CIFAR", "resnet50", CIFAR),
    ("kuangliu CIFAR", "resnet34", CIFAR | {"width": 4}),
    ("Hugging Face", "resnet18", IMAGENET), ("Hugging Face", "resnet50", IMAGENET),
    ("Hugging Face", "resnet152", IMAGENET | {"width": 2}),
    ("akamaster CIFAR", "resnet20", {"width": 4}), ("akamaster CIFAR", "resnet56", {}),
    ("akamaster CIFAR", "resnet20", {"shortcut": "B"}),
    ("chenyaofo CIFAR", "resnet20", {"shortcut": "B"}), ("chenyaofo CIFAR", "resnet32", {"shortcut": "B", "width": 5}),
]


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module.backbone."])
@pytest.mark.parametrize("dialect, name, options", NETS)
def test_every_net_is_recognised(trained, spelled, dialect, name, options, prefix):
    net = trained(name, **options, classes=7)
    ours = net_arrays(net)
    arrays = spelled(ours, dialect, prefix)
    found = detect(arrays)
    assert found.name == dialect
    assert {ours_: found.file_name(ours_) for ours_ in ours} == dict(zip(ours, arrays, strict=True))
    assert deduce(found, arrays, 2) == net.architecture


def test_a_counter_beside_the_prefixed_names_does_not_hide_the_prefix(trained, spelled):
    arrays = spelled(net_arrays(trained("resnet8", width=2)), "akamaster CIFAR", "module.") | {"n_averaged": np.array(3)}
    assert detect(arrays).file_name("fc.bias") == "module.linear.bias"


def test_a_net_of_hugging_face_without_its_classifier(trained, spelled):
    arrays = {name.removeprefix("resnet."): array for name, array in spelled(
        net_arrays(trained("resnet18", **IMAGENET)), "Hugging Face").items() if "classifier" not in name}
    found = detect(arrays)
    assert found.name == "Hugging Face" and found.file_name("layer2.0.bn2.bias") in arrays
    assert deduce(found, arrays, 11)["classes"] == 11


@pytest.mark.parametrize("arrays, words", [
    ({"stem.conv.weight": np.zeros(3), "stages.0.blocks.0.norm1.weight": np.zeros(3)},
     "the names stem.conv.weight, stages.0.blocks.0.norm1.weight, which"),
    ({"features.0.weight": np.zeros((3, 3))}, "the names features.0.weight, which are those of no ResNet"),
    ({}, "the names nothing"),
    ({"number": np.array(1)}, "the names number"),
])
def test_names_that_are_nobodys(arrays, words):
    with pytest.raises(CheckpointError, match="torchvision, timm, Hugging Face or the CIFAR collections") as caught:
        detect(arrays)
    assert words in str(caught.value)


@pytest.mark.parametrize("drop, words", [
    (("layer4.1",), "its 4 stages have 2, 2, 2, 1 basic blocks (torchvision names)"),
    (("layer3", "layer4"), "its 2 stages have 2, 2 basic blocks"),
    (("layer2.1", "layer4"), "its 3 stages have 2, 1, 2 basic blocks"),
    (("layer2.0",), "its 1 stages have 2 basic blocks"),
])
def test_stages_of_no_net(trained, drop, words):
    arrays = {name: array for name, array in net_arrays(trained("resnet18", **IMAGENET)).items() if not name.startswith(drop)}
    with pytest.raises(CheckpointError) as caught:
        deduce(detect(arrays), arrays, 2)
    assert words in str(caught.value) and "resnet18, 34, 50, 101, 152" in str(caught.value)


def test_bottlenecks_in_the_number_of_a_net_of_basic_blocks(trained):
    """ResNet-26 of timm: 2, 2, 2, 2 bottlenecks."""
    arrays = {name: array for name, array in net_arrays(trained("resnet50", **IMAGENET)).items()
              if name.split(".")[1] in ("0", "1") or not name.startswith("layer")}
    with pytest.raises(CheckpointError, match="have 2, 2, 2, 2 bottleneck blocks"):
        deduce(detect(arrays), arrays, 2)


@pytest.mark.parametrize("name, options", [
    ("resnet8", {}), ("resnet20", {"shortcut": "B", "width": 5}), ("plain20", {}), *(case[1:] for case in NETS[:7])])
def test_the_layout_is_that_of_the_net_that_is_built(trained, name, options):
    net = trained(name, **options, classes=3)
    assert shapes(net.architecture) == {key: array.shape for key, array in net_arrays(net).items()}
