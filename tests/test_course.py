"""The course, examples/README.md: its commands are right, its links and pictures are there, and its notebooks run."""

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
NOT_HERE = {"FOLDER", "cupy"}  # what not every machine has: real MNIST, a GPU


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
    """What Python printed that ended well. Real MNIST is not looked for, and nothing is in this folder."""
    own = {name: value for name, value in os.environ.items() if name != "MINIGRAD_DATA"}
    own |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=own, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@cache
def known(lesson: str) -> str:
    """What --help of a lesson says."""
    return python(ROOT, EXAMPLES / f"{lesson}.py", "--help")


def test_there_are_the_lessons_each_with_three_things_to_try_and_a_file_to_read():
    sections = re.split(r"^## \d\. ", TEXT, flags=re.MULTILINE)[1:]
    assert len(sections) == 7
    for section in sections:
        assert len(re.findall(r"^\| (?!try|---)", section, re.MULTILINE)) >= 3, section[:40]
        assert "```sh" in section
        assert len(re.findall(r"Read next: \[(minigrad/[\w/]+\.py)\]\(../\1\)", section)) == 1, section[:40]
    told = {lesson for lesson, _ in COMMANDS}
    assert told - {"support/notebooks"} == {path.stem for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize(("lesson", "options"), COMMANDS, ids=[" ".join(each) for each in COMMANDS])
def test_commands_are_right(lesson, options, tmp_path):
    words = shlex.split(options)
    if lesson == "backprop_by_hand":  # takes no options, and has a test of its own
        assert words == []
        return
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[\w-]+", known(lesson)))
    if NOT_HERE & set(words) or lesson == "support/notebooks":
        return
    short = {"linear_regression": ["--steps", "2"], "backprop_player": []}.get(lesson, ["--epochs", "1"])
    python(tmp_path, EXAMPLES / f"{lesson}.py", *words, *short)
    if "--out" in words:
        assert (tmp_path / words[words.index("--out") + 1]).exists()


@pytest.mark.parametrize(
    "link", sorted({*re.findall(r"\]\(([^)]+)\)", TEXT), *re.findall(r' src(?:set)?="([^"]+)"', TEXT)})
)
def test_links_lead_somewhere(link):
    path, _, anchor = link.partition("#")
    assert (EXAMPLES / path).exists()
    headings = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^## (.*)", TEXT, re.M)}
    assert not anchor or anchor in headings


def test_every_picture_is_shown_and_small():
    for path in (EXAMPLES / "images").iterdir():
        front = (ROOT / "README.md").read_text(encoding="utf-8")
        assert f"images/{path.name}" in TEXT + front
        assert path.stat().st_size < 150_000


def test_the_frame_that_tells_why_the_bias_gets_a_sum_is_the_one_named(tmp_path):
    printed = python(tmp_path, EXAMPLES / "backprop_player.py")
    frame, frames = re.findall(r"Frame (\d+) shows", printed)[0], re.findall(r"(\d+) frames", printed)[0]
    assert f"Go to frame {frame}, *out.bias: why a sum over the batch*" in TEXT
    assert f"Frame {frame} of {frames} of the player" in TEXT


def test_the_lines_on_paper_are_those_that_are_printed(tmp_path):
    printed = python(tmp_path, EXAMPLES / "backprop_by_hand.py")
    lines = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)[0]
    assert lines in printed


# Notebooks
def test_a_notebook_is_the_lesson_in_cells(monkeypatch):
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


def test_notebooks_are_made_of_all_lessons_and_run(tmp_path):
    for package in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason="to run notebooks: pip install nbformat nbclient ipykernel")
    import nbformat

    python(tmp_path, EXAMPLES / "support" / "notebooks.py", "--run", "--out", tmp_path)
    printed = {}
    for lesson in {lesson for lesson, _ in COMMANDS} - {"support/notebooks"}:
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


def test_without_the_packages_of_notebooks_the_line_says_what_to_install(tmp_path):
    (tmp_path / "nbformat.py").write_text("raise ImportError('No module named nbformat')")
    own = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "support" / "notebooks.py"), "--lesson", "mnist_mlp"],
        cwd=tmp_path, env=own, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert re.fullmatch(r"notebooks\.py: .*pip install nbformat nbclient ipykernel\n", done.stderr)
