"""README's picture of accuracy over minutes, `recorded/finals.png`, of `recorded/finals.jsonl`: `python tutorials/draw.py`."""

from pathlib import Path

import numpy as np

from resnet_np import tutor
from resnet_np.viz.spread import Lines, spread
from resnet_np.viz.style import save

RECORDED = Path(__file__).resolve().parent / "recorded"


def lines(records) -> Lines:
    """-> by who trained: the minutes of every recipe (P,), rising, and the accuracies in % of its seeds (R, P).

    The minutes are those of the quickest seed: other programs of the machine ran beside the slower ones. Where a recipe has fewer
    seeds than another, its last accuracy is repeated: the highest and the lowest stay what they are.
    """
    found = {}
    for who in dict.fromkeys(record["by"] for record in records):
        recipes: dict[str, list[dict]] = {}
        for record in records:
            if record["by"] == who:
                recipes.setdefault(record["recipe"], []).append(record)
        minutes, accuracies = {}, {}
        for name, runs in recipes.items():
            minutes[name] = min(run["command_seconds"] / 60 for run in runs if run["command_seconds"])
            accuracies[name] = [100 * run["test_accuracy_views"] for run in runs]
        seeds, order = max(map(len, accuracies.values())), sorted(minutes, key=minutes.__getitem__)
        repeated = [accuracies[name] + accuracies[name][-1:] * (seeds - len(accuracies[name])) for name in order]
        found[who] = [minutes[name] for name in order], np.transpose(repeated)
    return found


def figure():
    return spread({"": lines(tutor.recorded("finals")[1])}, logx=True, xlabel="minutes of the whole run, test included",
                  ylabel="test accuracy, six views (%)")


if __name__ == "__main__":
    save(figure(), RECORDED / "finals.png")
    print(RECORDED / "finals.png")
