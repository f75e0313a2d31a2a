"""The labs: the solution passes each step, unfilled files name their holes, student errors get their diagnosis."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
from helpers.student_errors import STUDENT_ERRORS

from minigrad.testing.conformance.adapter import Engine
from minigrad.testing.conformance.report import check_engine
from minigrad.testing.conformance.requirements import REQUIREMENTS
from minigrad.testing.conformance.search import Effort, search

ROOT = Path(__file__).resolve().parents[2]
LABS = ROOT / "examples" / "labs"
TEXTS = [LABS / "README.md", *(LABS / f"step{step}.md" for step in range(1, 7))]
SOLUTION = (LABS / "solution" / "my_engine.py").read_text(encoding="utf-8")
HOLE = re.compile(r'^( *)raise NotImplementedError\("(step (\w+): .*)"\)$', re.MULTILINE)
BY_ID = {requirement.id: requirement for requirement in REQUIREMENTS}
SHORT = Effort(examples=8, seconds=1.0, shrinking=0.1)
FEW = Effort(examples=3, seconds=1.0, shrinking=0.1)
USUAL = Effort(examples=30, seconds=3.0, shrinking=0.1)


def module_of(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check, hint = module_of(LABS / "check.py", "labs_check"), module_of(LABS / "hint.py", "labs_hint")


def engine_of(source: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The adapter of the labs for an engine with this source."""
    module = ModuleType("my_engine")
    exec(source, vars(module))
    monkeypatch.setitem(sys.modules, "my_engine", module)
    return module_of(LABS / "adapter.py", "labs_adapter").MyEngine()


def step_file(step: int) -> str:
    return (LABS / f"step{step}.py").read_text(encoding="utf-8")


def solved(step: int) -> str:
    """The solution up to a step."""
    return SOLUTION.partition(f"# Step {step + 1}:")[0]


def fill(text: str) -> str:
    """The text with the code of the last hint in each hole."""
    return HOLE.sub(lambda hole: textwrap.indent(hint.HINTS[hole[3]][2], hole[1]), text)


def test_last_hints_fill_the_holes_to_the_solution():
    filled = fill("".join(map(step_file, range(1, 7))))
    assert re.sub(r"\n+", "\n", filled) == re.sub(r"\n+", "\n", SOLUTION)


def test_every_hole_has_three_hints():
    holes = [hole[3] for step in range(1, 7) for hole in HOLE.finditer(step_file(step))]
    assert sorted(holes) == list(hint.HINTS)
    assert all(len(hints) == 3 for hints in hint.HINTS.values())


def test_solution_has_about_190_lines():
    assert sum(bool(line.strip()) for line in SOLUTION.splitlines()) < 195


@pytest.mark.parametrize("step", range(1, 7))
def test_solution_passes_each_step(step, monkeypatch):
    report = check_engine(engine_of(solved(step), monkeypatch), check.LEVELS[str(step)], effort=SHORT)
    assert [text for result in report.results for text in result.failures()] == []
    lacks = {result.requirement.name for result in report.results if result.status == "missing"}
    later = {"softmax", "losses", "weights used twice"}
    later |= {"the label contract", "dtypes of labels", "losses keep their inputs"}
    assert lacks - {"joining"} <= (later if step == 3 else set())
    assert check.problems(solved(step), str(step)) == []


HOLES_BY_LEVEL = {1: "abcdef", 2: "bcdef", 3: "abc", 4: "abcd", 5: "abc"}  # 2a is in step 1, 5d is for the digits


@pytest.mark.parametrize("step", HOLES_BY_LEVEL)
def test_unfilled_step_names_its_holes(step, monkeypatch):
    before = solved(step - 1) if step > 1 else ""
    holes = {hole[3]: hole[2] for hole in HOLE.finditer(step_file(step))}
    for hole in holes:
        named = check.problems(before + step_file(step), str(step))
        assert any(each.startswith(f"{holes[hole]} (hint: ") for each in named) or hole == "2a"
    for letter in HOLES_BY_LEVEL[step]:
        only = HOLE.sub(lambda h, keep=f"{step}{letter}": h[0] if h[3] == keep else fill(h[0]), step_file(step))
        report = check_engine(engine_of(before + only, monkeypatch), check.LEVELS[str(step)], effort=FEW)
        lacks = {part.lacks for result in report.results for part in result.of("missing")}
        assert holes[f"{step}{letter}"] in lacks
        if letter in "ef" and step == 1:  # nothing works without the backward pass
            assert {result.status for result in report.results} == {"missing"}


