"""The course, examples/README.md: its commands run, its links and images exist, its listings are what is printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
TEXT = (EXAMPLES / "README.md").read_text(encoding="utf-8")
UNAVAILABLE = {"FOLDER", "cupy"}  # not every machine has real MNIST or a GPU


def commands() -> list[tuple[str, str]]:
    """(lesson, options) of each command, and of each command (without --out) with each of the options to try."""
    found = []
    base = ("", "")
    for block, row in re.findall(r"```sh\n(.*?)```|^\| `(--[^`]+)` \|", TEXT, re.DOTALL | re.MULTILINE):
        for lesson, options in re.findall(r"python examples/([\w/]+)\.py *(.*)", block):
            found.append(base := (lesson, options))
        if row:
            found.append((base[0], re.sub(r"--out \S+", "", f"{base[1]} {row}").strip()))
    return found


COMMANDS = commands()


def python(folder: Path, *arguments: object) -> str:
    """The output of Python in this folder, without MINIGRAD_DATA. An exit code other than 0 is a failure."""
    env = {name: value for name, value in os.environ.items() if name != "MINIGRAD_DATA"}
    env |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@cache
def help_text(lesson: str) -> str:
    """The output of --help."""
    return python(ROOT, EXAMPLES / f"{lesson}.py", "--help")


def test_lessons_have_experiments_and_a_file_to_read():
    sections = re.split(r"^## \d\. ", TEXT, flags=re.MULTILINE)[1:]
    assert len(sections) == 9
    for section in sections:
        assert len(re.findall(r"^\| (?!try|---)", section, re.MULTILINE)) >= 3, section[:40]
        assert "```sh" in section
        assert len(re.findall(r"Read next: \[(minigrad/[\w/]+\.py)\]\(../\1\)", section)) == 1, section[:40]
    mentioned = {lesson for lesson, _ in COMMANDS}
    assert mentioned - {"support/notebooks"} == {path.stem for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize(("lesson", "options"), COMMANDS, ids=[" ".join(each) for each in COMMANDS])
def test_commands_run(lesson, options, tmp_path):
    words = shlex.split(options)
    if lesson == "backprop_by_hand":  # takes no options; tests/programs runs it
        assert words == []
        return
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[\w-]+", help_text(lesson)))
    if UNAVAILABLE & set(words) or lesson == "support/notebooks":
        return
    short = {"linear_regression": ["--steps", "2"]}.get(lesson, [])
    short = ["--epochs", "1"] if "--epochs" in help_text(lesson) else short
    python(tmp_path, EXAMPLES / f"{lesson}.py", *words, *short)
    if "--out" in words:
        assert (tmp_path / words[words.index("--out") + 1]).exists()


def test_mlp_lesson_is_short_with_five_steps_on_one_screen():
    lines = (EXAMPLES / "mnist_mlp.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 110
    steps = [i for i, line in enumerate(lines) if re.search(r"# [1-5]\. ", line)]
    assert steps == list(range(steps[0], steps[0] + 5))


@pytest.mark.parametrize(
    "link", sorted({*re.findall(r"\]\(([^)]+)\)", TEXT), *re.findall(r' src(?:set)?="([^"]+)"', TEXT)})
)
def test_links_exist(link):
    path, _, anchor = link.partition("#")
    assert (EXAMPLES / path).exists()
    headings = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^## (.*)", TEXT, re.M)}
    assert not anchor or anchor in headings


def test_images_are_shown_and_small():
    for path in (EXAMPLES / "images").iterdir():
        front = (ROOT / "README.md").read_text(encoding="utf-8")
        assert f"images/{path.name}" in TEXT + front
        assert path.stat().st_size < 150_000


def test_frame_of_the_bias_gradient_is_the_one_named(tmp_path):
    printed = python(tmp_path, EXAMPLES / "backprop_player.py")
    frame, frames = re.findall(r"Frame (\d+) shows", printed)[0], re.findall(r"(\d+) frames", printed)[0]
    assert f"Go to frame {frame}, *out.bias: why a sum over the batch*" in TEXT
    assert f"Frame {frame} of {frames} of the player" in TEXT


def blocks(number: int, language: str) -> list[str]:
    """The code blocks of a lesson in one language."""
    section = re.split(r"^## \d\. ", TEXT, flags=re.MULTILINE)[1 + number]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_how_backprop_works_is_the_lesson_and_its_output(tmp_path):
    lesson = (EXAMPLES / "how_backprop_works.py").read_text(encoding="utf-8").replace("\n    ", "\n")
    assert blocks(0, "python")
    assert all(block.replace("\n\n\n", "\n\n") in lesson for block in blocks(0, "python"))
    printed = python(tmp_path, EXAMPLES / "how_backprop_works.py", "--out", "graph.svg")
    assert "".join(blocks(0, "text")) == printed
    assert (tmp_path / "graph.svg").read_bytes() == (EXAMPLES / "images" / "how_backprop_works.svg").read_bytes()


def test_how_backprop_works_uses_the_terms_of_the_field():
    section = re.split(r"^## \d\. ", TEXT, flags=re.MULTILINE)[1]
    for term in ("chain rule", "VJP", "Jacobian", "topological order", "graph", "broadcasting", "accumulation"):
        assert term.lower() in section.lower(), term


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("reversed(order):", "reversed([u, e, y, m, L]):", "dL/dw += 2.0, is now 2.0"),
        ("grads[input] = grads.get(input, 0) + dx", "grads[input] = dx", "dL/dw += 34.0, is now 34.0"),
        ("dx = unbroadcast(vjp(grads[output]), input.shape)", "dx = vjp(grads[output])", "dL/dw += [ 4.  8. 24.]"),
    ],
)
def test_how_backprop_works_fails_as_the_course_says(old, new, expected, tmp_path):
    source = (EXAMPLES / "how_backprop_works.py").read_text(encoding="utf-8")
    assert old in source
    (tmp_path / "support").symlink_to(EXAMPLES / "support")
    (tmp_path / "lesson.py").write_text(source.replace(old, new))
    assert expected in python(tmp_path, "lesson.py")


@pytest.mark.parametrize(("number", "lesson"), [(3, "backprop_by_hand"), (8, "replay_a_step")])
def test_listings_equal_the_output_of_the_lesson(number, lesson, tmp_path):
    (listing,) = blocks(number, "text")
    assert listing in python(tmp_path, EXAMPLES / f"{lesson}.py")


def test_glossary_has_three_columns():
    glossary = TEXT.split("## Glossary", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\|.*\|$", glossary, re.MULTILINE)
    assert rows[0] == "| here | torch | JAX |"
    assert len(rows) > 20
    assert all(row.count("|") == 4 for row in rows)


# Notebooks
def test_notebook_cells_are_paragraphs_of_the_lesson(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from support.notebooks import cells

    source = (
        '"""Title.\n\nText.\n"""\n\nimport sys\n\nfrom a import b\n\n# The limit\nA = 1\nB = 2\n\n\n'
        "@b  # as is\ndef f():\n    # inside\n    return 1\n\n\n"
        "def main():\n    x = f()\n    # still\n    y = x\n\n    # The loop\n    # of all\n    for _ in range(2):\n"
        "        x += 1\n\n        y += 1\n\n\n"
        'if __name__ == "__main__":\n    main()\n'
    )
    assert list(cells(source)) == [
        ("markdown", "# Title.\n\nText."),
        ("code", "import sys\nfrom a import b"),
        ("markdown", "The limit"),
        ("code", "A = 1\nB = 2"),
        ("code", "@b  # as is\ndef f():\n    # inside\n    return 1"),
        ("code", "x = f()\n# still\ny = x"),
        ("markdown", "The loop of all"),
        ("code", "for _ in range(2):\n    x += 1\n\n    y += 1"),
    ]


def test_notebooks_of_all_lessons_run(tmp_path):
    for package in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason="to run notebooks: pip install nbformat nbclient ipykernel")
    import nbformat

    python(tmp_path, EXAMPLES / "support" / "notebooks.py", "--run", "--out", tmp_path)
    printed = {}
    for lesson in {lesson for lesson, _ in COMMANDS} - {"support/notebooks", "exercises"}:
        book = nbformat.read(tmp_path / f"{lesson}.ipynb", as_version=4)
        nbformat.validate(book)
        outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
        assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
        printed[lesson] = "".join(output.get("text", "") for output in outputs)
        shown = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
        assert ("<iframe" in shown) == (lesson == "backprop_player")
    assert "found:       y = " in printed["linear_regression"]
    assert "equal in minigrad, exactly." in printed["backprop_by_hand"]
    for lesson in ("mnist_logistic", "mnist_mlp"):
        assert "90 % test accuracy was reached" in printed[lesson]
    assert "FAILED" in printed["your_own_op"]
    assert "why the gradient of a bias is a sum over the batch" in printed["backprop_player"]


def test_missing_notebook_packages_are_named(tmp_path):
    (tmp_path / "nbformat.py").write_text("raise ImportError('No module named nbformat')")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "support" / "notebooks.py"), "--lesson", "mnist_mlp"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert re.fullmatch(r"notebooks\.py: .*pip install nbformat nbclient ipykernel\n", done.stderr)
