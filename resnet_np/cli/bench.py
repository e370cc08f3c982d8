"""resnet-np bench"""

import argparse
import importlib.util
import json
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_np.cli import options as shared
from resnet_np.errors import InputError
from resnet_np.precision import PRECISIONS

if TYPE_CHECKING:
    from resnet_np.bench.compare import Comparison, Side
    from resnet_np.bench.roofline import Roofline
    from resnet_np.bench.task import Task

WORKS = ("train", "infer")
WIDTH = 100  # columns
# The share of the definition's multiplications that Winograd's convolutions make: F(4x4, 3x3), F(2x2, 3x3).
SAVING = {"float32": "as little as 1/4", "bf16": "4/9"}
HELP = "training and inference speed, against PyTorch's and against what the machine can do"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="resnet20", help="as for train; resnet18 ... with the CIFAR stem (default: resnet20)")
    parser.add_argument("--batch", type=int, default=128, metavar="N", help="pictures a step (default: 128)")
    parser.add_argument("--image-size", type=int, default=32, metavar="N",
                        help="pixels a side; above 64 resnet18 ... have the ImageNet stem (default: 32)")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of our side (default: float32)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of every side (default: all cores)")
    parser.add_argument("--backend", choices=["numpy", "numba", "cupy"],
                        help="of our side; cupy measures both sides on the GPU (default: $RESNET_NP_BACKEND, else numba)")
    parser.add_argument("--vs", choices=["torch"],
                        help="measure PyTorch too, in turns, in all its modes: eager, compiled, malloc tuned, bf16 by autocast")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="turns of every side (default: 7)")
    parser.add_argument("--ops", action="store_true", help="each operation of a step against its roofline, instead")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="with --ops: draw the roofline")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(options: argparse.Namespace) -> None:
    task = _checked(options)
    say = (lambda *_: None) if options.json else (lambda line: print(line, flush=True))
    from resnet_np.training import arithmetic, provenance

    versions = provenance.versions()
    if options.vs:
        from importlib.metadata import version

        versions["torch"] = version("torch")
    say(_heading(task, versions))
    if note := arithmetic.slow(task.precision):
        say(f"note: {note}")
    if options.ops:
        _operations(task, options, versions, say)
        return
    from resnet_np.bench.compare import compare

    result = compare(task, options.vs, options.rounds, say)
    print(json.dumps(to_json(result, versions)) if options.json else "\n".join(_table(result)))


def _checked(options: argparse.Namespace) -> "Task":
    """The task; raises InputError for what cannot be measured."""
    from resnet_np import backend
    from resnet_np.bench.task import Task
    from resnet_np.models import parse_name

    threads = _cores() if options.threads is None else options.threads
    for flag, value, least, most in (("--batch", options.batch, 1, 65_536), ("--threads", threads, 1, 1024),
                                     ("--rounds", options.rounds, 1, 1000), ("--image-size", options.image_size, 8, 1024)):
        if not least <= value <= most:
            raise InputError(f"{flag}: got {value}, expected a whole number from {least} to {most:,}")
    parse_name(options.model)
    backend.use(options.backend or backend.current())
    if options.precision == "bf16" and backend.current() == "cupy":
        raise InputError("--precision bf16: the backend cupy computes it by way of float32, no faster; leave out one of the two")
    if options.ops and backend.current() == "cupy":
        raise InputError("--ops: it measures the kernels of the processor; choose --backend numba, or leave --ops out")
    if options.ops and options.vs:
        raise InputError("--ops: it measures this package alone; leave out --vs")
    if options.plot and not options.ops:
        raise InputError("--plot: it draws what --ops measures; add --ops")
    shared.check_drawing("--plot", options.plot, [])
    if options.plot and not os.access(options.plot.resolve().parent, os.W_OK):  # measuring takes minutes: asked before
        raise InputError(f"--plot: got {options.plot}, expected a file in a folder that exists and can be written")
    if options.vs and importlib.util.find_spec("torch") is None:
        raise InputError(f'--vs {options.vs}: PyTorch is not installed; python -m pip install "resnet_np[peers]"')
    if options.vs and backend.current() == "cupy":
        from resnet_np.bench.peer import sees_gpu

        if not sees_gpu():
            raise InputError(f"--vs {options.vs}: this PyTorch sees no GPU, where --backend cupy compares it; install its CUDA "
                             "build (pytorch.org), or leave out --vs")
    return Task(options.model, options.batch, threads, options.image_size, options.precision)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _heading(task: "Task", versions: dict[str, str]) -> str:
    from resnet_np import backend
    from resnet_np.training import arithmetic
    from resnet_np.training.provenance import cpu

    libraries = ", ".join(f"{name} {number}" for name, number in versions.items() if name not in ("python", "platform", "llvmlite"))
    pictures = f"batch {task.batch}, {task.image_size}x{task.image_size} pixels"
    machine = f"{_threads(task)}, backend {backend.current()}, {cpu()}"
    what = f"{task.model}, {pictures}, {arithmetic.describe(task.precision)}, {machine}"
    return textwrap.fill(f"{what}; {libraries}. {_noise()}", WIDTH)


