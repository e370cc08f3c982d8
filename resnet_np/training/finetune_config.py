"""What fine-tuning may be told: which weights, what of them is frozen and when it thaws, the rates, and the presets."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from resnet_np.training.recipe import Recipe, option, refuse

NEW_HEAD_LR_MULT = 10.0  # what --head-lr-mult 0 means for a fresh head; 1 for one that is kept
# What --stage-lr-mult 0 means where the head is kept: the classes are the same, so it is the pictures that are others, and what
# meets them first must change most: Lee et al. 2022, "Surgical fine-tuning improves adaptation to distribution shifts". For a new
# head it means 1.
SAME_CLASSES_STAGE_LR_MULT = 2.0


@dataclass(frozen=True)
class FinetuneConfig(Recipe):
    """What decides the weights of a fine-tuning run, with the weights that it starts from.

    The defaults are preset `whole`. Raises InputError, in the words of the command line, for a value that makes no sense.
    """

    preset: str = option("whole", "the recipe that the other options change", ("whole", "head", "gradual"))
    epochs: int = option(2, "times through the training pictures")
    lr: float = option(0.01, "learning rate at its highest; of the last stage, where --stage-lr-mult is not 1")
    image_size: int = option(
        0, "side in pixels to which every picture is resized; 0: as they are (a folder of photos: what the weights were trained on)"
    )
    weights: str = option("", "the weight file, checkpoint or run that is fine-tuned")
    freeze: str = option("none", "what does not learn: none; trunk, all but the last layer; N, the stem and the first N stages")
    unfreeze_at: int = option(0, "from this epoch on one more stage learns every epoch, the last one first; 0: never")
    head: Literal["auto", "keep", "new"] = option(
        "auto", "the last layer: keep it, make a new one, or auto: keep it where the classes are the same", ("auto", "keep", "new")
    )
    head_lr_mult: float = option(0.0, f"learning rate of the last layer, times --lr; 0: {NEW_HEAD_LR_MULT:g} if it is new, else 1")
    stage_lr_mult: float = option(
        0.0, "a stage's learning rate as a multiple of that of the stage behind it: below 1 for another task (Howard 2018), above "
        f"1 for the same classes in other pictures (Lee 2022); 0: {SAME_CLASSES_STAGE_LR_MULT:g} if the head is kept, else 1"
    )
    normaliser: str = option(
        "weights", "what the weights were trained with; or measured anew, by channel or the mean picture",
        ("weights", "channel", "per-pixel"),
    )

    def __post_init__(self) -> None:
        if isinstance(self.freeze, int):  # as one writes it in Python
            object.__setattr__(self, "freeze", str(self.freeze))
        super().__post_init__()
        if not self.weights:
            refuse("weights", "nothing", "the weights to start from")
        if self.freeze not in ("none", "trunk") and not (self.freeze.isdecimal() and 1 <= int(self.freeze) <= 99):
            refuse("freeze", self.freeze, "none, trunk or a number of stages")
        if self.unfreeze_at < 0:
            refuse("unfreeze_at", self.unfreeze_at, "a whole number of at least 0")
        if self.unfreeze_at > self.epochs:
            refuse("unfreeze_at", self.unfreeze_at, f"at most --epochs ({self.epochs})")
        if self.unfreeze_at and self.freeze == "none":
            refuse("unfreeze_at", self.unfreeze_at, "a --freeze that it ends")
        if not 0 <= self.head_lr_mult < math.inf:
            refuse("head_lr_mult", self.head_lr_mult, "a number of at least 0")
        if not 0 <= self.stage_lr_mult <= 10:
            refuse("stage_lr_mult", self.stage_lr_mult, "a number from 0 to 10")


# whole    everything learns; the default.
# head     the trunk is a fixed function of the pictures, computed once: seconds, and enough where the data are few.
# gradual  the head first, then stage by stage. Howard and Ruder 2018, section 3.3.
FINETUNE_PRESETS: dict[str, dict[str, Any]] = {
    "whole": {},
    "head": {"freeze": "trunk", "augment": False, "epochs": 20},
    "gradual": {"freeze": "trunk", "unfreeze_at": 2, "epochs": 6, "stage_lr_mult": 0.5},
}


def finetune_preset(name: str, **changes: Any) -> FinetuneConfig:
    """The recipe `name` with some fields changed. Raises InputError for an unknown preset or a value that makes no sense."""
    if name not in FINETUNE_PRESETS:
        refuse("preset", name, f"one of {', '.join(FINETUNE_PRESETS)}")
    return FinetuneConfig(**({"preset": name} | FINETUNE_PRESETS[name] | changes))
