"""The shape of the house: who may import whom, what the package must never do, and what an import costs in modules."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad

PACKAGE = Path(minigrad.__file__).parent
ORDER = [
    "backend",
    "autograd",
    "ops",
    "creation",
    "nn",
    "optim",
    "data",
    "serialization",
    "testing",
    "jit",
    "viz",
    "__init__",
    "__main__",
]
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """(absolute module, names) of each import that runs, those for type checkers left out."""
    package = ("minigrad", *path.relative_to(PACKAGE).parts[:-1])
    found = []

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found.append((module, [alias.name for alias in node.names]))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def rooms_used(path):
    for module, names in imports(path):
        parts = module.split(".")
        if parts[0] == "minigrad":
            yield from ([parts[1]] if len(parts) > 1 else [name for name in names if name in ORDER])


def test_every_room_is_in_the_order():
    assert {room(path) for path in FILES} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_rooms_above_its_own(path):
    own = room(path)
    below = [used for used in rooms_used(path) if used != own and ORDER.index(used) > ORDER.index(own)]
    assert not below, f"{own} imports {below}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_backend_imports_numpy_or_cupy(path):
    libraries = {module.split(".")[0] for module, _ in imports(path)}
    allowed = {"numpy", "cupy"} if room(path) == "backend" else set()
    assert not libraries & {"numpy", "cupy"} - allowed


def test_nothing_unpickles_or_evaluates():
    for path in FILES:
        # replay runs the text of a step, which it makes itself, of fixed forms and of literals
        refused = {"eval", "__import__"} if room(path) == "jit" else {"eval", "exec", "__import__"}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in refused, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
        assert not {"pickle", "marshal", "shelve", "dill"} & {module.split(".")[0] for module, _ in imports(path)}


def test_importing_minigrad_brings_numpy_and_little_else():
    program = "import sys, minigrad; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not loaded & {"cupy", "torch", "torchvision", "matplotlib", "tqdm", "hypothesis", "gzip", "http"}


def public(body):
    """The public functions and classes of a module or a class, and those in its classes; setters left out."""
    for node in body:
        setter = any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in getattr(node, "decorator_list", []))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not (setter or node.name.startswith("_")):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from public(node.body)


def test_public_names_have_docstrings():
    described_above = {"forward", "extra_repr", "update", "check"}  # methods that a class above describes
    missing = [
        f"{path.name}: {node.name}"
        for path in FILES
        for node in public(ast.parse(path.read_text()).body)
        if ast.get_docstring(node) is None and node.name not in described_above
    ]
    assert not missing
