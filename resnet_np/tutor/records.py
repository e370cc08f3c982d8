"""Runs that were recorded because they are too long for a notebook: `tutorials/recorded/`."""

import json
from pathlib import Path
from typing import Any

from resnet_np.errors import DataError


def recorded(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read `recorded/<name>.jsonl` beside the notebook (a translation lies one folder deeper).

    -> its first line, which says how it was made (command, machine, seed, date), and the other lines, one a dictionary.
    Raises DataError if there is no such file.
    """
    for folder in (Path("recorded"), Path("..", "recorded"), Path("tutorials", "recorded")):
        file = folder / f"{name}.jsonl"
        if file.is_file():
            about, *records = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
            return about, records
    raise DataError(f"recorded: there is no recorded/{name}.jsonl here; start Jupyter in the folder tutorials/ of the project")
