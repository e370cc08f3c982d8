"""No arrow climbs: every import of the packages, read with `ast` and held against the floors of CONTRIBUTING.md."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import resnet_np

pytestmark = pytest.mark.nojit

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("resnet_np", "data_tools")
COMPILER = ("numba", "llvmlite")  # only resnet_np.kernels may import it: whoever is first must choose how threads wait

# The floor of each entry of the folder resnet_np/. The package itself ("") holds the version only and is the ground.
FLOORS = {
    "": 0, "errors": 0, "backend": 0, "workspace": 0, "safe_pickle": 0, "fonts": 0, "console": 0, "words": 0, "precision": 0,
    "kernels": 1, "data": 1,
    "functional": 2,
    "layers": 3, "optim": 3,
    "models": 4,
    "training": 5, "viz": 5, "bench": 5, "gradcheck": 5,
    "cli": 6, "doctor": 6, "tutor": 6, "__main__": 6,
}
# Different entries of one floor do not know each other, but for these.
NEIGHBOURS = {
    ("training", "viz"),  # a run draws its own curves
    ("bench", "training"),  # it measures the step that trains
    ("cli", "doctor"), ("cli", "tutor"), ("__main__", "cli"),  # a command calls what it is named after
}
# Modules that may import by a name made at run time. backend.py picks `<kernel folder>.<loops|array|jit>`: the folder
# is the caller's own __name__, so what it imports lies in the folder of the caller, not above it. tutor/checking.py imports
# `notebook_NN` of its own folder, only the one whose exercise is checked.
DYNAMIC = {"resnet_np.backend", "resnet_np.tutor.checking"}


def objections(root):
    """What is wrong with the imports of the packages under `root`, a line each."""
    modules = {name: path for package in PACKAGES for name, path in _modules(root, package)}
    found, arrows = [], {name: set() for name in modules}
    for name, path in modules.items():
        for line, target in _imports(name, path, modules):
            if target is None:
                if name not in DYNAMIC:
                    found.append(f"{name}:{line} imports a module whose name is not a constant")
            elif target.split(".")[0] in COMPILER:
                if not f"{name}.".startswith("resnet_np.kernels."):
                    found.append(f"{name}:{line} imports {target}, which only resnet_np.kernels may")
            elif target != name:
                arrows[name].add(target)
                found += [f"{name}:{line} {fault}" for fault in _faults(name, target)]
    found += [f"{name} has no floor: add it to FLOORS" for name in modules if _floor(name) is None]
    circle = _circle(arrows)
    return found + ([f"circle: {' -> '.join(circle)}"] if circle else [])


def _modules(root, package):
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _imports(name, path, modules):
    """(line, imported module) of every import of ours or of the compiler, at any depth; None where its name is no constant."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    importers = {"import_module", "__import__", "run_module"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("importlib", "runpy"):
            importers |= {alias.asname for alias in node.names if alias.asname and alias.name in importers}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[:len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            # `from package import name` may name a module or something inside the package
            targets = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base for alias in node.names]
        elif isinstance(node, ast.Call) and _called(node.func) in importers:
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            argument = arguments[0] if arguments else None
            constant = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            targets = [argument.value] if constant and not argument.value.startswith(".") else [None]
        else:
            continue
        for target in targets:
            if target is None or target.split(".")[0] in PACKAGES + COMPILER:
                yield node.lineno, target


def _called(function):
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", None)


def _entry(module):
    """The entry of the folder resnet_np/ to which the module belongs."""
    return module.split(".")[1] if "." in module else ""


def _floor(module):
    return 0 if module.split(".")[0] == "data_tools" else FLOORS.get(_entry(module))


def _faults(name, target):
    ours, theirs = (module.split(".")[0] for module in (name, target))
    if (ours, theirs) == ("data_tools", "data_tools"):
        return
    if theirs == "data_tools":
        if _entry(name) != "cli":
            yield f"imports {target}, which only resnet_np.cli may"
        return
    here, there = _floor(name), _floor(target)
    if here is None or there is None:
        return  # reported once, for the module itself; or it does not exist
    if ours == "data_tools":
        if there > 0:
            yield f"imports {target}, but of resnet_np it may know floor 0 only"
    elif there > here:
        yield f"climbs from floor {here} to {target} on floor {there}"
    elif there == here > 0 and _entry(name) != _entry(target) and (_entry(name), _entry(target)) not in NEIGHBOURS:
        yield f"imports {target}, another folder of its own floor {here}"


def _circle(arrows):
    """A circle of modules that starts and ends with its alphabetically first one, or None. Depth first."""
    done = set()

    def visit(module, way):
        if module in way:
            ring = way[way.index(module):]
            first = ring.index(min(ring))
            return [*ring[first:], *ring[:first + 1]]
        if module not in done:
            for target in sorted(arrows.get(module, ())):
                ring = visit(target, [*way, module])
                if ring:
                    return ring
            done.add(module)
        return None

    return next(filter(None, (visit(module, []) for module in sorted(arrows))), None)


def test_no_arrow_climbs():
    assert (ROOT / "resnet_np" / "errors.py").is_file()
    assert objections(ROOT) == []


def build(root, files):
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