def test_unfilled_unbroadcast_is_named(monkeypatch):
    source = HOLE.sub(lambda h: h[0] if h[3] == "2a" else fill(h[0]), step_file(1)) + fill(step_file(2))
    report = check_engine(engine_of(source, monkeypatch), ["arrays"], effort=FEW)
    assert any("step 2a" in p.lacks for r in report.results for p in r.of("missing"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("error", STUDENT_ERRORS)
def test_student_error_gets_its_diagnosis(error, monkeypatch):
    right, wrong, requirement, part, words = STUDENT_ERRORS[error]
    assert SOLUTION.count(right) == 1
    engine = engine_of(SOLUTION.replace(right, wrong), monkeypatch)
    result = search(BY_ID[requirement].check, engine, part, 0, USUAL)
    assert result.status == "failed"
    assert words in result.cause


@pytest.mark.parametrize(
    ("right", "wrong", "part"),
    [
        ("g.transpose(np.argsort(dims))", "g.transpose(dims)", "permute"),
        ("g.reshape(x.data.shape)", "g", "reshape"),
    ],
)
def test_vjp_of_wrong_shape_fails_in_unbroadcast(right, wrong, part, monkeypatch):
    engine = engine_of(SOLUTION.replace(right, wrong), monkeypatch)
    result = search(BY_ID["arrays/shapes"].check, engine, part, 0, USUAL)
    assert result.status == "failed"
    assert "cannot reshape array" in result.got or "axis" in result.got


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    words = [sys.executable, *map(str, arguments)]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_solution_trains_the_digits_to_95_percent(tmp_path):
    (tmp_path / "my_engine.py").write_text(SOLUTION, encoding="utf-8")
    done = run(tmp_path, LABS / "check.py", 5)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the goal of 95% is reached" in done.stdout
    _, _, training = (LABS / "step6.md").read_text(encoding="utf-8").partition("```text\nepoch  1")
    first, last, goal = ("epoch  1" + training).split("```")[0].replace("...\n", "").splitlines()
    assert [first, last, goal] == [done.stdout.splitlines()[i] for i in (-11, -2, -1)]


def test_one_layer_trains_the_digits_to_90_percent(tmp_path):
    (tmp_path / "my_engine.py").write_text(solved(5), encoding="utf-8")
    done = run(
        tmp_path, "-c", f"import sys; sys.path.append({str(LABS)!r}); import train_digits as t; t.train_digits()"
    )
    assert "the goal of 90% is reached" in done.stdout, done.stderr


@pytest.mark.parametrize(("text", "words"), [(None, "cp "), (step_file(1), "step 1a: the product")])
def test_check_names_what_is_left(text, words, tmp_path):
    if text:
        (tmp_path / "my_engine.py").write_text(text, encoding="utf-8")
    done = run(tmp_path, LABS / "check.py", 1)
    assert done.returncode == 1
    assert words in done.stdout + done.stderr


def test_check_names_a_step_that_is_not_appended():
    (problem,) = check.problems(solved(1), "2")
    assert problem.startswith("step 2 is not in my_engine.py; run: cat ")


def test_hint_prints_each_level_and_rejects_others(tmp_path):
    assert run(tmp_path, LABS / "hint.py", "2f", 3).stdout == "np.add.at(dx, index, g)\nreturn dx\n"
    assert "expected a hole" in run(tmp_path, LABS / "hint.py", "9z", 1).stderr


def blocks(text: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("step", range(1, 7))
def test_code_of_each_text_prints_its_output(step, tmp_path):
    text = LABS / f"step{step}.md"
    (tmp_path / "my_engine.py").write_text(solved(step), encoding="utf-8")
    code = [block for block in blocks(text, "python") if block.startswith("from my_engine")]
    assert len(code) == 1
    done = run(tmp_path, "-c", code[0])
    assert done.stdout == blocks(text, "text")[0], done.stderr


def test_report_in_the_readme_is_that_of_the_suite(monkeypatch):
    right, wrong, *_ = STUDENT_ERRORS["1a: VJPs exchanged"]
    report = str(check_engine(engine_of(SOLUTION.replace(right, wrong), monkeypatch), ["scalars"]))
    (shown,) = blocks(LABS / "README.md", "text")
    assert all(line in report.splitlines() for line in shown.splitlines())


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_links_and_pictures_of_the_texts_exist(text):
    content = text.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)", content)
    assert links
    assert all((LABS / link).exists() for link in links)
    pictures = [link for link in links if link.endswith(".svg")]
    assert len(pictures) == (text.name != "README.md")
    assert all((LABS / picture).stat().st_size < 10_000 for picture in pictures)