def _noise() -> str:
    """What else keeps the machine busy, where it says: the turns spread it over all sides, and cannot take it away."""
    if not hasattr(os, "getloadavg"):
        return "Close other programs."
    return f"Load of the machine: {os.getloadavg()[0]:.1f} (as near to 0 as you can: close other programs)."


def _threads(task: "Task") -> str:
    return f"{task.threads} thread{'s' if task.threads > 1 else ''}"


def to_json(result: "Comparison", versions: dict[str, str]) -> dict[str, Any]:
    """What --json prints. "torch": the best mode in our precision for training, where one was measured, and "modes" with all of
    them; None, and so are ratios and spread, where nothing was compared.

    train_ratio, infer_ratio: against PyTorch's best mode in our precision; ..._any: in any precision.
    """
    from resnet_np.training import arithmetic
    from resnet_np.training.provenance import cpu

    best_train, best_infer = result.best("train"), result.best("infer")
    return {
        "model": result.task.model,
        "batch": result.task.batch,
        "threads": result.task.threads,
        "image_size": result.task.image_size,
        "precision": result.task.precision,
        "micro_kernel": arithmetic.micro_kernel(result.task.precision),
        "cpu": cpu(),
        "memory": "GPU" if result.on_device else "RSS",
        "versions": versions,
        **{f"{work}_ratio": result.ratio(work) for work in WORKS},
        **{f"{work}_ratio_any": result.ratio(work, any_precision=True) for work in WORKS},
        "spread": {f"{work}_ratio{'_any' * any_precision}": result.spread(work, any_precision=any_precision)
                   for work in WORKS for any_precision in (False, True)},
        **_side_json(result, result.ours),
        "torch": {
            **(_side_json(result, best_train) if best_train else {}),
            "infer_images_per_second": result.images_per_second(best_infer, "infer") if best_infer else None,
            "modes": {side.name: _side_json(result, side) for side in result.others},
        } if result.others else None,
    }


def _side_json(result: "Comparison", side: "Side") -> dict[str, Any]:
    return {
        "train_images_per_second": result.images_per_second(side, "train"),
        "infer_images_per_second": result.images_per_second(side, "infer"),
        "ceiling_share": result.gflops(side, "train") / result.ceiling,
        "peak_mib": side.peak_mib,
        "first_step_seconds_cold": side.first_step.get("cold"),
        "first_step_seconds_warm": side.first_step["warm"],
    }


def _table(result: "Comparison") -> list[str]:
    from resnet_np.bench.agreement import BARS, BF16_BAR

    lines = [""]
    if result.agreement:
        lines += ["Both sides agree; the worst difference, as a share of the largest entry:"]
        for dtype, bar in BARS.items():
            worst = [(name, value) for name, value in result.agreement.worst.items() if name.startswith(dtype)]
            shares = ", ".join(f"{name.removeprefix(dtype).strip()} {value:.0e}" for name, value in worst)
            lines.append(f"    {dtype}: {shares} (allowed: {bar:.0e})")
        if result.task.precision == "bf16":
            worst = [(name.partition(" ")[2], value) for name, value in result.agreement.worst.items() if name.startswith("bf16")]
            shares = ", ".join(f"{name} {value:.2f}" for name, value in worst)
            lines.append(f"    bf16: times PyTorch's distance from float64: {shares} (allowed: {BF16_BAR:g})")
        lines.append("")
    memory = "GPU MiB" if result.on_device else "RSS MiB"
    lines += [f"{'':42}{'training':>14}{'inference':>19}{'peak':>11}{'first step':>12}",
              f"{'':42}{'images/s':>9}{'GFLOP/s':>9}{'images/s':>9}{'GFLOP/s':>9}{memory:>8}{'cold s':>7}{'warm s':>7}"]
    lines += [_side_line(result, side) for side in (result.ours, *result.others)]
    train, infer = (result.gflops(result.ours, work) / result.ceiling for work in ("train", "infer"))
    saving = SAVING[result.task.precision]
    library, where, note = ("CuPy", "the GPU", "") if result.on_device else (
        "NumPy", _threads(result.task), f"; Winograd's convolutions do with {saving} of them, so that 100 % is no limit"
        + " (nor is float32's speed that of bf16)" * (result.task.precision == "bf16"))
    lines += ["", *textwrap.wrap(
        f"Ceiling: {library} multiplies 2048x2048 float32 matrices at {result.ceiling:,.0f} GFLOP/s on {where}; of that, resnet_np "
        f"reaches {train:.0%} in a training step and {infer:.0%} in inference. Counted are the multiplications of the "
        f"definition{note}.", WIDTH)]
    for work, name in (("train", "Training"), ("infer", "Inference")):
        for any_precision in (False, True):
            best, ratio = result.best(work, any_precision=any_precision), result.ratio(work, any_precision=any_precision)
            spread = result.spread(work, any_precision=any_precision)
            if best and ratio and spread and not (any_precision and best.precision == result.task.precision):
                rounds = f"rounds: {spread[0]:.2f} to {spread[1]:.2f}"
                lines.append(f"{name + ':':11}{ratio:.2f} x {best.name}{', float32' * (best.precision == 'float32')} ({rounds})")
    return lines


