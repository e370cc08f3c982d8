"""The folder of a run.

config.json     the recipe                        metrics.jsonl  a line an epoch
last.npz        to resume from, from step 0 on    previous.npz   the last.npz before it, should that be damaged
best.npz        what validation kept              curves.png     loss and accuracy, redrawn every epoch
result.json     the outcome, at the end           .lock          while a run is at work
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resnet_np.errors import CheckpointError, InputError
from resnet_np.models import Checkpoint, load_checkpoint
from resnet_np.models.checkpoint import write_atomically


class RunFolder:
    """Names and files of one run. `open` decides whether the folder may be used, and keeps others out of it meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.metrics = path / "config.json", path / "metrics.jsonl"
        self.last, self.previous, self.best = path / "last.npz", path / "previous.npz", path / "best.npz"
        self.result, self.curves = path / "result.json", path / "curves.png"

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, *, resume: bool) -> Iterator["RunFolder"]:
        """Make the folder, or find the run to resume, and lock it inside the `with` block. A run that never began leaves no folder.

        Raises InputError if that would overwrite a run, if there is none, or if another process is at work in the folder, and
        CheckpointError if nothing can be written there.
        """
        folder = cls(path)
        if resume and not folder.holds_run():
            raise InputError(f"--resume: there is no run in {path} (no last.npz); check --out, or leave --resume out to start one")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"--out: the folder {path} cannot be made: {error.strerror or error}") from error
        with folder._locked():
            if not resume and folder.holds_run():
                raise InputError(f"--out: {path} holds a run already; go on with it (--resume), or choose another folder")
            for left_over in path.glob(".*.tmp"):  # of a write that a kill cut short
                left_over.unlink(missing_ok=True)
            yield folder

    @staticmethod
    def fresh(root: Path, name: str) -> Path:
        """root/name, or root/name-2, -3 ... : the first that does not exist."""
        number = 1
        while (path := root / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        return path

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.path / ".lock")  # the operating system's lock: it ends with its process, however that ends
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise InputError(f"--out: another run is at work in {self.path}; wait for its end, or choose another folder") from error
        except OSError as error:
            raise CheckpointError(f"--out: nothing can be written in the folder {self.path}: {error.strerror or error}") from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(lock.lock_file)  # while it is held: whoever opened it meanwhile sees that it has no name any more
                self.path.rmdir()  # fails if the run began
            lock.release()

    def holds_run(self) -> bool:
        """Whether there is something to resume; a kill while last.npz is replaced leaves previous.npz alone."""
        return os.path.isfile(self.last) or os.path.isfile(self.previous)

    def newest(self) -> tuple[Path, Checkpoint]:
        """last.npz, or previous.npz where that is missing or damaged. Raises CheckpointError if neither can be read."""
        try:
            return self.last, load_checkpoint(self.last)
        except CheckpointError as error:
            if not os.path.isfile(self.previous):
                raise
            try:
                return self.previous, load_checkpoint(self.previous)
            except CheckpointError as other:
                raise CheckpointError(f"{error}; and so is the one before it: {other}") from other

    def write_json(self, path: Path, values: dict[str, Any]) -> None:
        text = json.dumps(values, indent=2) + "\n"
        write_atomically(path, lambda stream: stream.write(text.encode()))

    def write_metrics(self, records: list[dict[str, Any]]) -> None:
        """All epochs so far, written whole: after a resume the lines beyond the checkpoint are gone."""
        text = "".join(json.dumps(record) + "\n" for record in records)
        write_atomically(self.metrics, lambda stream: stream.write(text.encode()))

    def read_config(self) -> dict[str, Any]:
        """Raises CheckpointError if it is missing or damaged."""
        try:
            values = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.config} cannot be read ({error}); a run folder needs it to be resumed") from error
        if not isinstance(values, dict):
            raise CheckpointError(f"{self.config}: expected a JSON object, got {type(values).__name__}")
        return values
