"""Record runs that are too long for a notebook: `python tutorials/record.py SUBJECT` writes `recorded/SUBJECT.jsonl`.

The first line says how it was made: command, machine, date, seeds, versions; the others are the records, one a line. The folder in
which the runs lie meanwhile is temporary.
"""

import argparse
import datetime
import json
import math
import platform
import sys
import tempfile
import time
from pathlib import Path

import numba
import numpy as np

import data_tools
from data_tools import letters, shapes10
from resnet_np.data import resize
from resnet_np.layers import Conv2d, FusedSequential, GlobalAveragePool, Layer, ReLU
from resnet_np.models import load_weights, resnet_cifar
from resnet_np.models.inspect import responses
from resnet_np.models.summary import summarise
from resnet_np.training import Config, RunFolder, preset, provenance
from resnet_np.training.loop import train
from resnet_np.training.run import Run
from resnet_np.tutor.small_runs import on_training_pictures, small_run
from resnet_np.tutor.transfer import WAYS, fine_tuned, from_scratch, learn
from resnet_np.workspace import Workspace

RECORDED = Path(__file__).resolve().parent / "recorded"


def run(pictures, **changes):
    """Train with these options of `resnet-np train` -> the lines of metrics.jsonl and what result.json holds."""
    with tempfile.TemporaryDirectory() as folder:
        run_folder = RunFolder(Path(folder))
        result = train(Config(**changes), pictures, run_folder, resume=False, say=lambda line: None, progress=False)
        lines = run_folder.metrics.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines], result


# A subject: what is recorded, the seeds, and a function that yields the records.

BUDGET = {"image_size": 16, "limit_train": 3000, "epochs": 4}
NETS = [(8, 16), (14, 16), (20, 16), (32, 16), (14, 8), (14, 32)]  # depth, width


def depth(seeds):
    """Depth and width on Shapes-10, scaled down to 16x16 pixels: four epochs of 3,000 pictures each."""
    pictures = shapes10.make()
    for seed in seeds:
        for layers, width in NETS:
            summary = summarise(resnet_cifar(layers, width=width), (1, 3, BUDGET["image_size"], BUDGET["image_size"]))
            records, result = run(pictures, model=f"resnet{layers}", width=width, seed=seed, **BUDGET)
            yield {"depth": layers, "width": width, "seed": seed, "parameters": summary.parameters, "macs": summary.macs,
                   "train_accuracy": records[-1]["train_accuracy"],
                   "validation_accuracy": [record["validation_accuracy"] for record in records],
                   "test_accuracy": result["last_test_accuracy"], "training_seconds": sum(r["training_seconds"] for r in records)}


SMALL = {"model": "resnet8", "width": 8, "image_size": 16, "limit_train": 500, "epochs": 30, "batch_size": 50, "lr": 0.1,
         "weight_decay": 0.0, "augment": False}
AGAINST = {
    "nothing": {},
    "L2": {"weight_decay": 5e-3},
    "dropout": {"dropout": 0.2},
    "augmentation": {"augment": True},
    "label smoothing": {"label_smoothing": 0.1},
    "early stopping": {"early_stopping": 5},
    "augmentation and L2": {"augment": True, "weight_decay": 5e-3},
}


def overfitting(seeds):
    """Seven recipes on the same 500 pictures of Shapes-10, 16x16 pixels, with ResNet-8 of half width, 30 epochs each."""
    pictures = shapes10.make()
    for name, changes in AGAINST.items():
        for seed in seeds:
            small, records = small_run(preset("quick", **SMALL | changes, seed=seed), pictures)
            train, test = on_training_pictures(small), small.test(small.net)
            yield {"name": name, "recipe": SMALL | changes, "seed": seed, "train_accuracy": train.top1, "train_loss": train.loss,
                   "validation_accuracy": small.validate().top1, "test_accuracy": test.top1, "test_loss": test.loss,
                   "epochs": {key: [round(record[key], 4) for record in records]
                              for key in ("train_accuracy", "validation_accuracy", "train_loss", "validation_loss")}}


PICTURES = {5: ("everything",), 20: tuple(WAYS), 60: ("everything",)}  # a class: the ways of fine-tuning
STEPS = 240  # about: whole epochs


