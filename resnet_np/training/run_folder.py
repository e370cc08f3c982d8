"""The folder of a run.

config.json     the recipe                        metrics.jsonl  a line an epoch
last.npz        to resume from, from step 0 on    best.npz       the best on validation
result.json     the outcome, at the end           curves.png     loss and accuracy, redrawn every epoch
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from resnet_np.errors import CheckpointError, InputError
from resnet_np.models.checkpoint import write_atomically


class RunFolder:
    """Names and files of one run. `open` decides whether the folder may be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.metrics = path / "config.json", path / "metrics.jsonl"
        self.last, self.best = path / "last.npz", path / "best.npz"
        self.result, self.curves = path / "result.json", path / "curves.png"

    @classmethod
    def open(cls, path: Path, *, resume: bool) -> "RunFolder":
        """Make the folder, or find the run to resume. Raises InputError if that would overwrite a run, or there is none."""
        run = cls(path)
        if resume and not run.last.is_file():
            raise InputError(f"--resume: there is no run in {path} (no last.npz); check --out, or leave --resume out to start one")
        if not resume and run.last.exists():
            raise InputError(f"--out: {path} holds a run already; go on with it (--resume), or choose another folder")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"--out: the folder {path} cannot be made: {error.strerror or error}") from error
        for left_over in path.glob(".*.tmp"):  # of a write that a kill cut short
            left_over.unlink(missing_ok=True)
        return run

    @classmethod
    def fresh(cls, root: Path, name: str) -> "RunFolder":
        """root/name, or root/name-2, -3 ... : the first that does not exist."""
        number = 1
        while (path := root / (name if number == 1 else f"{name}-{number}")).exists():
            number += 1
        return cls.open(path, resume=False)

    def discard_if_empty(self) -> None:
        """Remove the folder of a run that never began."""
        with contextlib.suppress(OSError):
            self.path.rmdir()

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
            values = json.loads(self.config.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.config} cannot be read ({error}); a run folder needs it to be resumed") from error
        if not isinstance(values, dict):
            raise CheckpointError(f"{self.config}: expected a JSON object, got {type(values).__name__}")
        return values
