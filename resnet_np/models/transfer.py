"""What fine-tuning does to a net: another head, and parts that are frozen."""

from collections.abc import Sequence

from resnet_np.errors import InputError
from resnet_np.layers import Layer
from resnet_np.models.checkpoint import FAMILIES, copy_settings, load_arrays, net_arrays
from resnet_np.models.resnet import ResNet


def with_head(net: ResNet, *, classes: int, keep: bool, dropout: float, fused: bool, seed: int) -> ResNet:
    """A copy of `net` with dropout before its last layer, which is kept or, for other classes, fresh from `seed`.

    Raises InputError if a head is to be kept that has another number of outputs.
    """
    if keep and net.architecture["classes"] != classes:
        raise InputError(f"the head has {net.architecture['classes']} outputs, expected {classes}, one a class; replace it")
    architecture = net.architecture | {"classes": classes, "dropout": dropout, "fused": fused}
    build, _ = FAMILIES[architecture.pop("family")]
    new = build(**architecture, seed=seed)
    fresh = {} if keep else {name: array for name, array in net_arrays(new).items() if name.startswith("fc.")}
    load_arrays(new, net_arrays(net) | fresh)
    copy_settings(new, net)
    return new


def freeze(net: Layer, prefixes: Sequence[str]) -> None:
    """Freeze exactly the layers whose names begin with one of `prefixes` ("conv1", "layer2", "layer3.0.bn1"); the others learn.

    A frozen batch norm keeps its running statistics, and uses them. Raises InputError for a prefix that no layer has.
    """
    net.freeze(False)
    for prefix in prefixes:
        layer = net
        for name in prefix.split("."):
            if name not in layer.children:
                raise InputError(f"freeze: the net has no layer {prefix!r}; it has {', '.join(net.children)}")
            layer = layer.children[name]
        layer.freeze()