GOOD = {
    "resnet_np/__init__.py": "__version__ = '0'",
    "resnet_np/errors.py": "",
    "resnet_np/backend.py": "import importlib\nimportlib.import_module(f'{package}.jit')",
    "resnet_np/kernels/__init__.py": "",
    "resnet_np/kernels/conv/__init__.py": "from resnet_np.backend import kernels\nfrom numba import prange",
    "resnet_np/functional/__init__.py": "from resnet_np.functional.conv2d import conv2d_forward",
    "resnet_np/functional/parameter.py": "",
    "resnet_np/functional/conv2d.py": "from resnet_np.functional.parameter import Parameter\n"
                                      "from resnet_np.kernels import conv",
    "resnet_np/layers/conv.py": "from resnet_np.functional import conv2d\nimport numpy, importlib",
    "resnet_np/optim/sgd.py": "",
    "resnet_np/viz/curves.py": "def curves():\n    import matplotlib",
    "resnet_np/training/loop.py": "from resnet_np.viz.curves import curves\nfrom ..layers import conv",
    "resnet_np/cli/__init__.py": "def main():\n    from resnet_np.training import loop\n    import data_tools.cifar",
    "data_tools/__init__.py": "from .cifar import read",
    "data_tools/cifar.py": "from resnet_np.errors import DataError",
}


def test_checker_accepts_a_good_tree(tmp_path):
    build(tmp_path, GOOD)
    assert objections(tmp_path) == []


JIT, RELU, LOOP = "resnet_np/kernels/conv/jit.py", "resnet_np/layers/relu.py", "resnet_np/training/loop.py"


@pytest.mark.parametrize(("path", "text", "expected"), [
    (JIT, "import resnet_np.layers.conv", "climbs from floor 1 to resnet_np.layers.conv"),
    (JIT, "from resnet_np.functional.conv2d import x", "climbs from floor 1"),
    (JIT, "from resnet_np import functional", "climbs from floor 1 to resnet_np.functional"),
    (JIT, "from ...functional import conv2d", "climbs from floor 1 to resnet_np.functional.conv2d"),
    (JIT, "from ... import functional", "climbs from floor 1 to resnet_np.functional"),
    (RELU, "def f():\n    if True:\n        from resnet_np.training import loop", "relu:3 climbs from floor 3"),
    (RELU, "class A:\n    import resnet_np.cli", "relu:2 climbs from floor 3"),
    (RELU, "import importlib\nimportlib.import_module('resnet_np.models')", "climbs from floor 3"),
    (RELU, "from importlib import import_module as get\nget('resnet_np.cli')", "climbs from floor 3"),
    (RELU, "from importlib import import_module\nimport_module(name='resnet_np.cli')", "climbs from floor 3"),
    (RELU, "__import__('resnet_np.training.loop')", "climbs from floor 3"),
    (RELU, "import importlib\nimportlib.import_module(name)", "relu:2 imports a module whose name is not"),
    (RELU, "import importlib\nimportlib.import_module(f'resnet_np.{name}')", "whose name is not"),
    (RELU, "import importlib\nimportlib.import_module('.conv', __package__)", "whose name is not"),
    (RELU, "import resnet_np.optim.sgd", "another folder of its own floor 3"),
    ("resnet_np/viz/curves.py", "import resnet_np.training.loop", "another folder of its own floor 5"),
    ("resnet_np/errors.py", "import resnet_np.kernels.conv", "climbs from floor 0"),
    ("resnet_np/__init__.py", "from resnet_np.cli import main", "climbs from floor 0"),
    ("resnet_np/helpers.py", "", "resnet_np.helpers has no floor"),
    (LOOP, "def threads():\n    import numba", "loop:2 imports numba, which only resnet_np.kernels may"),
    ("resnet_np/bench/peer.py", "from llvmlite import ir", "imports llvmlite, which only resnet_np.kernels may"),
    ("data_tools/cifar.py", "from numba.core import config", "imports numba.core, which only resnet_np.kernels may"),
    (LOOP, "import data_tools", "which only resnet_np.cli may"),
    ("data_tools/cifar.py", "from resnet_np.data import split\nfrom resnet_np import kernels", "floor 0 only"),
    ("data_tools/cifar.py", "import data_tools", "circle: data_tools -> data_tools.cifar -> data_tools"),
    ("resnet_np/functional/parameter.py", "from resnet_np.functional import conv2d",
     "circle: resnet_np.functional.conv2d -> resnet_np.functional.parameter -> resnet_np.functional.conv2d"),
    ("resnet_np/functional/conv2d.py", "from resnet_np.functional import Parameter",
     "circle: resnet_np.functional -> resnet_np.functional.conv2d -> resnet_np.functional"),
    ("resnet_np/errors.py", "def f():\n    import resnet_np.backend as b",
     "circle: resnet_np.backend -> resnet_np.errors -> resnet_np.backend"),
])
def test_checker_objects(tmp_path, path, text, expected):
    files = GOOD | {"resnet_np/backend.py": GOOD["resnet_np/backend.py"] + "\nimport resnet_np.errors", path: text}
    build(tmp_path, files)
    found = objections(tmp_path)
    assert any(expected in line for line in found), found


@pytest.mark.parametrize("code", [
    "import resnet_np.cli",
    "from resnet_np.cli import main\nsys.argv = ['resnet-np', '--help']\ntry:\n    main()\nexcept SystemExit as stop:\n"
    "    assert not stop.code, stop.code",
])
def test_help_is_quick(tmp_path, code):
    """`resnet-np --help` must not wait for Numba or matplotlib."""
    report = "\nprint('LOADED', *{'numba', 'matplotlib'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(Path(resnet_np.__file__).parents[1])}
    process = subprocess.run([sys.executable, "-c", f"import sys\n{code}{report}"], cwd=tmp_path, env=environment,
                             capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1].split() == ["LOADED"]
