"""README's two commands, as a newcomer types them: `python .ci/newcomer.py PYTHON [PYTHON ...]`, from .ci/run.

Each command is run by the first interpreter in a fresh clone and a fresh environment of its own, with nothing installed before, no
../shared beside it and an empty cache. The first is stopped with Ctrl-C once its first epoch is done; the second runs to its end.
Every other interpreter does it all in one place: the first command's installation, behind which a net must be built, then the
second command, and then the training of the first, which must find all kernels among those that the tests have compiled.
--sdist PYTHON: that one, or else the last that is here, gets the sdist, unpacked, in place of a clone for its second command.
--keep FOLDER: what the first interpreter's second command leaves stays there, its clone `resnet_np` with compiled kernels and its
environment `venv`; an empty file `done` says that the command has ended well. An interpreter that is not on the machine is skipped
with a line. The exit code is 1 if a command failed, or none was run. Standard library only: nothing is installed yet.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What this process may have been given, and a newcomer has not.
NOT_HERS = ("PYTHON", "PYTEST", "COVERAGE", "NUMBA_", "OMP_", "GOMP_", "KMP_", "MPL", "RESNET_NP_", "VIRTUAL_ENV")
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


def prepare(*command):
    """Run it quietly; its last words are in the error that is raised where it fails."""
    process = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if process.returncode:
        raise Failed(f"{' '.join(process.args)}: " + (process.stdout + process.stderr)[-3000:])


class Failed(Exception):
    """What comes before a command could not be done."""


def environment(folder, python):
    """A fresh virtual environment, as `. venv/bin/activate` would leave the shell."""
    prepare(python, "-m", "venv", folder / "venv")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_HERS)}
    return kept | {"PATH": f"{folder / 'venv' / 'bin'}{os.pathsep}{kept['PATH']}", "VIRTUAL_ENV": str(folder / "venv"),
                   "XDG_CACHE_HOME": str(folder / "cache"), "PIP_CACHE_DIR": str(Path.home() / ".cache" / "pip"),
                   "PYTHONUNBUFFERED": "1"}


def clone(folder):
    """A clone of what is committed; whoever may own the repository."""
    pack = f"git -c safe.directory={shlex.quote(str(ROOT / '.git'))} upload-pack"
    prepare("git", "clone", "--quiet", "--upload-pack", pack, f"file://{ROOT}", folder / "resnet_np")


def unpacked_sdist(folder, python):
    """The sdist, as `python -m build` makes it of a clone, unpacked."""
    clone(folder / "source")
    prepare(python, "-m", "venv", folder / "builder")
    builder = folder / "builder" / "bin" / "python"
    prepare(builder, "-m", "pip", "install", "build")
    prepare(builder, "-m", "build", "--sdist", "--outdir", folder, folder / "source" / "resnet_np")
    (folder / "unpacked").mkdir()
    prepare("tar", "-xf", next(folder.glob("*.tar.gz")), "-C", folder / "unpacked")
    next((folder / "unpacked").iterdir()).rename(folder / "resnet_np")


def ready(python, sdist, keep):
    """A folder with a clone, or the unpacked sdist, and an environment beside it: what a newcomer has before she types.

    keep: the folder, where it must stay; None for a temporary one.
    """
    if keep:
        keep.mkdir(parents=True)
        place = contextlib.nullcontext(keep)
    else:
        place = tempfile.TemporaryDirectory(prefix="newcomer-", ignore_cleanup_errors=True)
    folder = keep or Path(place.name)
    unpacked_sdist(folder, python) if sdist else clone(folder)
    return place, environment(folder, python)


@contextlib.contextmanager
def shell(command, folder, variables):
    """The command in a shell of its own, its output a pipe; whatever happens, it does not outlive the `with` block."""
    process = subprocess.Popen(["bash", "-c", command], cwd=folder / "resnet_np", env=variables, text=True,
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
        process.wait()


def trains(process, warm=False):
    """Whether an epoch is trained, kernels compiled but where they are warm, and the run saved when it is left with Ctrl-C."""
    lines, interrupted = [], False
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch") and not interrupted:
            interrupted = True
            os.killpg(process.pid, signal.SIGINT)
    topics = ("data", *(() if warm else ("compiling",)), "forecast", "epoch", "stopped")
    shown = [line for line in lines if line.startswith((*topics, "compiling"))]
    good = process.wait() == 130 and interrupted and [line.split()[0] for line in shown] == list(topics)
    shown = shown if good else lines[-60:]
    print("".join(f"    {line}" for line in shown), end="")
    return good


def installs(process):
    """Whether it is installed and a net can be built."""
    lines = process.stdout.readlines()
    good = process.wait() == 0 and any("parameters" in line for line in lines)
    print("" if good else "".join(f"    {line}" for line in lines[-60:]), end="")
    return good


def passes(process):
    """Whether the tests end green."""
    lines = process.stdout.read().splitlines()
    good = process.wait() == 0 and re.search(r"\d+ passed", lines[-1] if lines else "") is not None
    print("\n".join(f"    {line}" for line in (lines[-1:] if good else lines[-120:])))
    return good


def main():
    parser = argparse.ArgumentParser(description="README's two commands, as a newcomer types them.")
    parser.add_argument("versions", nargs="+", metavar="PYTHON", help="3.11 ...")
    parser.add_argument("--sdist", metavar="PYTHON", help="the one whose tests run in an unpacked sdist")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="where the first one's clone and environment stay")
    options = parser.parse_args()
    if options.keep and options.keep.exists():
        parser.error(f"--keep: {options.keep} is there already; give a new folder")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it, and so would its children
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and take the commands along
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout:
        print("There are uncommitted changes: they are not in the clones.", flush=True)
    pythons = {version: python for version in options.versions if (python := found(version))}
    for version in options.versions:
        if version not in pythons:
            print(f"Python {version}: skipped, it is not on this machine", flush=True)
    bad = [] if pythons else ["none of these Pythons is on this machine: nothing was tested"]
    kept = next(iter(pythons), None) if options.keep else None
    others = [version for version in pythons if version != kept]  # what is kept is a clone
    unpacked = options.sdist if options.sdist in others else others[-1] if options.sdist and others else None
    if options.sdist and not unpacked:
        print("The sdist is not tested: it takes a second Python", flush=True)
    train, test = two_commands()
    install, _, training = train.rpartition(" && ")
    newcomer = next(iter(pythons), None)  # who has a place of its own for each command
    jobs = [(version, command) for version in pythons for command in ((train, test) if version == newcomer else (test,))]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # the next one's clone and environment are made while a command runs

        def start(version, command):
            keep = options.keep if (version, command) == (kept, test) else None
            return pool.submit(ready, pythons[version], (version, command) == (unpacked, test), keep)

        def ends_well(what, command, folder, variables, judge):
            begin = time.monotonic()
            with shell(command, folder, variables) as process:
                good = judge(process)
            what = f"Python {what}: {command}: {'ok' if good else 'FAILED'}"
            print(f"{what}, {time.monotonic() - begin:.0f} s", flush=True)
            bad.extend([] if good else [what])
            return good

        ahead = start(*jobs[0]) if jobs else None
        for (version, command), following in zip(jobs, [*jobs[1:], None], strict=True):
            now, ahead = ahead, start(*following) if following else None
            try:
                place, variables = now.result()
            except Failed as error:
                bad.append(f"Python {version}: {command}: could not be prepared")
                print(f"{error}\n{bad[-1]}", flush=True)
                continue
            with place as folder:
                folder = Path(folder)
                if command == train:
                    ends_well(version, train, folder, variables, trains)
                    continue
                what = version + (", from the sdist" if version == unpacked else "")
                if version == newcomer:
                    if ends_well(what, test, folder, variables, passes) and version == kept:
                        (folder / "done").touch()
                    continue
                ends_well(what, f"{install} && resnet-np summary resnet20", folder, variables, installs)
                ends_well(what, test, folder, variables, passes)
                theirs = {"XDG_CACHE_HOME": str(folder / "resnet_np" / ".pytest_cache" / "d" / "user-cache")}  # the tests'
                ends_well(what, training, folder, variables | theirs, functools.partial(trains, warm=True))
    print("\n".join(bad) or "every command of README ends well", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
