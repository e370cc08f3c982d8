"""A side in a process of its own: `python -m resnet_np.bench.worker`, started by `resnet_np.bench.process`.

The first JSON line on stdin says which side this is; each further line is a request, answered by one JSON line on stdout:
{"do": "step"}, {"do": "train", "seconds": 1}, {"do": "peak"} ... The end of stdin ends the process.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from resnet_np import backend
from resnet_np.bench import ceiling
from resnet_np.bench.task import Task

Requests = dict[str, Callable[..., Any]]


def peak_rss_mib() -> float | None:
    """The most memory that this process ever held; None where the system does not tell (Windows).

    On Linux from VmHWM: getrusage also counts what the parent held at the moment when it started us.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _timed(side: Any) -> Requests:
    return {
        "step": side.step,
        "warm": lambda: (side.step(), side.infer(), None)[-1],
        "train": lambda seconds: ceiling.bursts(side.step, seconds),
        "infer": lambda seconds: ceiling.bursts(side.infer, seconds),
        **({"peak": side.peak_device_mib} if backend.current() == "cupy" else {}),
    }


def ours(task: Task) -> Requests:
    from resnet_np.bench import operations
    from resnet_np.bench.ours import Ours

    side = Ours(task)
    requests = _timed(side) | {"operations": lambda seconds: operations.measure(side, seconds)}
    if backend.current() == "numba":  # as `resnet-np train` does
        from resnet_np.kernels import compile

        def step() -> None:
            side.step()
            compile.note_warm(task.precision)

        compile.get_help(task.precision)
        requests["step"] = step
    return requests


def torch(task: Task, **options: Any) -> Requests:
    from resnet_np.bench.peer import Peer

    with np.load(options.pop("weights")) as weights:
        return _timed(Peer(task, weights=weights, **options))


def ours_answers(task: Task) -> Requests:
    """Writes the weights that the other side must take over, and our answers with them."""
    from resnet_np.bench.ours import Ours

    def answer(weights: str, float64: str, **single: str) -> dict[str, Any]:
        """single: a file for each precision that is asked for."""
        side = Ours(task)
        np.savez(weights, **side.weights())  # type: ignore[arg-type]
        for precision, path in single.items():
            np.savez(path, **Ours(replace(task, precision=precision)).answers())  # type: ignore[arg-type]
        np.savez(float64, **Ours(task, np.float64).answers())  # type: ignore[arg-type]
        return side.architecture()

    return {"answer": answer}


def torch_answers(task: Task) -> Requests:
    def answer(architecture: dict[str, Any], weights: str, float64: str, bf16: str = "", **float32: str) -> None:
        from resnet_np.bench.peer import Peer

        with np.load(weights) as file:
            arrays = dict(file)
        precise = Peer(task, architecture=architecture, weights=arrays, layout="NCHW", double=True)
        np.savez(float64, **precise.answers())  # type: ignore[arg-type]
        for layout, path in float32.items():
            single = Peer(task, architecture=architecture, weights=arrays, layout=layout)
            np.savez(path, **single.answers())  # type: ignore[arg-type]
        if bf16:
            half = Peer(task, architecture=architecture, weights=arrays, layout="channels_last", bf16=True)
            np.savez(bf16, **half.answers())  # type: ignore[arg-type]

    return {"answer": answer}


def machine(task: Task) -> Requests:
    return {"sgemm": ceiling.sgemm, "copy": lambda seconds: ceiling.copy(seconds, task.threads)}


SIDES = {"ours": ours, "torch": torch, "ours_answers": ours_answers, "torch_answers": torch_answers, "machine": machine}


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends us
    # Answers leave through a copy of stdout; what a library prints goes to stderr.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        setup = json.loads(sys.stdin.readline())
        requests = {"peak": peak_rss_mib} | SIDES[setup["side"]](Task(**setup["task"]), **setup["options"])
        for line in sys.stdin:
            request = json.loads(line)
            answer = requests[request.pop("do")](**request)
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
