"""The checks of engines: minigrad passes on every backend, planted bugs are found, what is missing is not a failure."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers import engines, planted_bugs, typical_mistakes
from helpers.small_engine import RULES, SmallEngine

from minigrad.testing.conformance import OPERATORS, Engine, methods
from minigrad.testing.conformance.mismatch import Mismatch, as_text
from minigrad.testing.conformance.op_cases import OP_CASES
from minigrad.testing.conformance.report import Report, Result, check_engine
from minigrad.testing.conformance.requirements import LEVELS, REQUIREMENTS
from minigrad.testing.conformance.search import Effort, PartResult, search

ROOT = Path(__file__).resolve().parents[2]
BY_ID = {requirement.id: requirement for requirement in REQUIREMENTS}
SHORT = Effort(examples=6, seconds=5.0, shrinking=0.2)
USUAL = Effort(examples=30, seconds=10.0, shrinking=0.05)
SHRINKING = Effort(examples=30, seconds=10.0, shrinking=5.0)


def run(engine, requirement, part="", effort=USUAL):
    check = BY_ID[requirement].check
    return search(check, engine, part, 0, effort)


def failures(report):
    return [text for result in report.results for text in result.failures()]


@pytest.mark.parametrize("level", LEVELS)
def test_minigrad_passes_every_level(level, device):
    report = check_engine(engines.minigrad_on(device), [level], effort=SHORT)
    assert failures(report) == []
    assert report.passed
    lacking = {part.lacks for result in report.results for part in result.of("missing")}
    assert lacking <= {"prod"}


def test_small_engine_passes_every_level():
    report = check_engine(SmallEngine(), effort=SHORT)
    assert failures(report) == []
    assert {p.lacks for r in report.results for p in r.of("missing")} == {"operators", "gradient_function"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bug", planted_bugs.BUGS)
def test_planted_bug_is_found(bug):
    engine, requirement, part = planted_bugs.BUGS[bug]
    result = run(engine(), requirement, part)
    assert result.status == "failed"
    assert result.example
    assert result.expected != result.got


CAUSES = {
    "no unbroadcast": "a missing sum over the axes that broadcasting added",
    "tanh's VJP takes x": "the input is used where the output belongs",
    "an index used twice counts once": "several times gets only one of its gradients",
    "gradients are overwritten within a pass": "overwritten instead of accumulated",
    "not divided by N": "not divided by N",
    "softmax with a backward of 0": "zero: the graph is cut",
    "a recursive topological sort": "a recursive search",
    "the loss clips its target in place": "changes its input in place",
    "every tie gets all of g": "every equal element gets all of g",
    "one-hot times log-softmax": "do not multiply by one-hot",
    "the divisor's VJP divides by y²": "y² underflows",
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bug", CAUSES)
def test_planted_bug_has_its_cause(bug):
    engine, requirement, part = planted_bugs.BUGS[bug]
    assert CAUSES[bug] in run(engine(), requirement, part).cause


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mistake", typical_mistakes.MISTAKES)
def test_typical_mistake_has_its_cause(mistake):
    op, rule, requirement, words = typical_mistakes.MISTAKES[mistake]
    result = run(SmallEngine(**{op: rule}), requirement, "matrices" if op == "matmul" else op)
    assert result.status == "failed"
    assert words in result.cause


# Faults that fit every op: what a fault makes of the gradient d, given g.
FAULTS = {
    "zero": lambda d, g: 0 * d,
    "the sign": lambda d, g: -d,
    "a factor": lambda d, g: 1.001 * d,
    "float32": lambda d, g: (d * np.float32(1 / 3)).astype("float32") * 3.0,
    "one element lost": lambda d, g: np.where(np.arange(d.size).reshape(d.shape) == d.size - 1, 0, d),
    "the absolute value": lambda d, g: np.abs(d),
}
REQUIREMENT_OF = {part: r.id for r in REQUIREMENTS for part in r.parts if part in OP_CASES and r.level != "numbers"}
REQUIREMENT_OF |= {part: r.id for r in REQUIREMENTS for part in r.parts if r.level == "arrays" and part in OP_CASES}
REQUIREMENT_OF |= dict.fromkeys(("add", "sub", "mul", "where", "broadcast_to"), "arrays/broadcasting")
REQUIREMENT_OF |= dict.fromkeys(("exp", "relu"), "arrays/elementwise ops") | {"sum": "arrays/reductions"}
REQUIREMENT_OF |= {"reshape": "arrays/shapes", "matmul": "network/matmul", "cat": "arrays/joining"}
REQUIREMENT_OF |= dict.fromkeys(("softmax", "log_softmax"), "network/softmax")
REQUIREMENT_OF |= dict.fromkeys(("cross_entropy", "mse_loss", "binary_cross_entropy_with_logits"), "network/losses")


def with_fault(op, position, change):
    def rule(*arguments):
        value, *vjps = RULES[op](*arguments)
        right = vjps[position]
        vjps[position] = lambda g: change(np.asarray(right(g)), g)
        return value, *vjps

    return rule


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_any_op_is_found(fault, monkeypatch):
    monkeypatch.setattr("minigrad.testing.conformance.search.cause_of_gradients", lambda *arguments: "")
    assert set(REQUIREMENT_OF) == set(RULES)
    alive = []
    for op in RULES:
        for position in range(2 if op in ("add", "mul", "div", "matmul", "linear", "where", "cat") else 1):
            engine = SmallEngine(**{op: with_fault(op, position, FAULTS[fault])})
            part = "matrices" if op == "matmul" else op
            if run(engine, REQUIREMENT_OF[op], part, Effort(30, 5.0, 0.0)).status != "failed":
                alive.append((op, position))
    assert alive == []


def test_missing_ops_are_missing_not_failed():
    report = check_engine(SmallEngine(softmax=None, matmul=None), ["network"], effort=SHORT)
    assert report.passed
    by_name = {result.requirement.name: result for result in report.results}
    assert by_name["matmul"].status == "missing"
    assert by_name["matmul"].points == 0
    assert [part.part for part in by_name["softmax"].of("missing")] == ["softmax"]
    assert "softmax: softmax" in str(report)


def test_engine_without_anything_is_all_missing():
    report = check_engine(Engine(), ["network", "engine"], effort=SHORT)
    assert report.passed
    assert report.points()[0] == 0


def test_operators_that_a_class_lacks_are_missing():
    class Empty(SmallEngine):
        def __init__(self):
            self.ops = {**OPERATORS, **methods("relu")}

    report = check_engine(Empty(), ["scalars"], effort=SHORT)
    assert {result.status for result in report.results} == {"missing"}


def test_scalar_engine_is_checked():
    report = check_engine(engines.ScalarEngine(), ["scalars", "training", "engine"], effort=SHORT)
    assert failures(report) == []
    assert report.points("scalars")[0] > 8
    assert all(result.status == "missing" for result in check_engine(engines.ScalarEngine(), ["network"]).results)


def test_float32_engine_is_checked_with_its_precision():
    class Single(SmallEngine):
        dtype = "float32"

        def tensor(self, array):
            return SmallEngine.tensor(self, np.asarray(array, "float32"))

    assert Single.rtol == 1e-4
    assert failures(check_engine(Single(), effort=SHORT)) == []
    planted = Single(tanh=lambda x: (np.tanh(x), lambda g: 1.01 * g * (1 - np.tanh(x) ** 2)))
    assert run(planted, "arrays/elementwise ops", "tanh").status == "failed"


def test_functional_engine_needs_no_tensors():
    report = check_engine(engines.Functional(), ["arrays", "training"], effort=SHORT)
    assert failures(report) == []
    by_name = {result.requirement.name: result.status for result in report.results}
    assert by_name["broadcasting"] == "passed"
    assert by_name["accumulation"] == "missing"


def test_same_seed_gives_the_same_counterexample():
    engine, requirement, part = planted_bugs.BUGS["no unbroadcast"]
    first, second = (run(engine(), requirement, part, SHRINKING) for _ in range(2))
    assert first == second


def test_counterexample_is_small():
    engine, requirement, part = planted_bugs.BUGS["no unbroadcast"]
    assert run(engine(), requirement, part, SHRINKING).example.startswith(
        "the gradient of argument 1 of add(0.5, [-0.5625])"
    )


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.id)
def test_lesson_of_a_requirement_exists(requirement):
    lessons = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    section, idea = requirement.lesson
    number, _, words = section.partition("-")
    heading = next(line for line in lessons.splitlines() if line.startswith(f"## {number}. "))
    assert heading.removeprefix(f"## {number}. ").lower().replace(" ", "-").replace(":", "").replace(
        ",", ""
    ) == words or (words in heading.lower().replace(" ", "-"))
    assert not idea or f"**{idea}.**" in lessons


def test_requirements_have_unique_names_and_reasons():
    assert len({requirement.name for requirement in REQUIREMENTS}) == len(REQUIREMENTS)
    assert list(dict.fromkeys(r.level for r in REQUIREMENTS)) == list(LEVELS)
    for requirement in REQUIREMENTS:
        assert requirement.why.endswith(".")
        assert len(set(requirement.parts)) == len(requirement.parts)
        assert requirement.points > 0


def test_every_op_is_part_of_a_requirement():
    parts = {part for requirement in REQUIREMENTS for part in requirement.parts}
    assert set(OP_CASES) <= parts


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "adapters").glob("*.py")), ids=lambda file: file.stem)
def test_adapter_of_a_known_engine_is_short(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    code = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr))]
    lines = [line for node in code for line in range(node.lineno, node.end_lineno + 1)]
    text = file.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if text[line - 1].strip()]) <= 20


def test_notes_of_the_page_name_engines_and_requirements():
    spec = importlib.util.spec_from_file_location("page", ROOT / "benchmarks" / "conformance.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert {f"{name}_adapter" for name in page.ORDER} == {file.stem for file in page.ADAPTERS.glob("*.py")}
    assert {name for name, _ in page.NOTES} <= set(page.ORDER)
    assert {requirement for _, requirement in page.NOTES} <= set(BY_ID)


def test_report_lists_counterexample_cause_and_lesson():
    requirement = BY_ID["arrays/broadcasting"]
    parts = [PartResult("add", "failed", 3, "", "add(1, [2])", "shape ()", "shape (1,)", "a missing sum")]
    parts += [PartResult(part, "passed", 30) for part in requirement.parts[1:]]
    report = Report("an engine", 7, [Result(requirement, parts)])
    for text in (
        "an engine, seed 7",
        "arrays/broadcasting, add",
        "add(1, [2])",
        "expected shape ()",
        "got      shape (1,)",
    ):
        assert text in str(report)
    for text in ("likely cause: a missing sum", requirement.why, requirement.link, "FAILED: 1 of 1 requirements"):
        assert text in str(report)
    assert report.points() == (2.62, 3)
    assert report.as_dict()["requirements"][0]["parts"][0]["got"] == "shape (1,)"


def test_same_cause_is_reported_once():
    requirement = BY_ID["arrays/broadcasting"]
    parts = [PartResult(part, "failed", 1, "", f"{part}(1)", "2", "3", "a cause") for part in requirement.parts]
    (text,) = Result(requirement, parts).failures()
    assert text.endswith("the same in: " + ", ".join(requirement.parts[1:]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(np.longdouble(0.5), "0.5"), ([1, np.float64(2)], "[1, 2]"), (None, "None"), ("as it is", "as it is")],
)
def test_numbers_are_written_shortly(value, text):
    assert as_text(value) == text
    assert Mismatch("x", value, "y").expected == text
