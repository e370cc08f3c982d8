"""README's two commands, as a newcomer types them: `python .ci/newcomer.py PYTHON [PYTHON ...]`, from .ci/run.

Each command is run by each interpreter, in a fresh clone and a fresh environment of its own, with nothing installed before, no
../shared beside it and an empty cache. The first is stopped with Ctrl-C once its first epoch is done; the second runs to its end.
--sdist PYTHON: that one gets the sdist, unpacked, in place of a clone for its second command. An interpreter that is not on the
machine is skipped with a line. The exit code is 1 if a command failed. Standard library only: nothing is installed yet.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What this process may have been given, and a newcomer has not.
NOT_HERS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "COVERAGE_FILE")
SECONDS = 1800  # after which a command hangs


def two_commands():
    """The lines of README's first block."""
    block = re.search(r"```\n(.*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = block.group(1).splitlines() if block else []
    if len(lines) != 2:
        sys.exit(f"README.md: expected two commands in its first block, got {lines}")
    return lines


def found(version):
    """The interpreter `3.12`, on $PATH or of pyenv; None where it is missing."""
    places = [shutil.which(f"python{version}"), *sorted(map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")))]
    for place in filter(None, places):  # pyenv's shims stand for versions that are not chosen, too
        if subprocess.run([place, "-c", ""], capture_output=True).returncode == 0:
            return place
    return None


def environment(folder, python):
    """A fresh virtual environment, as `. venv/bin/activate` would leave the shell."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    kept = {name: value for name, value in os.environ.items() if name not in NOT_HERS and not name.startswith("RESNET_NP_")}
    return kept | {"PATH": f"{folder / 'venv' / 'bin'}{os.pathsep}{kept['PATH']}", "VIRTUAL_ENV": str(folder / "venv"),
                   "XDG_CACHE_HOME": str(folder / "cache"), "PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"),
                   "PYTHONUNBUFFERED": "1"}


def clone(folder):
    subprocess.run(["git", "-c", f"safe.directory={ROOT}", "clone", "--quiet", f"file://{ROOT}", folder / "resnet_np"], check=True)


def unpacked_sdist(folder, python):
    """The sdist, as `python -m build` makes it of a clone, unpacked."""
    clone(folder / "source")
    subprocess.run([python, "-m", "venv", folder / "builder"], check=True)
    builder = folder / "builder" / "bin" / "python"
    subprocess.run([builder, "-m", "pip", "install", "--quiet", "build"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([builder, "-m", "build", "--sdist", "--outdir", folder, folder / "source" / "resnet_np"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    next((folder / "unpacked").iterdir()).rename(folder / "resnet_np")


@contextlib.contextmanager
def shell(command, folder, python):
    """The command in a shell of its own, its output a pipe; whatever happens, it does not outlive the `with` block."""
    process = subprocess.Popen(["bash", "-c", command], cwd=folder / "resnet_np", env=environment(folder, python), text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def end():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    hangs = threading.Timer(SECONDS, end)
    hangs.start()
    try:
        yield process
    finally:
        hangs.cancel()
        end()


def first(command, folder, python):
    """Whether the first command trains an epoch, and then saves and leaves at Ctrl-C."""
    clone(folder)
    lines, interrupted = [], False
    with shell(command, folder, python) as process:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("epoch") and not interrupted:
                interrupted = True
                os.killpg(process.pid, signal.SIGINT)
        code = process.wait()
    good = interrupted and code == 130 and any(line.startswith("stopped    the run is saved") for line in lines)
    shown = [line for line in lines if line.startswith(("data", "forecast", "epoch", "stopped"))] if good else lines[-60:]
    print("".join(f"    {line}" for line in shown), end="")
    return good


def second(command, folder, python, sdist):
    """Whether the second command ends green."""
    unpacked_sdist(folder, python) if sdist else clone(folder)
    with shell(command, folder, python) as process:
        lines = process.stdout.read().splitlines()
        good = process.wait() == 0 and re.search(r"\d+ passed", lines[-1] if lines else "") is not None
    print("\n".join(f"    {line}" for line in (lines[-1:] if good else lines[-120:])))
    return good


def main():
    parser = argparse.ArgumentParser(description="README's two commands, as a newcomer types them.")
    parser.add_argument("versions", nargs="+", metavar="PYTHON", help="3.11 ...")
    parser.add_argument("--sdist", metavar="PYTHON", help="the one whose tests run in an unpacked sdist")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it, and so would its children
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # .ci/run has failed elsewhere: take the commands along
    bad = []
    for version in options.versions:
        python = found(version)
        if python is None:
            print(f"Python {version}: skipped, it is not on this machine", flush=True)
            continue
        for number, command in enumerate(two_commands(), 1):
            sdist = number == 2 and version == options.sdist
            with tempfile.TemporaryDirectory(prefix="newcomer-") as name:
                start = time.monotonic()
                good = first(command, Path(name), python) if number == 1 else second(command, Path(name), python, sdist)
                what = f"Python {version}{', from the sdist' * sdist}: {command}: {'ok' if good else 'FAILED'}"
                print(f"{what}, {time.monotonic() - start:.0f} s", flush=True)
                bad += [] if good else [what]
    print("\n".join(bad) or "every command of README ends well", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
