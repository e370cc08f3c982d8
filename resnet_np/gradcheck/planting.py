"""The checker, checked: every bug of mutants.py is planted into a copy of the package, one in a copy, and must be caught.

A bug that nothing catches is a hole in the checks. The text of a bug must occur in its file exactly once, and the copy without
any bug must pass the same checks. They run in a process of their own, which imports the copy, so that neither this process nor the
installed package ever sees a bug.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import resnet_np
from resnet_np import backend
from resnet_np.errors import GradientError
from resnet_np.gradcheck import rules, table
from resnet_np.gradcheck.mutants import MUTANTS, Mutant

PACKAGE = Path(resnet_np.__file__).parent
BACKENDS = ("numpy", "numba")  # that bugs are planted for
PROCESSES = min(4, os.cpu_count() or 1)  # at a time, each with a copy of its own: they compile most of the time, on one core
PATIENCE = 600  # seconds for one process


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: the check that caught it and its words, or "" if it survived."""

    mutant: Mutant
    caught_by: str
    message: str
    cause: str

    def to_json(self) -> dict[str, Any]:
        return {"bug": self.mutant.bug, "title": self.mutant.title, "file": self.mutant.file, "backend": self.mutant.backend,
                "caught_by": self.caught_by, "message": self.message, "cause": self.cause}


def verdicts() -> Iterator[Verdict]:
    """Plant every bug, several at a time -> what became of each, in order.

    Raises GradientError if the copy without a bug fails, or a text is not there exactly once.
    """
    ordered = sorted(MUTANTS, key=lambda mutant: BACKENDS.index(mutant.backend))
    copies: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="resnet_np-mutants-") as folder, ThreadPoolExecutor(PROCESSES) as pool:
        for number in range(PROCESSES):
            copy = Path(folder) / str(number) / PACKAGE.name
            shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
            copies.put(copy)
        try:
            sound = pool.map(partial(_check_without_a_bug, copies), BACKENDS)
            found = pool.map(partial(_verdict, copies), ordered)
            list(sound)  # raises, where a verdict would mean nothing
            yield from found
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_of(copies: "SimpleQueue[Path]") -> Iterator[Path]:
    """A copy that no other thread works on."""
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def _check_without_a_bug(copies: "SimpleQueue[Path]", name: str) -> None:
    checks = tuple(sorted({check for mutant in MUTANTS if mutant.backend == name for check in mutant.checks}))
    with _one_of(copies) as copy:
        if found := _run(copy, name, checks):
            raise GradientError(f"gradcheck: the copy without a bug fails on {name}: {found['caught_by']}: {found['message']}")


def _verdict(copies: "SimpleQueue[Path]", mutant: Mutant) -> Verdict:
    with _one_of(copies) as copy, _planted(mutant, copy / mutant.file):
        found = _run(copy, mutant.backend, mutant.checks) or {"caught_by": "", "message": "", "cause": ""}
    return Verdict(mutant, found["caught_by"], found["message"], found["cause"])


def first_failure(checks: list[str]) -> dict[str, str] | None:
    """Run the subjects and rules whose names begin with one of `checks` -> the first that fails: caught_by, message, cause."""
    for subject in table.subjects():
        if subject.name.startswith(tuple(checks)):
            row = table.run(subject)
            if row.failure:
                return {"caught_by": subject.name, "message": row.failure, "cause": row.failure.partition("; ")[2]}
            if not row.passes:
                return {"caught_by": subject.name, "message": row.worst.describe(row.bar), "cause": row.worst.cause}
    for rule in rules.RULES:
        if rules.name_of(rule).startswith(tuple(checks)) and (message := rules.broken(rule)):
            return {"caught_by": rules.name_of(rule), "message": message, "cause": message.partition("; ")[2]}
    return None


@contextmanager
def _planted(mutant: Mutant, path: Path) -> Iterator[None]:
    """Replace the mutant's text in a file, and put it back; its time too, by which Numba knows what it has compiled."""
    before, stat = path.read_bytes(), path.stat()
    text = before.decode()
    if (count := text.count(mutant.old)) != 1:
        raise GradientError(f"gradcheck: the text of bug {mutant.bug} ({mutant.title}) occurs {count} times in {mutant.file}, "
                            "expected once: the source has moved on, mend resnet_np/gradcheck/mutants.py")
    path.write_bytes(text.replace(mutant.old, mutant.new).encode())
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


PROBE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import resnet_np
assert resnet_np.__file__.startswith(sys.argv[1]), resnet_np.__file__
from resnet_np.gradcheck.planting import first_failure
print(json.dumps(first_failure(sys.argv[2:])))
"""


def _run(copy: Path, name: str, checks: tuple[str, ...]) -> dict[str, str] | None:
    environment = os.environ | {"PYTHONPATH": str(copy.parent), backend.VARIABLE: name, "PYTHONDONTWRITEBYTECODE": "1",
                                "NUMBA_CACHE_DIR": str(copy.parent / "cache"),
                                "NUMBA_OPT": "0"}  # a bug is one whether optimised or not, and compiling takes half the time
    command = [sys.executable, "-c", PROBE, str(copy), *checks]
    process = subprocess.run(command, env=environment, cwd=copy.parent, capture_output=True, text=True, timeout=PATIENCE)
    if process.returncode:
        last = (process.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return {"caught_by": "the process itself", "message": last, "cause": ""}
    return json.loads(process.stdout.splitlines()[-1])
