"""The exercises of the course: right answers pass, wrong ones fail, and the course lists the same questions."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COURSE = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")

# number: (right, wrong)
ANSWERS = {
    "0.1": ("184", "36"),
    "0.2": ("[4, 4, 4]", "[12]"),
    "0.3": ("g.sum(dim=0)", "g.sum()"),
    "1.1": ("2 * error.mean()", "error.mean()"),
    "1.2": ("0.9", "0.5"),
    "2.1": ("64 * 10 + 10", "64 * 10"),
    "2.2": ("p - mg.tensor([0, 0, 1])", "p"),
    "2.3": ("math.log(10)", "math.log2(10)"),
    "3.1": ("2", "1"),
    "3.2": ("[1 / 2, -1]", "[3 / 4, -1 / 2]"),
    "4.1": ("17226", "64 * 128 + 128 * 64 + 64 * 10"),
    "4.2": ("w2 @ w1", "2 * (w2 @ w1)"),
    "4.3": ("g * (x > 0)", "g * x"),
    "5.1": ("15", "60_000 / 4096"),
    "5.2": ("7_454_760", "1_863_690"),
    "6.1": ("1", "0.1"),
    "6.2": ("[0.01, 0.01]", "[10, 0.00001]"),
    "7.1": ("g / (1 + exp(-x))", "g / (1 + exp(x))"),
    "7.2": ("(g * b, g * a, g)", "(g * a, g * b, g)"),
    "8.1": ("2", "45"),
    "8.2": ("5", "1"),
}


@pytest.fixture
def exercises(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    before = set(sys.modules)
    import exercises

    yield exercises
    for name in set(sys.modules) - before:
        if str(ROOT / "examples") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "exercises.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("number", ANSWERS)
def test_right_answer_passes_and_wrong_one_fails(number, exercises):
    right, wrong = ANSWERS[number]
    assert exercises.check(number, right)
    assert not exercises.check(number, wrong)


def test_every_lesson_has_two_or_three_exercises(exercises):
    assert list(exercises.EXERCISES) == list(ANSWERS)
    sections = re.split(r"^## \d\. ", COURSE, flags=re.MULTILINE)[1:]
    for lesson, section in enumerate(sections):
        listed = re.findall(r"^- \*\*(\d\.\d)\*\* (.*(?:\n  .*)*)", section, re.MULTILINE)
        assert [number for number, _ in listed] == [number for number in ANSWERS if number.startswith(f"{lesson}.")]
        assert 2 <= len(listed) <= 3
        for number, text in listed:
            assert " ".join(text.replace("`", "").split()) == exercises.question(number).replace("`", "")


def test_command_reports_right_wrong_and_unusable_answers():
    done = run("4.2", "w2 @ w1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "4.2: right\n", "")
    done = run("4.2", "w2 * 2")
    assert done.returncode == 2
    assert "4.2: the answer 'w2 * 2' does not work" in done.stderr
    done = run("8.2", "4")
    assert done.returncode == 1
    assert done.stderr.startswith("exercises.py: 8.2: 4 is not right yet.")
    assert len(run().stdout.splitlines()) == len(ANSWERS)
