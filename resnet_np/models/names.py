"""Nets by name, as the command line knows them: resnet20, plain56, resnet18, fast8 ..."""

import re
from typing import Any, Literal, NamedTuple

from resnet_np.errors import InputError
from resnet_np.models import resnet_cifar as cifar
from resnet_np.models import resnet_fast as fast
from resnet_np.models import resnet_imagenet as imagenet
from resnet_np.models.resnet import ResNet

Family = Literal["cifar", "plain", "imagenet", "fast"]


class Name(NamedTuple):
    family: Family  # "plain": a CIFAR net without shortcuts
    depth: int


def parse_name(name: str) -> Name:
    """ "resnet20" -> ("cifar", 20), "plain20" -> ("plain", 20), "resnet18" -> ("imagenet", 18), "fast8" -> ("fast", 8).

    resnet50 and resnet152 are the ImageNet nets; CIFAR nets of these depths are called resnet_cifar(50) in Python.
    Raises InputError for a name that is none.
    """
    match = re.fullmatch(r"(resnet|plain|fast)(\d{1,9})", name)
    if not match:
        raise InputError(
            f"model: got {name!r}, expected resnet20, resnet32, resnet44, resnet56, resnet110 or another resnet<6n+2>, "
            "plain<6n+2>, its twin without shortcuts, resnet18, resnet34, resnet50, resnet101, resnet152, or fast8, fast11 or "
            "another fast<3n+2>"
        )
    depth = int(match[2])
    if match[1] == "resnet" and depth in imagenet.BLOCKS:
        return Name("imagenet", depth)
    if match[1] == "fast":
        fast.check_depth("model:", depth, match[1])
        return Name("fast", depth)
    cifar.check_depth("model:", depth, match[1])
    return Name("plain" if match[1] == "plain" else "cifar", depth)


def build(
    name: str,
    *,
    shortcut: Literal["A", "B"] = "A",
    zero_pad: Literal["both", "end"] = "both",
    stem: Literal["imagenet", "cifar"] = "cifar",
    stride_in: Literal["3x3", "1x1"] = "3x3",
    width: int | None = None,
    dropout: float = 0.0,
    classes: int = 10,
    zero_gamma: bool = False,
    fused: bool = True,
    seed: int = 0,
) -> ResNet:
    """The fresh net of that name. shortcut and zero_pad are for CIFAR nets; stem, stride_in and zero_gamma for ImageNet nets.

    width: None, what the family has (16, 64, 64). Raises InputError for an unknown name or a value that makes no sense.
    """
    family, depth = parse_name(name)
    common: dict[str, Any] = {"dropout": dropout, "classes": classes, "fused": fused, "seed": seed}
    if width is not None:
        common["width"] = width
    if family == "imagenet":
        return imagenet.resnet_imagenet(depth, stem=stem, stride_in=stride_in, zero_gamma=zero_gamma, **common)
    if family == "fast":
        return fast.resnet_fast(depth, **common)
    return cifar.resnet_cifar(depth, "none" if family == "plain" else shortcut, zero_pad, **common)


def family_of(net: ResNet) -> Family:
    """As in Name."""
    if (family := net.architecture["family"]) != "resnet_cifar":
        return "imagenet" if family == "resnet_imagenet" else "fast"
    return "plain" if net.architecture["shortcut"] == "none" else "cifar"


def name_of(net: ResNet) -> str:
    """"resnet20", "plain20", "resnet18", "fast8": what `build` calls it."""
    family = family_of(net)
    return f"{family if family in ('plain', 'fast') else 'resnet'}{net.architecture['depth']}"


def describe(net: ResNet) -> str:
    """"resnet20, shortcut A (zeros half before, half after)": what its name leaves open, in half a line."""
    a = net.architecture
    details = []
    if a["family"] == "resnet_imagenet":
        details.append("ImageNet stem (7x7, stride 2, max pool)" if a["stem"] == "imagenet" else "CIFAR stem (3x3)")
        if a["depth"] in imagenet.BOTTLENECKS:
            details.append(f"stride on the {a['stride_in']}")
    elif a["family"] == "resnet_fast":
        details.append("whitened, three wide stages" + (", features are means" if a["pool"] == "mean" else ""))
    elif a["shortcut"] == "none":
        details.append("no shortcuts")
    else:
        zeros = f" (zeros {'half before, half after' if a['zero_pad'] == 'both' else 'after'})" if a["shortcut"] == "A" else ""
        details.append(f"shortcut {a['shortcut']}{zeros}")
    if a["width"] != {"imagenet": imagenet.WIDTH, "fast": fast.WIDTH}.get(family_of(net), cifar.WIDTH):
        details.append(f"width {a['width']}")
    return f"{name_of(net)}, {', '.join(details)}"
