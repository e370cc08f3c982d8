"""Before anything is timed: do both sides compute the same thing?

The bars are those of a whole net (../shared/FACTS.md, measured): PyTorch's own two layouts agree no better in float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from resnet_np.bench.process import BenchError, Worker
from resnet_np.bench.task import Task

BARS = {"float64": 1e-9, "float32": 1e-4}
IMAGES = 32  # compared; as good as the whole batch, and float64 stays quick
# In bf16 no two programs agree to many digits. So each is held against float64: ours may be so many times as far from it as theirs.
# Winograd's sums alone are 1.5 times as far as direct ones.
BF16_BAR = 2.0


@dataclass(frozen=True)
class Agreement:
    architecture: dict[str, Any]  # of our net
    weights: str  # the file that holds them, for the other side
    worst: dict[str, float]  # by "float64 logits", "float64 gradients", "float32 loss" ...: as a share of the largest entry


def check(task: Task, layouts: tuple[str, ...], folder: Path) -> Agreement:
    """Let both sides answer, each in its own process. Raises BenchError where they differ by more than the bar."""
    few = replace(task, batch=min(task.batch, IMAGES))
    weights, ours64, ours32, theirs64 = (str(folder / f"{name}.npz") for name in ("weights", "ours64", "ours32", "theirs64"))
    in_bf16 = {side: {"bf16": str(folder / f"{side}16.npz")} if task.precision == "bf16" else {} for side in ("ours", "theirs")}
    with Worker("ours_answers", few) as worker:
        architecture = worker.ask("answer", weights=weights, float64=ours64, float32=ours32, **in_bf16["ours"])
    theirs32 = {layout: str(folder / f"theirs32-{layout}.npz") for layout in layouts}
    with Worker("torch_answers", few) as worker:
        worker.ask("answer", architecture=architecture, weights=weights, float64=theirs64, **in_bf16["theirs"], **theirs32)
    worst = differences("float64", _load(ours64), _load(theirs64))
    if task.precision == "bf16":
        worst |= distances(_load(in_bf16["ours"]["bf16"]), _load(in_bf16["theirs"]["bf16"]), _load(ours64))
    for layout, path in theirs32.items():
        for name, value in differences(f"float32 {layout}", _load(ours32), _load(path)).items():
            worst[name] = max(value, worst.get(name, 0.0))
    return Agreement(architecture, weights, worst)


def differences(what: str, ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The worst difference of each kind of answer, as a share of the answer's largest entry.

    what: "float64", where everything must agree, or "float32 <layout>", where only logits and loss can: rounding flips the sign
    of a few ReLU inputs, and with it gradients. Raises BenchError for the first answer that is beyond its bar.
    """
    dtype = what.partition(" ")[0]
    worst: dict[str, float] = {}
    for name in ours if dtype == "float64" else ("logits", "loss"):
        mine, yours = ours[name], theirs[name]
        difference = float(np.abs(mine - yours).max() / np.abs(yours).max()) if mine.shape == yours.shape else np.inf
        if not difference <= BARS[dtype]:
            raise BenchError(
                f"bench: the two sides compute different things, so their times mean nothing: in {what}, {name} differs by "
                f"{difference:.0e} of its largest entry, expected at most {BARS[dtype]:.0e}"
            )
        kind = f"{dtype} {'gradients' if name.startswith('gradient') else name}"
        worst[kind] = max(difference, worst.get(kind, 0.0))
    return worst


def distances(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """How far our answers in bf16 are from those in float64, as a multiple of how far theirs are: of the logits, and the mean over
    all parameters' gradients. Raises BenchError for one beyond its bar."""
    def distance(answers: Mapping[str, np.ndarray], names: list[str]) -> float:
        return float(np.mean([np.linalg.norm(answers[name] - exact[name]) / np.linalg.norm(exact[name]) for name in names]))

    found = {}
    for kind, names in {"logits": ["logits"], "gradients": [name for name in exact if name.startswith("gradient")]}.items():
        mine, yours = distance(ours, names), distance(theirs, names)
        if not mine <= BF16_BAR * yours:
            raise BenchError(f"bench: the two sides compute different things, so their times mean nothing: in bf16, {kind} are "
                             f"{mine:.0e} from those in float64, PyTorch's {yours:.0e}; expected at most {BF16_BAR:g} times as far")
        found[f"bf16 {kind}"] = mine / yours
    return found


def _load(path: str) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)
