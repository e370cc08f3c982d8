"""README's picture of accuracy over minutes, `recorded/finals.png`, of `recorded/finals.jsonl`: `python tutorials/draw.py`."""

import json
import math
import statistics
from pathlib import Path

import numpy as np

from resnet_np import fonts, tutor
from resnet_np.viz.spread import Lines, spread
from resnet_np.viz.style import DPI

RECORDED = Path(__file__).resolve().parent / "recorded"
PICTURE = RECORDED / "finals.png"
OURS = "resnet_np"


def lines(records) -> Lines:
    """-> by who trained: the minutes of every recipe (P,), rising, and the accuracies in % of its seeds (R, P).

    How fast the machine is depends on what others do there. So the minutes of ours are those of the seed in whose hour ResNet-20
    trained most nearly as fast as in the yardstick's. A recipe without minutes is left out. Where a recipe has fewer seeds than
    another, its median is repeated: middle, highest and lowest stay what they are.
    """
    pace = statistics.fmean(record["resnet20"] for record in records if record["by"] != OURS)
    found = {}
    for who in dict.fromkeys(record["by"] for record in records):
        timed: dict[str, list[tuple[float, float]]] = {}  # how far its hour was from the yardstick's, and the seconds
        accuracies: dict[str, list[float]] = {}
        for record in records:
            if record["by"] == who:
                accuracies.setdefault(record["recipe"], []).append(100 * record["test_accuracy_views"])
                if record["command_seconds"]:
                    off = abs(math.log(record["resnet20"] / pace))
                    timed.setdefault(record["recipe"], []).append((off, record["command_seconds"]))
        seconds = {name: min(runs)[1] for name, runs in timed.items()}
        order = sorted(seconds, key=lambda name: seconds[name])
        seeds = max(len(accuracies[name]) for name in order)
        repeated = [accuracies[name] + [statistics.median(accuracies[name])] * (seeds - len(accuracies[name])) for name in order]
        found[who] = [seconds[name] / 60 for name in order], np.transpose(repeated)
    return found


def described(drawn: Lines) -> str:
    """All of its points, as the picture keeps them: a picture that is older than its records can be told."""
    return json.dumps({who: [np.round(minutes, 2).tolist(), np.round(accuracies, 2).tolist()]
                       for who, (minutes, accuracies) in drawn.items()})


def figure(drawn: Lines):
    return spread({"": drawn}, logx=True, xlabel="minutes of the whole run, test included", ylabel="test accuracy, six views (%)")


if __name__ == "__main__":
    drawn = lines(tutor.recorded("finals")[1])
    fonts.save_png(figure(drawn), PICTURE, dpi=DPI, metadata={"Description": described(drawn)})
    print(PICTURE)
