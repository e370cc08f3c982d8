"""The parent's end of a worker process.

While one side works the others sleep in a read. Their threads do not go to sleep at once: measured on two cores, an idle team of
GNU OpenMP (PyTorch's) spins for 9 ms after its last loop, OpenBLAS for 110 ms. So PAUSE seconds pass between two sides, and each
side's threads wait as they like best (kernels/threads.py; OMP_WAIT_POLICY=passive would slow down PyTorch).
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from resnet_np import backend
from resnet_np.bench.task import Task
from resnet_np.errors import ResNetNpError
from resnet_np.kernels.threads import users_environment

PAUSE = 0.15  # seconds
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class BenchError(ResNetNpError):
    """A measurement that could not be finished, or that would compare different things."""

    exit_code = 1


class Worker:
    """`with Worker(...) as worker: worker.ask("train", seconds=1)`. The process ends with the block."""

    def __init__(
        self, side: str, task: Task, *, options: Mapping[str, Any] | None = None,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        """environment: variables to set, or with None to unset. The threads of every library are the task's."""
        variables = {**users_environment(), backend.VARIABLE: backend.current(), **dict.fromkeys(THREADS, str(task.threads)),
                     **(environment or {})}
        self._side = side
        self._started = time.perf_counter()
        self._stderr = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "resnet_np.bench.worker"],
            env={name: value for name, value in variables.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
        )
        self._send({"side": side, "task": asdict(task), "options": dict(options or {})})

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def ask(self, request: str, **arguments: Any) -> Any:
        """The worker's answer. Raises BenchError, with the last line that it wrote, if it ended instead."""
        self._send({"do": request, **arguments})
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        status = self._process.wait()
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace").strip() or f"exit status {status}"
        raise BenchError(f"bench: the process of {self._side} failed at {request!r}: {words.splitlines()[-1]}")

    def first_step(self) -> float:
        """Seconds from the start of the process to the end of its first training step."""
        self.ask("step")
        return time.perf_counter() - self._started

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: `ask` reads why