def fine_tuning(seeds):
    """Letters-15 with few pictures a class: ResNet-14 of half width from scratch, and from the weights in tutorials/weights."""
    source = load_weights("resnet14", RECORDED.parent / "weights" / "shapes10-resnet14-width8.safetensors").checkpoint
    for count, ways in PICTURES.items():
        pictures = letters.make(train=count)
        epochs = round(STEPS / (int(0.9 * len(pictures.train_images)) // 32))
        for way in ("from scratch", *ways):
            for seed in seeds:
                small = (from_scratch(pictures, epochs=epochs, seed=seed) if way == "from scratch" else
                         fine_tuned(way, source, pictures, epochs=epochs * (5 if way == "head only" else 1), seed=seed))
                yield {"pictures": count, "way": way, "seed": seed, "steps": small.total, "test_accuracy": learn(small)}


TWINS = {"width": 8, "image_size": 16, "limit_train": 4000, "epochs": 6, "augment": False}


def degradation(seeds):
    """Plain and residual twins of 8, 20 and 44 layers, half width: six epochs of 4,000 pictures of Shapes-10, 16x16 pixels."""
    pictures = shapes10.make()
    for seed in seeds:
        for layers in (8, 20, 44):
            for kind in ("plain", "resnet"):
                small, records = small_run(preset("quick", **TWINS, model=f"{kind}{layers}", seed=seed), pictures)
                yield {"kind": kind, "depth": layers, "seed": seed, "test_accuracy": small.test(small.net).top1,
                       **{key: [round(record[key], 4) for record in records] for key in ("train_loss", "train_accuracy")}}


HALF = {"width": 8, "image_size": 16, "decay": "all", "epochs": 8}


def layer_responses(seeds):
    """Standard deviations of the layers' responses (He et al. 2015, figure 7) to the 2,000 test pictures of Shapes-10, 16x16
    pixels, after eight epochs in which everything decays: 20 layers of half width, plain and residual."""
    pictures = shapes10.make()
    for seed in seeds:
        for model in ("plain20", "resnet20"):
            small, _ = small_run(preset("short", **HALF, model=model, seed=seed), pictures)
            x = small.normaliser(resize(pictures.test_images, HALF["image_size"]))
            yield {"model": model, "seed": seed, "test_accuracy": small.test(small.net).top1,
                   "responses": {name: round(value, 4) for name, value in responses(small.net, x).items()}}


HALF_BATCH = {"batch_size": 500, "lr": 0.414}
LONGER = {"start_share": 0.625}  # small pictures
FEW = {"width": 32, "epochs": 5, "limit_train": 20_000, "start_scale": 1.0, "start_share": 0.0, **HALF_BATCH}
RACE = {  # name: what differs from preset fast
    **{f"fast8, width 32, {epochs} epochs": {"width": 32, "epochs": epochs, **HALF_BATCH, **LONGER} for epochs in (2, 4, 8)},
    **{f"fast8, 5/8 small, {epochs} epochs": {"epochs": epochs, **LONGER} for epochs in (4, 6, 8, 12)},
    **{f"fast8, {epochs} epochs": {"epochs": epochs} for epochs in (6, 9, 11)},
    "fast8, width 96, 18 epochs": {"width": 96, "epochs": 18},
    "fast8, 96, cutout, 20 epochs": {"width": 96, "epochs": 20, "cutout": 8},
    "fast8, 7 epochs, full size": {"epochs": 7, "start_scale": 1.0, "start_share": 0.0},
    "20,000 pictures, 5 epochs": FEW,
    "20,000 pictures, 5 epochs, batches of 1,000": FEW | {"batch_size": 1000, "lr": 0.83},
    "20,000 pictures, 5 epochs, batches of 250, Muon 0.12": FEW | {"batch_size": 250, "lr": 0.2075, "muon": 0.12},
    "20,000 pictures, 5 epochs, Muon 0.12": FEW | {"muon": 0.12},
}


def race(seeds):
    """Preset fast and what it was chosen from, on CIFAR-10: accuracy on the validation pictures, of the pictures as they are and of
    six views. The test set is not read."""
    pictures = data_tools.find(None, say=print, progress=False)
    for name, changes in RACE.items():
        for seed in seeds:
            run = Run(preset("fast", **changes, seed=seed), pictures, RunFolder(Path("unused")))
            yield {"name": name, "recipe": changes, "pool": run.net.architecture["pool"], "seed": seed, **trained(run)}


def trained(run):
    """Train to the end -> seconds, images a second, loss of the last epoch, accuracy on the validation pictures."""
    workspace, losses, start = Workspace(), [], time.perf_counter()
    for t in range(1, run.total + 1):
        losses.append(run.step(t, workspace).loss)
    seconds, held_back = time.perf_counter() - start, run.validation
    validation = run.evaluate(
        run.net, run.pictures.train_images[held_back], run.pictures.train_labels[held_back], views=6)
    last = losses[-run.loader.steps_per_epoch:]
    return {"training_seconds": round(seconds), "images_per_second": round(run.total * run.batch_size / seconds),
            "last_epoch_loss": sum(last) / len(last), "validation_accuracy": validation.top1,
            "validation_accuracy_views": validation.top1_views}


def random_stem(net, rng):
    """Filters like those that the stem had before it was whitened; they do not learn either."""
    weight = net.stem.conv1.weight.data
    weight[...] = Conv2d(weight.shape[1], len(weight), weight.shape[2], rng=rng).weight.data


def random_convolutions(net, rng):
    """All 3x3 convolutions as in the paper's nets."""
    for parameter in net.named_parameters().values():
        if parameter.data.ndim == 4 and not parameter.fixed:
            filters, channels, kernel, _ = parameter.data.shape
            parameter.data[...] = Conv2d(channels, filters, kernel, rng=rng).weight.data


def mean_of_maps(net, rng):
    """The head of most nets; its features are smaller, and nothing else makes up for that."""
    net.trunk.children["globalmaxpool"] = GlobalAveragePool()


class GELU(Layer):
    """x Phi(x), Phi the normal distribution's. Hendrycks and Gimpel 2016, section 2."""

    def forward(self, x, *, training, keep_cache=None):
        self._keep(x, training, keep_cache)
        out = np.empty(x.shape, x.dtype)
        gelu(x.ravel(), out.reshape(-1))
        return out

    def backward(self, dout):
        x = self._take()
        dx = np.empty(x.shape, x.dtype)
        gelu_gradient(dout.ravel(), x.ravel(), dx.reshape(-1))
        return dx


@numba.njit(parallel=True)
def gelu(x, out):
    for i in numba.prange(len(x)):
        out[i] = x[i] * 0.5 * (1 + math.erf(x[i] / math.sqrt(2)))


@numba.njit(parallel=True)
def gelu_gradient(dout, x, dx):
    """Phi(x) + x phi(x), phi being Phi's derivative."""
    for i in numba.prange(len(x)):
        density = math.exp(-0.5 * x[i] * x[i]) / math.sqrt(2 * math.pi)
        dx[i] = dout[i] * (0.5 * (1 + math.erf(x[i] / math.sqrt(2))) + x[i] * density)


def gelus(net, rng):
    """Every ReLU becomes a GELU; the layers must not be fused."""
    for layer in layers_of(net):
        if isinstance(layer, ReLU):
            layer.__class__ = GELU


def layers_of(layer):
    """The layer and all in it."""
    yield layer
    for child in layer.children.values():
        yield from layers_of(child)


def random_blocks(net, rng):
    """Convolutions that shortcuts pass by start as in the paper's nets; the others as the identity."""
    for stage in STAGES:
        random_convolutions(net.trunk.children[stage].children["1"], rng)


def no_shortcuts(net, rng):
    """Blocks that are only their main branch."""
    for stage in STAGES:
        block = net.trunk.children[stage].children["1"]
        net.trunk.children[stage].children["1"] = FusedSequential(**block.main.children, relu=block.relu)


STAGES = ("layer1", "layer2", "layer3")
AIRBENCH = {"muon": 0.0, "lookahead": 5, "lr": 0.73, "weight_decay": 1.33e-3, "warmup": 0.23, "warmup_factor": 0.2,
            "final_factor": 0.07}  # the elder recipe, by SGD alone
SHORTEST = {"width": 32, "epochs": 2, **HALF_BATCH, **LONGER}  # the first row of the table in README
LEFT_OUT = {  # name: what differs from SHORTEST, and what is done to the net before its first step
    "all": ({}, None),
    "SGD and lookahead in place of Muon": (AIRBENCH, None),
    "random filters in place of whitening": ({}, random_stem),
    "convolutions that start at random": ({}, random_convolutions),
    "convolutions of blocks that start at random": ({}, random_blocks),
    "the mean of a map in place of its largest pixel": ({}, mean_of_maps),
    "full size only, as many seconds": ({"start_scale": 1.0, "start_share": 0.0, "max_steps": 119}, None),
    "random mirroring in place of turns": ({"flip": "random"}, None),
    "no label smoothing": ({"label_smoothing": 0.0}, None),
    "biases at the same rate": ({"bias_rate": 1.0}, None),
    "no shortcuts": ({}, no_shortcuts),
    "GELU in place of ReLU": ({"fused": False}, gelus),
}


def tricks(seeds):
    """Two epochs of fast8, width 32, on CIFAR-10: with the whole of preset fast ("all"), and with one of its tricks left out, or
    another thing in its place. Accuracy on the validation pictures, of the pictures as they are and of six views; the test set is
    not read."""
    pictures = data_tools.find(None, say=print, progress=False)
    for name, (changes, change) in LEFT_OUT.items():
        for seed in seeds:
            run = Run(preset("fast", **SHORTEST | changes, seed=seed), pictures, RunFolder(Path("unused")))
            if change:
                change(run.net, np.random.default_rng(seed))
            yield {"name": name, "recipe": SHORTEST | changes, "seed": seed, **trained(run)}


BARE = AIRBENCH | {"lookahead": 0, "bias_rate": 1.0, "label_smoothing": 0.0, "flip": "random", "shift": 0, "padding": "zeros",
                    "start_scale": 1.0, "start_share": 0.0, "max_steps": 119}
LADDER = [  # name, what changes in the recipe, what is no longer done to the net before its first step; each beside all above it
    ("SGD, filters that start at random, means of maps", {}, None),
    ("a whitened stem", {}, random_stem),
    ("convolutions that start as the identity", {}, random_convolutions),
    ("the largest pixel of a map in place of its mean", {}, mean_of_maps),
    ("label smoothing", {"label_smoothing": 0.2}, None),
    ("biases 64 times as fast", {"bias_rate": 64.0}, None),
    ("reflected shifts, mirroring by turns", {"flip": "alternating", "shift": 2, "padding": "reflect"}, None),
    ("lookahead", {"lookahead": 5}, None),
    ("Muon in its place", {name: getattr(preset("fast", **SHORTEST), name) for name in AIRBENCH}, None),
    ("small pictures first, for as many seconds", {"start_scale": 0.53, "start_share": 0.625, "max_steps": 0}, None),
]


def one_after_the_other():
    """-> of every step its name, what differs from preset fast, and what is done to the net before its first step."""
    recipe, undone = SHORTEST | BARE, [random_stem, random_convolutions, mean_of_maps]
    for name, changes, done in LADDER:
        recipe, undone = recipe | changes, [change for change in undone if change is not done]
        yield name, recipe, undone


def steps(seeds):
    """From a wide residual net that learns by SGD alone to preset fast, one trick after the other, each added to all before it:
    fast8, width 32, on CIFAR-10, all for about as many seconds. Accuracy on the validation pictures, of the pictures as they are
    and of six views; the test set is not read."""
    pictures = data_tools.find(None, say=print, progress=False)
    for name, recipe, changes in one_after_the_other():
        for seed in seeds:
            run = Run(preset("fast", **recipe, seed=seed), pictures, RunFolder(Path("unused")))
            rng = np.random.default_rng(seed)
            for change in changes:
                change(run.net, rng)
            yield {"name": name, "recipe": recipe, "seed": seed, **trained(run)}


SUBJECTS = {"race": (race, (0,)), "tricks": (tricks, (0, 1, 2)), "steps": (steps, (0, 1, 2)),
            "responses": (layer_responses, (0, 1, 2)), "degradation": (degradation, (0, 1, 2)),
            "fine_tuning": (fine_tuning, (0, 1, 2)), "depth": (depth, (0, 1, 2)), "overfitting": (overfitting, (0, 1, 2))}


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
