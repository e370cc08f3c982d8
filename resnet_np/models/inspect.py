"""Look inside a net: its maps place by place, what a class hangs on (Grad-CAM), and how large the layers' responses are.

Everything here evaluates: running statistics are used and kept, and the gradients that a training step collects are left as they
were. A forward pass that still waits for its `backward` loses its caches.

N picture, C channel, H W pixels of the picture, OH OW pixels of a map, K class.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

import numpy as np

from resnet_np.data.resize import interpolation
from resnet_np.errors import InputError
from resnet_np.layers import BatchNorm2d, Layer, Sequential
from resnet_np.layers.watch import watched
from resnet_np.models.resnet import POOLS, ResNet


class ClassGradient(NamedTuple):
    maps: np.ndarray  # (N, C, OH, OW): what the place has computed
    gradient: np.ndarray  # (N, C, OH, OW): d logits[n, classes[n]] / d maps[n]
    logits: np.ndarray  # (N, K)


def places(net: ResNet) -> dict[str, Layer]:
    """What a picture goes through, one after the other: "stem", "maxpool" (if any), "layer1.0" ..., "avgpool", "dropout", "fc"."""
    found: dict[str, Layer] = {"stem": net.stem}
    for name, part in net.trunk.children.items():
        blocks = part.children if isinstance(part, Sequential) else {}
        found |= {f"{name}.{key}": block for key, block in blocks.items()} or {name: part}
    return found


def feature_maps(net: ResNet, x: np.ndarray) -> dict[str, np.ndarray]:
    """x (N, 3, H, W), normalised -> the maps (N, C, OH, OW) behind the stem, the max pool and every block, by place; all in the
    dtype of x, whatever net.precision is."""
    found = {}
    for name, part in places(net).items():
        x = part.forward(x, training=False)
        if x.ndim != 4:  # pooled
            break
        found[name] = x
    return found


def class_gradient(net: ResNet, x: np.ndarray, classes: np.ndarray | None = None, *, at: str | None = None) -> ClassGradient:
    """How the logit of a class moves with every pixel of the maps at a place: a forward pass, and backward down to there, in the
    dtype of x, whatever net.precision is.

    x        (N, 3, H, W), normalised
    classes  (N,) whole numbers, one a picture; None: each picture's answer, the class of its largest logit
    at       "layer2.0", or a stage, "layer2", for its last block; None: the last block of the net
    Raises InputError if the net has no such place or class.
    """
    names, parts = zip(*places(net).items(), strict=True)
    end = names.index(_place(names, at)) + 1
    for part in parts[:end]:
        x = part.forward(x, training=False)
    maps = x
    with _gradients_left_alone(parts[end:]):
        for part in parts[end:]:
            x = part.forward(x, training=False, keep_cache=True)
        dout = _one_hot(x, classes)  # d logit / d logits: 1 at the class, 0 elsewhere. No loss, no softmax
        for part in reversed(parts[end:]):
            dout = part.backward(dout)
    return ClassGradient(maps, dout, x)


def grad_cam(net: ResNet, x: np.ndarray, classes: np.ndarray | None = None, *, at: str | None = None) -> np.ndarray:
    """Where in the picture the logit of a class comes from: heat (N, H, W), not negative, in logits. Selvaraju et al. 2017.

    Arguments as for `class_gradient`. The map is computed in the pixels of the place, and then stretched over the picture.
    """
    maps, gradient, _ = class_gradient(net, x, classes, at=at)
    # (1) alpha_c = mean over OH, OW of d logit / d maps_c: what a channel is worth to the class (equation 1)
    alpha = gradient.mean((2, 3))  # (N, C)
    # (2) heat = ReLU(sum over c of alpha_c maps_c): only what speaks for the class (equation 2)
    heat = np.maximum(np.einsum("nc,nchw->nhw", alpha, maps), 0)  # (N, OH, OW)
    # (3) stretched over the picture
    (OH, OW), (H, W) = heat.shape[1:], x.shape[2:]
    return interpolation(OH, H).astype(heat.dtype) @ heat @ interpolation(OW, W).astype(heat.dtype).T


def responses(net: ResNet, x: np.ndarray) -> dict[str, float]:
    """The standard deviation of every layer's response to x (N, 3, H, W), in order of computation: He et al. 2015, figure 7.

    A response is what batch norm hands on, before addition and ReLU; deviations are over all pictures, channels and pixels. By the
    name of the batch norm, "bn1", "layer1.0.bn1" ...; projection shortcuts are left out: they are no layers of the branch.
    """
    found: dict[str, float] = {}

    def measure(name: str, layer: Layer, x: np.ndarray, out: np.ndarray) -> None:
        if isinstance(layer, BatchNorm2d) and "downsample" not in name:
            found[name] = float(out.std(dtype=np.float64))

    with watched(net, measure):
        net.forward(x, training=False)
    return found


def _place(names: tuple[str, ...], at: str | None) -> str:
    """The name that `at` means; those of the head have no maps."""
    pictorial = names[:next(i for i, name in enumerate(names) if name in POOLS)]
    if at is None:
        return pictorial[-1]
    inside = [name for name in pictorial if name == at or name.startswith(f"{at}.")]
    if not inside:
        raise InputError(f"the net has no maps at {at!r}; it has them at {', '.join(pictorial)}")
    return inside[-1]


def _one_hot(logits: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    N, K = logits.shape
    chosen = logits.argmax(1) if classes is None else np.asarray(classes)
    if chosen.shape != (N,) or chosen.dtype.kind not in "iu" or ((chosen < 0) | (chosen >= K)).any():
        raise InputError(f"classes: expected {N} whole numbers from 0 to {K - 1}, one a picture, got {chosen.dtype} of shape "
                         f"{chosen.shape}: {chosen.ravel()[:5].tolist()}")
    return cast(np.ndarray, (np.arange(K) == chosen[:, None]).astype(logits.dtype))


@contextmanager
def _gradients_left_alone(parts: Iterable[Layer]) -> Iterator[None]:
    """Whatever is added to the parameters' gradients inside the `with` block is forgotten."""
    parameters = [parameter for part in parts for parameter in part.named_parameters().values()]
    before = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = np.zeros_like(parameter.data)
    try:
        yield
    finally:
        for parameter, grad in zip(parameters, before, strict=True):
            parameter.grad = grad
