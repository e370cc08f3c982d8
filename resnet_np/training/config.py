"""What training from scratch may be told: the net, the recipe, and the presets."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from resnet_np.models import parse_name
from resnet_np.models.resnet_imagenet import BOTTLENECKS
from resnet_np.training.recipe import Recipe, option, refuse


@dataclass(frozen=True)
class Config(Recipe):
    """What decides the weights of a run, bit for bit (with the data set and the package's version).

    The defaults are preset `quick`. Raises InputError, in the words of the command line, for a value that makes no sense.
    """

    preset: str = option("quick", "the recipe that the other options change", ("quick", "short", "paper", "fast", "hour"))
    model: str = option(
        "resnet20",
        "resnet20, resnet56 or another resnet<6n+2>; plain<6n+2>; resnet18, 34, 50, 101, 152; fast8 or another fast<3n+2>",
    )
    shortcut: Literal["A", "B"] = option("A", "where shapes change: A zeros (the paper), B a 1x1 convolution", ("A", "B"))
    zero_pad: Literal["both", "end"] = option(
        "both", "option A's zero channels: half before and half after, or all after", ("both", "end")
    )
    stem: Literal["cifar", "imagenet"] = option(
        "cifar", "of resnet18 ... 152: cifar 3x3, for small pictures; imagenet 7x7, stride 2, max pool", ("cifar", "imagenet")
    )
    stride_in: Literal["3x3", "1x1"] = option(
        "3x3", "of resnet50, 101, 152: the convolution with the stride, 3x3 (torchvision) or 1x1 (the paper)", ("3x3", "1x1")
    )
    width: int = option(0, "filters of the first stage; 0: what the net has (16; resnet18 ... 152 and fast nets: 64)")
    bias_rate: float = option(
        1.0, "learning rate of batch norm's biases, times --lr; their weight decay is divided by it (Jordan 2024: 64)"
    )
    muon: float = option(0.0, "learning rate at its highest of convolutions, by Muon (Jordan 2024: 0.24); 0: by SGD, as the rest")
    start_scale: float = option(
        1.0, "progressive resizing: side of the first steps' pictures, as a share of the later ones' (Howard 2018); 1: none"
    )
    start_share: float = option(0.0, "share of the steps that --start-scale is for")
    zero_gamma: bool = option(False, "of resnet18 ... 152: start every block as its shortcut (Goyal 2017)")

    def __post_init__(self) -> None:
        super().__post_init__()
        family, depth = parse_name(self.model)
        for name, owner in {"shortcut": "cifar", "zero_pad": "cifar", "stem": "imagenet", "stride_in": "imagenet",
                            "zero_gamma": "imagenet"}.items():
            if family != owner and getattr(self, name) != getattr(type(self), name):
                refuse(name, getattr(self, name), f"it to be left out: {self.model} has no such choice")
        if family == "imagenet" and depth not in BOTTLENECKS and self.stride_in != type(self).stride_in:
            refuse("stride_in", self.stride_in, f"it to be left out: {self.model} has no bottlenecks")
        if not 0 < self.bias_rate < math.inf:
            refuse("bias_rate", self.bias_rate, "a number above 0")
        if not 0 <= self.muon < math.inf:
            refuse("muon", self.muon, "a number of at least 0")
        if not 0 < self.start_scale <= 1:
            refuse("start_scale", self.start_scale, "a number above 0, at most 1")
        if not 0 <= self.start_share < 1 or self.start_scale < 1 and not self.start_share:
            refuse("start_share", self.start_share, "a number above 0 and below 1")
        if self.width < 0:
            refuse("width", self.width, "a whole number of at least 0")


# Jordan 2024, airbench94_muon (arXiv 2404.00498 has the elder one, with lookahead in place of Muon), with a shortcut a stage. His
# rates are for a sum of losses and a head of unit deviation whose logits are divided by 256; here for a mean, and for features that
# are divided by 9. Half of his batch, and two fifths of the steps with pictures of 17 pixels: README has what was measured.
FAST: dict[str, Any] = {
    "model": "fast8",
    "epochs": 6,
    "batch_size": 1000,
    "lr": 0.83,
    "warmup": 0.0,
    "final_factor": 0.0,
    "momentum": 0.85,
    "weight_decay": 2.4e-3,
    "decay": "all",
    "muon": 0.24,
    "bias_rate": 64.0,
    "label_smoothing": 0.2,
    "shift": 2,
    "padding": "reflect",
    "flip": "alternating",
    "start_scale": 0.53,
    "start_share": 0.4,
    "views": 6,
}
# quick   a real run while one waits; the default.
# short   the yardstick shared with PyTorch: ten epochs of the same recipe.
# paper   He et al. 2015, section 4.2: 64,000 steps (182.3 epochs of 351), 0.1 divided by 10 after 32,000 and 48,000, everything
#         decays.
# fast    the best that about ten minutes buy.
# hour    fast with 96 filters in place of 64, 20 epochs in place of 6, and squares of 8 pixels blanked: without these it knew
#         99.4 % of its training pictures after 18 epochs.
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {},
    "short": {"epochs": 10, "batch_size": 128, "lr": 0.4},
    "paper": {
        "epochs": 183,
        "max_steps": 64_000,
        "batch_size": 128,
        "lr": 0.1,
        "schedule": "step",
        "warmup": 0.0,
        "nesterov": False,
        "weight_decay": 1e-4,
        "decay": "all",
        "normaliser": "per-pixel",
    },
    "fast": FAST,
    "hour": FAST | {"width": 96, "epochs": 20, "cutout": 8},
}
# The same section: ResNet-110 needs about 400 steps at 0.01 before it starts to learn at 0.1.
PAPER_110 = {"warmup": 400 / 64_000}


def preset(name: str, **changes: Any) -> Config:
    """The recipe `name` with some fields changed. Raises InputError for an unknown preset or a value that makes no sense."""
    if name not in PRESETS:
        refuse("preset", name, f"one of {', '.join(PRESETS)}")
    fields = PRESETS[name] | (PAPER_110 if name == "paper" and changes.get("model") == "resnet110" else {})
    return Config(**({"preset": name} | fields | changes))