def _side_line(result: "Comparison", side: "Side") -> str:
    numbers = "".join(
        f"{result.images_per_second(side, work):9,.0f}{result.gflops(side, work):9.1f}" for work in ("train", "infer")
    )
    memory = "-" if side.peak_mib is None else f"{side.peak_mib:,.0f}"
    cold = f"{side.first_step['cold']:.1f}" if "cold" in side.first_step else "-"
    return f"{side.name:42}{numbers}{memory:>8}{cold:>7}{side.first_step['warm']:7.1f}"


def _operations(task: "Task", options: argparse.Namespace, versions: dict[str, str], say: Any) -> None:
    from resnet_np.bench import roofline
    from resnet_np.viz.style import save

    result = roofline.measure(task, options.rounds, say)
    print(json.dumps(operations_json(result, versions)) if options.json else "\n".join(_operation_lines(result)))
    if options.plot:
        try:
            save(roofline.draw(result), options.plot)
        except OSError as error:
            raise InputError(f"--plot: {options.plot} cannot be written ({error.strerror})") from error
        say(f"\n{options.plot}: the roofline, drawn")


def operations_json(result: "Roofline", versions: dict[str, str]) -> dict[str, Any]:
    """What --ops --json prints. sgemm_gflops: of float32, whatever the precision."""
    from resnet_np.training import arithmetic
    from resnet_np.training.provenance import cpu

    return {
        "model": result.task.model,
        "batch": result.task.batch,
        "threads": result.task.threads,
        "image_size": result.task.image_size,
        "precision": result.task.precision,
        "micro_kernel": arithmetic.micro_kernel(result.task.precision),
        "cpu": cpu(),
        "versions": versions,
        "sgemm_gflops": result.sgemm,
        "copy_gigabytes_per_second": result.copy,
        "step_seconds": result.step,
        "outside_seconds": result.outside,
        "operations": [
            {
                "name": point.name, "layer": point.layer, "count": point.count, "seconds": point.seconds, "flops": point.flops,
                "bytes": point.bytes, "share_of_step": point.total / result.step, "bound": result.bound(point),
                "share_of_roofline": result.share(point),
            }
            for point in result.points
        ],
    }


def _operation_lines(result: "Roofline") -> list[str]:
    lines = ["", f"{'operation':32}{'layer':24}{'count':>6}{'ms':>8}{'step':>7}{'GFLOP/s':>9}{'GB/s':>7}{'roof':>7}"]
    for point in result.points:
        gflops, gigabytes = f"{point.gflops:.0f}", ""
        if result.bound(point) == "memory":
            gflops, gigabytes = "", f"{point.gigabytes_per_second:.0f}"
        lines.append(f"{point.name:32}{point.layer:24}{point.count:6}{1000 * point.seconds:8.2f}{point.total / result.step:7.1%}"
                     f"{gflops:>9}{gigabytes:>7}{result.share(point):7.0%}")
    lines.append(f"{'outside: Python, copies, checks':62}{1000 * result.outside:8.2f}{result.outside / result.step:7.1%}")
    lines.append(f"{'a training step':62}{1000 * result.step:8.2f}{1:7.0%}")
    return [*lines, "", *textwrap.wrap(
        f"Roof: the lower of {result.sgemm:.0f} GFLOP/s (NumPy's 2048x2048 product) and {result.copy:.1f} GB/s (memory copied) "
        "times FLOP a byte. Operations that memory bounds show GB/s, the others GFLOP/s. Above 100 %: the arrays were in a cache, "
        f"or Winograd's convolutions (3x3, stride 1) did with {SAVING[result.task.precision]} of the multiplications, and those of "
        "2x2 maps without the products with zeros, all of which are counted"
        + ("." if result.task.precision == "float32" else "; and the roof is that of float32, which bf16 may pass."),
        WIDTH)]
