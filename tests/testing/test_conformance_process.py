"""The check of an engine in a process of its own, its command line, and the pytest plugin."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import minigrad
from minigrad import __main__ as command
from minigrad.testing.conformance.contained import EngineProcess
from minigrad.testing.conformance.requirements import REQUIREMENTS

ROOT = Path(minigrad.__file__).parents[1]
BY_ID = {requirement.id: requirement for requirement in REQUIREMENTS}
NUMBERS = """
from minigrad.testing.conformance import OPERATORS, Engine


class Value:
    def __init__(self, data, inputs=()):
        self.data, self.grad, self.inputs = data, 0.0, inputs

    def __add__(self, other):
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Value(self.data * other.data, [(self, other.data), (other, self.data)])

    def backward(self, g):
        self.grad += g
        for x, slope in self.inputs:
            x.backward(g * slope)


class Numbers(Engine):
    name, scalar, ops = "numbers 1.0", True, {**OPERATORS}

    def tensor(self, array):
        return Value(float(array))

    def backward(self, y, g):
        y.backward(float(g))
"""


@pytest.fixture
def engine(tmp_path):
    """Writes the engine, with changes."""

    def write(old="", new="", more=""):
        file = tmp_path / "my_engine.py"
        assert old in NUMBERS
        file.write_text(NUMBERS.replace(old, new) + more, encoding="utf-8")
        return str(file)

    return write


SUM, PRODUCT = "return Value(self.data + other.data", "return Value(self.data * other.data"


def parts_of(file, requirement, patience=60.0):
    with EngineProcess(file, patience=patience) as process:
        results = process.run(BY_ID[requirement])
    assert [result.part for result in results] == list(BY_ID[requirement].parts)
    return {result.part: result for result in results}


def test_engine_that_hangs_is_ended(engine):
    file = engine(PRODUCT, "while True: pass\n        " + PRODUCT)
    found = parts_of(file, "scalars/ops of numbers", patience=2.0)
    assert found["mul"].status == "failed"
    assert found["mul"].example.startswith("mul(")
    assert found["mul"].got == "the engine gives no result within 2 s: it hangs, or is very slow"
    assert found["add"].status == "passed"
    assert found["relu"].status == "missing"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_engine_that_crashes_is_contained(engine):
    file = engine(PRODUCT, "import os; os.abort()\n        " + PRODUCT)
    found = parts_of(file, "scalars/ops of numbers")
    assert found["mul"].got == "the engine crashes the interpreter: SIGABRT"
    assert found["pow"].status == "missing"


def test_engine_that_exits_is_contained(engine):
    found = parts_of(engine(PRODUCT, "import os; os._exit(3)\n        " + PRODUCT), "scalars/ops of numbers")
    assert found["mul"].got == "the engine ends the interpreter, with exit code 3"
    found = parts_of(engine(PRODUCT, "raise SystemExit(3)\n        " + PRODUCT), "scalars/ops of numbers")
    assert found["mul"].got == "SystemExit: 3"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit of memory needs /proc")
def test_engine_that_eats_memory_is_contained(engine):
    file = engine(PRODUCT, "import numpy as np; hoard = [np.zeros(2**27) for _ in range(100)]\n        " + PRODUCT)
    assert parts_of(file, "scalars/ops of numbers")["mul"].got.startswith("MemoryError: Unable to allocate")


def test_engine_that_prints_or_reads_disturbs_nothing(engine):
    file = engine(PRODUCT, "print('x' * 100); import sys; sys.stdin.read()\n        " + PRODUCT, "print('hello')\n")
    assert parts_of(file, "scalars/ops of numbers")["mul"].status == "passed"


def test_command_prints_a_report(engine, capsys):
    assert command.main(["check", "--engine", engine(), "--level", "scalars"]) == 1
    out = capsys.readouterr().out
    assert "numbers 1.0, seed 0" in out
    assert "scalars/deep graphs, 20,000 ops" in out
    assert "a recursive search of the graph" in out
    assert "examples/README.md#0-how-backprop-works" in out
    assert "arrays" not in out.replace("examples/README.md", "")


def test_command_prints_json(engine, capsys):
    assert command.main(["check", "--engine", engine(), "--level", "training", "--json", "--seed", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["engine"] == "numbers 1.0"
    assert report["seed"] == 3
    assert report["passed"] is True
    by_id = {each["id"]: each for each in report["requirements"]}
    assert by_id["training/optimizers"]["status"] == "missing"
    assert by_id["training/accumulation"]["points"] == 2


def test_command_takes_one_of_several_adapters(engine, capsys):
    file = engine(more="\n\nclass Other(Numbers):\n    name = 'other'\n")
    assert command.main(["check", "--engine", f"{file}:Other", "--level", "training"]) == 0
    assert "other, seed 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (None, [], "expected a Python file, got missing.py, which does not exist"),
        ("x = 1\n", [], "has no adapter; derive a class from minigrad.testing.conformance.Engine"),
        ("import nothing_of_this_name\n", [], "cannot be imported: ModuleNotFoundError"),
        ("def f(:\n", [], "cannot be imported: SyntaxError"),
        ("raise SystemExit\n", [], "cannot be imported: SystemExit"),
        ("import os; os._exit(0)\n", [], "ends the interpreter, with exit code 0"),
        (NUMBERS + "\n\nclass B(Numbers): pass\n", [], "has several adapters; use "),
        (NUMBERS, ["--level", "nets"], "--level: expected scalars, arrays, network, training, numbers, engine, got"),
        (NUMBERS, ["--seed", "one"], "argument --seed: invalid int value"),
        (NUMBERS, ["--ops", "add"], "--ops: is for minigrad's own check; leave it out with --engine"),
    ],
)  # fmt: skip
def test_bad_engine_is_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch, text, arguments, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("my_engine.py").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        command.main(["check", "--engine", "missing.py" if text is None else "my_engine.py", *arguments])
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_options_of_an_engine_need_one(capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["check", "--level", "scalars"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "python -m minigrad check: --level: needs --engine FILE\n"


def test_unknown_class_is_named(engine, capsys):
    with pytest.raises(SystemExit):
        command.main(["check", "--engine", engine() + ":Other"])
    assert "has no adapter Other; it has Numbers" in capsys.readouterr().err


def test_command_without_hypothesis_says_so(engine, capsys, monkeypatch):
    monkeypatch.setattr("minigrad.testing.conformance.command.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        command.main(["check", "--engine", engine()])
    assert end.value.code == 2
    assert "--engine: needs hypothesis; run: python -m pip install hypothesis" in capsys.readouterr().err


def run_pytest(folder, *arguments):
    plugin = ["-p", "minigrad.testing.conformance.pytest_plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "PATH": ""},
        timeout=120,
        check=False,
    )


def test_pytest_runs_a_test_for_each_requirement(engine, tmp_path):
    engine()
    (tmp_path / "test_other.py").write_text("def test_other(): assert False\n", encoding="utf-8")
    result = run_pytest(tmp_path, "--engine=my_engine.py", "--engine-level=scalars", "--junitxml=report.xml", "-v")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "my_engine.py::scalars/a value used twice PASSED" in result.stdout
    assert "my_engine.py::scalars/deep graphs FAILED" in result.stdout
    assert "SKIPPED (missing: __neg__" not in result.stdout
    assert "a recursive search of the graph" in result.stdout
    assert "Traceback" not in result.stdout
    assert "test_other" not in result.stdout
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    expected = [requirement.name for requirement in REQUIREMENTS if requirement.level == "scalars"]
    assert [case.get("name") for case in suite] == [f"scalars/{name}" for name in expected]
    (twice,) = [case for case in suite if case.get("name") == "scalars/a value used twice"]
    properties = {each.get("name"): each.get("value") for each in twice.iter("property")}
    assert properties == {"level": "scalars", "points": "3.0", "points possible": "3"}
    assert "all " in result.stdout
    assert " of 13" in result.stdout


def test_pytest_with_a_bad_engine_is_a_usage_error(tmp_path):
    result = run_pytest(tmp_path, "--engine=missing.py")
    assert result.returncode == 4
    assert "ERROR: --engine: expected a Python file, got missing.py, which does not exist" in result.stderr
    (tmp_path / "empty.py").write_text("", encoding="utf-8")
    result = run_pytest(tmp_path, "--engine=empty.py")
    assert result.returncode == 4
    assert "has no adapter" in result.stdout


def test_pytest_without_an_engine_is_unchanged(tmp_path):
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n", encoding="utf-8")
    result = run_pytest(tmp_path, "-q")
    assert result.returncode == 0
    assert "points" not in result.stdout
