"""Record runs that are too long for a notebook: `python tutorials/record.py SUBJECT` writes `recorded/SUBJECT.jsonl`.

The first line says how it was made: command, machine, date, seeds, versions; the others are the records, one a line. The folder in
which the runs lie meanwhile is temporary.
"""

import argparse
import datetime
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

from data_tools import shapes10
from resnet_np.models import resnet_cifar
from resnet_np.models.summary import summarise
from resnet_np.training import Config, RunFolder, provenance
from resnet_np.training.loop import train

RECORDED = Path(__file__).resolve().parent / "recorded"


def run(pictures, **changes):
    """Train with these options of `resnet-np train` -> the lines of metrics.jsonl and what result.json holds."""
    with tempfile.TemporaryDirectory() as folder:
        run_folder = RunFolder(Path(folder))
        result = train(Config(**changes), pictures, run_folder, resume=False, say=lambda line: None, progress=False)
        lines = run_folder.metrics.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines], result


# A subject: what is recorded, the seeds, and a function that yields the records.

BUDGET = {"image_size": 16, "epochs": 3}
NETS = [(8, 16), (14, 16), (20, 16), (32, 16), (56, 16), (14, 8), (14, 32)]  # depth, width


def depth(seeds):
    """Depth and width on Shapes-10, scaled down to 16x16 pixels: three epochs of `resnet-np train` each."""
    pictures = shapes10.make()
    for seed in seeds:
        for layers, width in NETS:
            summary = summarise(resnet_cifar(layers, width=width), (1, 3, BUDGET["image_size"], BUDGET["image_size"]))
            records, result = run(pictures, model=f"resnet{layers}", width=width, seed=seed, **BUDGET)
            yield {"depth": layers, "width": width, "seed": seed, "parameters": summary.parameters, "macs": summary.macs,
                   "train_accuracy": records[-1]["train_accuracy"],
                   "validation_accuracy": [record["validation_accuracy"] for record in records],
                   "test_accuracy": result["last_test_accuracy"], "training_seconds": sum(r["training_seconds"] for r in records)}


SUBJECTS = {"depth": (depth, (0, 1, 2))}


def main():
    parser = argparse.ArgumentParser(description="Record runs that are too long for a notebook.")
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--machine", default=f"{platform.machine()} {platform.system()}", help="the machine, in words")
    options = parser.parse_args()
    function, seeds = SUBJECTS[options.subject]
    start, lines = time.perf_counter(), []
    for record in function(seeds):
        lines.append(record)
        print(f"{time.perf_counter() - start:5.0f} s  {record}", file=sys.stderr, flush=True)
    about = {"command": f"python tutorials/record.py {options.subject}", "what": " ".join(function.__doc__.split()),
             "machine": options.machine, "date": datetime.date.today().isoformat(), "seeds": list(seeds),
             "seconds": round(time.perf_counter() - start), "versions": provenance.versions()}
    path = RECORDED / f"{options.subject}.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in (about, *lines)) + "\n", encoding="utf-8", newline="\n")
    print(path)


if __name__ == "__main__":
    main()
