"""Make the notebooks from their sources: `python tutorials/build.py [NAME ...]`, all of them without a name.

A source is a jupytext percent script, `NN_name.py`; the notebook `NN_name.ipynb` beside it is executed, top to bottom, by the
Python that runs this file, and stripped of whatever changes from one build to the next. `--check` executes nothing: it says
which notebooks are out of step with their sources. `--handout FOLDER` writes them there for a
class: without outputs, without solutions.

The translations in zh/ are not executed: `python tutorials/build.py zh` takes their text from `zh/NN_name.py`, and their code and
outputs, which are the same in both languages, from `NN_name.ipynb`.
"""

import argparse
import base64
import io
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

try:
    import jupytext
    import nbformat
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
except ImportError as error:
    sys.exit(f'build: {error.name} is not installed; install it with: python -m pip install ".[tutorials]"')

FOLDER = Path(__file__).resolve().parent
LIMIT = 90  # seconds that a notebook may take
LARGEST = 1_000_000  # bytes of a notebook
LARGE_PICTURE = 60_000  # bytes
# What must not stand in an output: paths of this machine, and addresses in memory.
PRIVATE = re.compile(r"(?<![\w.<])/(?:home|root|opt|tmp|usr|var|work|mnt|Users|private)/\w|\b[A-Z]:\\\\?\w|\bat 0x[0-9a-f]{6,}")
# A line of a paragraph that ends in Chinese and goes on in Chinese: a browser would show the line break as a blank.
BROKEN = re.compile(r"^(?!#)(.*[\u3000-\u9fff\uff00-\uffef])\n *(?=[\u3000-\u9fff\uff00-\uffef])", re.MULTILINE)


class ThisPython(KernelSpecManager):
    """Whatever kernel is asked for: the Python that runs now."""

    def get_kernel_spec(self, kernel_name):
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=40"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


class BuildError(Exception):
    """One line for the author."""


def sources():
    """Every source, the translations after the originals."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py")) + sorted(FOLDER.glob("zh/[0-9][0-9]_*.py"))


def original(source):
    """The source that this one translates, or None."""
    return FOLDER / source.name if source.parent != FOLDER else None


def short(path):
    """01_convolution, zh/01_convolution."""
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def convert(source):
    """The source as a notebook that has not run."""
    notebook = jupytext.read(source, fmt="py:percent")
    for i, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{i}", nbformat.NotebookNode()
        if cell.cell_type == "markdown":
            cell.source = BROKEN.sub(r"\1", cell.source)
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook, folder, *, limit=LIMIT):
    """Run every cell, in order, in `folder`. -> seconds. Raises BuildError on the first that fails, and after `limit` seconds."""
    start = time.perf_counter()

    def left(cell):  # at least 1: to nbclient 0 means "no limit"
        return max(1, limit - (time.perf_counter() - start))

    running = "its start"

    def note(cell, cell_index):  # called before the cell runs: the last words of a Python that dies may not arrive
        nonlocal running
        running = f"cell {cell_index} ({cell.source.strip().splitlines()[0].strip()[:60]!r})"

    manager = AsyncKernelManager(kernel_spec_manager=ThisPython())
    client = NotebookClient(notebook, km=manager, timeout_func=left, record_timing=False, shutdown_kernel="immediate",
                            resources={"metadata": {"path": folder}}, on_cell_execute=note)
    with tempfile.TemporaryDirectory() as profile:
        # a profile of its own: the author's IPython settings decide nothing
        environment = {key: value for key, value in os.environ.items() if key not in ("MPLBACKEND", "RESNET_NP_DATA")}
        environment |= {"IPYTHONDIR": profile, "OMP_WAIT_POLICY": "passive", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        try:
            client.execute(env=environment, cleanup_kc=True)  # end the kernel, however this goes
        except CellExecutionError as error:
            print(re.sub(r"\x1b\[[0-9;]*m", "", error.traceback), file=sys.stderr)
            raise BuildError(f"{running} raised {error.ename}: {error.evalue}") from None
        except CellTimeoutError:
            raise BuildError(f"{running} was still running when the notebook's {limit} s were over") from None
        except DeadKernelError:
            raise BuildError(f"{running}: its Python died") from None
    return time.perf_counter() - start


def tidy(notebook):
    """Join what was printed in pieces, make pictures small, drop what changes from build to build."""
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
        if cell.cell_type != "code":
            continue
        outputs = []
        for output in cell.outputs:
            if output.output_type == "stream" and outputs and outputs[-1].get("name") == output.name:
                outputs[-1].text += output.text
                continue
            if "data" in output:
                output.metadata = nbformat.NotebookNode()
                if "image/png" in output.data:
                    output.data["image/png"] = _smaller(output.data["image/png"])
            outputs.append(output)
        cell.outputs = outputs


def _smaller(text):
    from PIL import Image

    picture, best = Image.open(io.BytesIO(base64.b64decode(text))), base64.b64decode(text)
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A") if "A" in picture.getbands() else None)
    for candidate in (flat, flat.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)):
        if candidate.mode == "P" and len(best) <= LARGE_PICTURE:
            break  # 256 colours only where they are needed
        file = io.BytesIO()
        candidate.save(file, "PNG", optimize=True)
        best = min(best, file.getvalue(), key=len)
    return base64.b64encode(best).decode()


def faults(path):
    """What must not be in a committed notebook: errors, warnings, paths of this machine, too many bytes. A line each."""
    found = []
    if path.stat().st_size > LARGEST:
        found.append(f"it has {path.stat().st_size:,} bytes, more than {LARGEST:,}")
    for i, cell in enumerate(nbformat.read(path, as_version=4).cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                found.append(f"cell {i} ends in {output.ename}: {output.evalue}")
                continue
            data = {"text/plain": output.text} if output.output_type == "stream" else output.data
            if output.get("name") == "stderr":
                found.append(f"cell {i} writes to stderr: {output.text.strip()[:200]!r}")
            private = [PRIVATE.search(text) for kind, text in data.items() if kind.startswith("text/")]
            found += [f"cell {i} shows {match[0]!r}..., which is this machine's" for match in private if match]
            size = len(data.get("image/png", "")) * 3 // 4
            if size > 2 * LARGE_PICTURE:
                found.append(f"cell {i} draws a picture of {size:,} bytes, more than {2 * LARGE_PICTURE:,}")
    return found


def out_of_step(source):
    """Why the notebook does not belong to its source, or None."""
    made = source.with_suffix(".ipynb")
    if not made.is_file():
        return "there is no notebook"
    new, old = convert(source).cells, nbformat.read(made, as_version=4).cells
    for i, (ours, theirs) in enumerate(zip(new, old, strict=False)):
        if (ours.cell_type, ours.source) != (theirs.cell_type, theirs.source):
            return f"cell {i} differs: {ours.source.splitlines()[0][:70]!r}" if ours.source else f"cell {i} differs"
    if len(new) != len(old):
        return f"the source has {len(new)} cells, the notebook {len(old)}"
    if any(cell.cell_type == "code" and cell.execution_count is None for cell in old):
        return "it has not been executed"
    if original(source):
        try:
            if translated(source).cells != old:
                return f"its outputs are not those of {short(original(source))}.ipynb"
        except BuildError as error:
            return str(error)
    return None


def translated(source):
    """The text of a translation with the code and outputs of the original's notebook. Raises BuildError if their cells differ."""
    first = original(source)
    if not first.is_file():
        raise BuildError(f"it translates {first.name}, which does not exist")
    reason = out_of_step(first)
    if reason:
        raise BuildError(f"{short(first)} comes first ({reason})")
    notebook, executed = convert(source), nbformat.read(first.with_suffix(".ipynb"), as_version=4)
    if len(notebook.cells) != len(executed.cells):
        raise BuildError(f"it has {len(notebook.cells)} cells, {short(first)} has {len(executed.cells)}")
    for i, (ours, theirs) in enumerate(zip(notebook.cells, executed.cells, strict=True)):
        if ours.cell_type != theirs.cell_type:
            raise BuildError(f"cell {i} is {ours.cell_type}, in {short(first)} it is {theirs.cell_type}")
        if ours.cell_type == "code":
            if ours.source != theirs.source:
                raise BuildError(f"the code of cell {i} is not that of {short(first)}")
            notebook.cells[i] = theirs
    return notebook


