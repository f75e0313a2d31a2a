"""The structure of the package: import order, the reader's path, names, and what an import may load."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad

PACKAGE = Path(minigrad.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A file imports only from rooms before its own; in autograd also only from files before itself.
ORDER = [
    "left_out",
    "files",
    "backend",
    "autograd",
    "ops",
    "creation",
    "generator",
    "legacy_types",
    "composed",
    "nn",
    "optim",
]
ORDER += ["data", "utils", "vision", "accelerator", "backends", "serialization", "testing", "jit", "viz"]
ORDER += ["__init__", "__main__"]
AUTOGRAD = [
    "errors",
    "grad_mode",
    "version_counter",
    "hooks",
    "graph",
    "op_description",
    "indexing",
    "commit",
    "methods",
    "tensor",
    "arguments",
    "op",
    "anomaly_mode",
    "function",
    "functional",
]

# How backprop works: what a reader needs, to the end of the first lesson.
LINES = 800
PATH = {
    "minigrad/ops/arithmetic.py": None,
    "minigrad/autograd/graph.py": None,
    "minigrad/autograd/op.py": None,
    "minigrad/autograd/tensor.py": [
        *("Tensor.__init__", "Tensor.backward"),
        *("wrap", "initial_gradient", "differentiate", "accumulate_grad", "copied_like"),
    ],
    "minigrad/ops/linear_algebra.py": ["linear", "as_rows"],
    "minigrad/ops/activation.py": ["relu"],
    "minigrad/ops/loss.py": ["softmax_cross_entropy"],
    "minigrad/nn/layers.py": ["Linear"],
    "minigrad/nn/module.py": ["Parameter", "Module.parameters", "Module.named_parameters"],
    "minigrad/optim/optimizers.py": ["SGD", "Optimizer.step", "Optimizer._step"],
    "examples/linear_regression.py": None,
}


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path):
    """(absolute module, names) of each import that runs; those for type checkers do not."""
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
    for module, names in imports_of(path):
        parts = module.split(".")
        if parts[0] == "minigrad":
            yield from ([parts[1]] if len(parts) > 1 else [name for name in names if name in ORDER])


def definition(path, name):
    """The node of a function or class by its dotted name."""
    body = ast.parse((ROOT / path).read_text()).body
    for part in name.split("."):
        node = next(n for n in body if getattr(n, "name", None) == part)
        body = node.body
    return node


def test_every_room_is_in_the_order():
    assert {room_of(path) for path in FILES} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_earlier_rooms(path):
    room = room_of(path)
    later = [used for used in rooms_used(path) if used != room and ORDER.index(used) > ORDER.index(room)]
    assert not later, f"{room} imports {later}"


@pytest.mark.parametrize("name", AUTOGRAD)
def test_autograd_files_import_only_earlier_files(name):
    for module, names in imports_of(PACKAGE / "autograd" / f"{name}.py"):
        if module.startswith("minigrad.autograd"):
            for used in [module.rpartition(".")[2]] if module.count(".") > 1 else names:
                assert AUTOGRAD.index(used) < AUTOGRAD.index(name), f"{name} imports {used}"


def test_autograd_order_names_every_file():
    assert {path.stem for path in (PACKAGE / "autograd").glob("*.py")} == {*AUTOGRAD, "__init__"}


def test_reading_path_fits_the_budget():
    total = 0
    for path, names in PATH.items():
        if names is None:
            total += len((ROOT / path).read_text().splitlines())
        for name in names or ():
            node = definition(path, name)
            first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
            total += node.end_lineno - first + 1
    assert total <= LINES, total


def test_graph_needs_no_tensor_and_no_array_library():
    loaded = {module for module, _ in imports_of(PACKAGE / "autograd" / "graph.py") if "minigrad" in module}
    assert loaded == {
        "minigrad.backend",
        "minigrad.autograd",
        "minigrad.autograd.grad_mode",
        "minigrad.autograd.version_counter",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_backend_imports_numpy_or_cupy(path):
    libraries = {module.split(".")[0] for module, _ in imports_of(path)}
    allowed = {"numpy", "cupy"} if room_of(path) == "backend" else set()
    assert not libraries & {"numpy", "cupy"} - allowed


def test_no_submodule_is_hidden_by_another_object():
    program = (
        "import importlib, pkgutil, sys, minigrad, types\n"
        "for module in pkgutil.walk_packages(minigrad.__path__, 'minigrad.'):\n"
        "    if module.name.endswith('__main__'): continue\n"
        "    importlib.import_module(module.name)\n"
        "for name in [n for n in sys.modules if n.startswith('minigrad.') and not n.endswith('__main__')]:\n"
        "    parent, _, child = name.rpartition('.')\n"
        "    if getattr(sys.modules[parent], child) is not sys.modules[name]: print(name)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_ops_do_not_test_which_namespace_they_get():
    for path in (PACKAGE / "ops").glob("*.py"):
        if path.name != "__init__.py":
            assert "tensor_namespace" not in path.read_text()


def test_nothing_unpickles_or_evaluates():
    for path in FILES:
        # jit runs the source of a step, which it generates itself from fixed forms and literals.
        forbidden = {"eval", "__import__"} if room_of(path) == "jit" else {"eval", "exec", "__import__"}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in forbidden, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
        assert not {"pickle", "marshal", "shelve", "dill"} & {module.split(".")[0] for module, _ in imports_of(path)}


def test_import_loads_numpy_and_little_else():
    program = "import sys, minigrad; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not loaded & {"cupy", "torch", "torchvision", "matplotlib", "tqdm", "hypothesis", "gzip", "http"}


def public(body):
    """The public functions and classes of a module or class, and those in its classes, without setters."""
    for node in body:
        setter = any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in getattr(node, "decorator_list", []))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not (setter or node.name.startswith("_")):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from public(node.body)


def test_public_names_have_docstrings():
    inherited = {"forward", "extra_repr", "update", "check"}  # methods that the base class describes
    missing = [
        f"{path.name}: {node.name}"
        for path in FILES
        for node in public(ast.parse(path.read_text()).body)
        if ast.get_docstring(node) is None and node.name not in inherited
    ]
    assert not missing


def writes(path):
    """The lines of a file that write a file by another way than `write_atomically`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [value.value for value in ast.walk(node) if isinstance(value, ast.Constant)]
            modes = [text for text in texts if isinstance(text, str) and re.fullmatch("[wax+]b?[+]?", text)]
            if name in {"write_text", "write_bytes"} or (name == "open" and modes):
                yield node.lineno


def test_every_file_is_written_by_one_function():
    found = {
        path.relative_to(ROOT).as_posix() for path in [*FILES, *(ROOT / "examples").rglob("*.py")] if [*writes(path)]
    }
    assert found == {"minigrad/files.py"}
