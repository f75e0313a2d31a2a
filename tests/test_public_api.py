"""The public names: `__all__` is complete, sorted into groups, and typed."""

import subprocess
import sys
import types

import pytest

import minigrad as mg


def test_all_names_exist_once():
    assert len(set(mg.__all__)) == len(mg.__all__)
    assert [name for name in mg.__all__ if not hasattr(mg, name)] == []


def test_all_lists_every_public_name():
    modules = {name for name, value in vars(mg).items() if isinstance(value, types.ModuleType)}
    public = {name for name in vars(mg) if not name.startswith("_")} - (modules - {"nn", "optim", "data", "autograd"})
    assert public == set(mg.__all__)


def test_star_import_brings_the_public_names():
    namespace: dict = {}
    exec("from minigrad import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(mg.__all__)


def test_types_of_results_are_tensors(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    expressions = ["mg.exp(x)", "x.exp()", "x + 1", "1 - x", "x @ x", "F.relu(x)", "F.cross_entropy(x, x)", "x[0]"]
    program = tmp_path / "program.py"
    lines = ["import minigrad as mg", "import minigrad.nn.functional as F", "x = mg.ones(2, 2)"]
    program.write_text("\n".join([*lines, *(f"reveal_type({expression})" for expression in expressions), ""]))
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), str(program)]
    run = subprocess.run(command, capture_output=True, text=True)
    revealed = [line for line in run.stdout.splitlines() if "Revealed type" in line]
    assert len(revealed) == len(expressions), run.stdout
    assert all('"minigrad.autograd.tensor.Tensor"' in line for line in revealed), run.stdout