def build(source, limit):
    """Convert, execute, tidy, write. -> a line for the author. Raises BuildError; then the old notebook stays as it was."""
    if original(source):
        notebook, took = translated(source), "not executed"
    else:
        notebook = convert(source)
        took = f"{execute(notebook, source.parent, limit=limit):.0f} s"
        tidy(notebook)
    nbformat.validate(notebook)
    draft = source.with_suffix(".ipynb.tmp")
    draft.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    found = faults(draft)
    if found:
        draft.unlink()
        raise BuildError("; ".join(found))
    draft.replace(source.with_suffix(".ipynb"))
    return f"{took}, {source.with_suffix('.ipynb').stat().st_size / 1000:.0f} kB"


def hand_out(todo, folder):
    """Write the notebooks without outputs, and what they read, into a new or empty folder. Raises BuildError if it is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BuildError(f"--handout: {folder} exists and is not an empty folder; choose another")
    for source in todo:
        notebook, target = convert(source), folder / f"{short(source)}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    for name in ("recorded", "weights"):
        if (FOLDER / name).is_dir():
            shutil.copytree(FOLDER / name, folder / name)


def chosen(names):
    """The sources that the names mean: 01, 01_convolution, tutorials/01_convolution.py, zh/01_convolution, zh (all of them)."""
    if not names:
        return sources()
    found = []
    for name in names:
        wanted = Path(name).with_suffix("").as_posix().removeprefix("tutorials/")
        match = [path for path in sources() if wanted in (short(path), short(path)[:2])]  # "01", "zh"
        if not match:
            raise BuildError(f"there is no source {name!r}; there are {', '.join(map(short, sources())) or 'none'}")
        found += match
    return found


def main():
    parser = argparse.ArgumentParser(description="Make the notebooks from their sources.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="01_convolution, 01, zh/01_convolution, or zh (default: all)")
    parser.add_argument("--check", action="store_true", help="execute nothing; say which notebooks are out of step")
    parser.add_argument("--handout", type=Path, metavar="FOLDER", help="execute nothing; write notebooks without outputs there")
    parser.add_argument("--limit", type=int, default=LIMIT, metavar="SECONDS",
                        help=f"for a notebook (default: {LIMIT}, which an idle machine keeps to; more where other programs run)")
    options = parser.parse_args()
    failed = 0
    try:
        todo = chosen(options.names)
        if options.handout:
            hand_out(todo, options.handout)
            todo = []
    except BuildError as error:
        sys.exit(f"build: {error}")
    for source in todo:
        try:
            if options.check:
                reason = out_of_step(source)
                if reason:
                    raise BuildError(f"{reason}; run: python tutorials/build.py {short(source)}")
                print(f"{short(source)}: in step")
            else:
                print(f"{short(source)}: {build(source, options.limit)}", flush=True)
        except BuildError as error:
            print(f"{short(source)}: {error}", file=sys.stderr)
            failed += 1
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
