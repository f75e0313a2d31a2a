"""Generate a notebook from each lesson; with --run it contains the outputs too.

    python examples/support/notebooks.py --run --out notebooks

The lesson is the only source: the paragraphs of main() become code cells, and a comment above a paragraph becomes text.
Options are set in the first code cell.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(FOLDER))  # this file is also run as a script

from minigrad.files import write_atomically  # noqa: E402
from support.cli import LessonError, Parser, run_lesson  # noqa: E402

LESSONS = [
    "how_backprop_works",
    "linear_regression",
    "mnist_logistic",
    "backprop_player",
    "backprop_by_hand",
    "mnist_mlp",
    "your_own_op",
    "replay_a_step",
]
LAST = {"backprop_player": "page"}  # an expression that the notebook shows at its end


def statements(source: str) -> Iterator[ast.stmt]:
    """The statements of a lesson, with the body of main() in place of main()."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            yield from node.body[1:] if ast.get_docstring(node) else node.body
        elif not isinstance(node, ast.If):  # if __name__ == "__main__"
            yield node


def cells(source: str) -> Iterator[tuple[str, str]]:
    """The paragraphs of a lesson: ("markdown" or "code", text). A comment above a paragraph is markdown."""
    lines = source.splitlines()
    docstring, *rest = statements(source)
    title, _, text = str(ast.literal_eval(ast.unparse(docstring))).strip().partition("\n")
    yield "markdown", f"# {title}\n{text}"

    code: list[str] = []
    imports = True
    for node in rest:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
        comment = first
        while lines[comment - 1].strip().startswith("#"):
            comment -= 1
        starts_cell = not lines[comment - 1].strip() or lines[comment - 1].startswith("def main(")
        more_imports = imports and isinstance(node, (ast.Import, ast.ImportFrom))
        if starts_cell and not more_imports:
            if code:
                yield "code", "\n".join(code)
            code, imports = [], False
            if comment < first:
                yield "markdown", " ".join(line.strip().lstrip("# ") for line in lines[comment:first])
            comment = first
        indent = node.col_offset
        code += [line[indent:] for line in lines[comment : node.end_lineno]]
    yield "code", "\n".join(code)


def notebook(lesson: str, folder: Path) -> Any:
    """The notebook of a lesson, to be written to this folder."""
    from nbformat import v4

    path = os.path.relpath(FOLDER, folder)
    setup = f"import sys\n\nsys.path.insert(0, {path!r})\nsys.argv = [{lesson + '.py'!r}]  # add options here"
    text, *rest = cells((FOLDER / f"{lesson}.py").read_text(encoding="utf-8"))
    parts = [text, ("code", setup), *rest, *([("code", LAST[lesson])] if lesson in LAST else [])]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook_cells = [
        v4.new_code_cell(text, id=f"cell-{i}") if kind == "code" else v4.new_markdown_cell(text, id=f"cell-{i}")
        for i, (kind, text) in enumerate(parts)
    ]
    return v4.new_notebook(cells=notebook_cells, metadata={"kernelspec": kernel})


def execute(book: Any, folder: Path) -> None:
    """Run all cells in a new kernel in this folder, and store the outputs in the notebook."""
    from nbclient import NotebookClient

    quiet = ["--IPKernelApp.log_level=40"]  # no warning that kernel and client talk over a local socket
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        book, timeout=600, kernel_name="python3", resources=resources, extra_arguments=quiet, coalesce_streams=True
    )
    client.execute()


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("notebooks"), metavar="DIR", help="default notebooks")
    parser.add_argument("--run", action="store_true", help="run them and store the outputs")
    parser.add_argument("--lesson", choices=LESSONS, nargs="+", default=LESSONS, help="default all", metavar="NAME")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for lesson in options.lesson:
        try:
            book = notebook(lesson, options.out)
            if options.run:
                execute(book, options.out)
        except ImportError as error:
            raise LessonError(
                f"notebooks need more packages ({error}): pip install nbformat nbclient ipykernel"
            ) from None
        from nbformat import writes

        path = options.out / f"{lesson}.ipynb"
        write_atomically(path, writes(book).encode())
        print(path, flush=True)


if __name__ == "__main__":
    run_lesson(main)
